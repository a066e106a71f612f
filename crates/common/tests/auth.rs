//! Tokens are verified offline, and nothing but a good one gets through.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use common::auth::{
    AUDIENCE, Claims, DELEGATED_AUDIENCE, JwkSet, KeySource, KeySourceError, Permission, Role,
    TokenError, TokenType, TokenVerifier,
};
use common::clock::Clock;
use common::ids::StoreId;
use common::time::Timestamp;
use testkit::TestIdentity;

/// Keys that can be exchanged and that count how often they were asked for.
#[derive(Clone, Default)]
struct Keys {
    current: Arc<std::sync::Mutex<Option<JwkSet>>>,
    fetches: Arc<AtomicU32>,
}

impl Keys {
    fn publish(&self, keys: JwkSet) {
        *self.current.lock().expect("nobody panicked") = Some(keys);
    }
}

#[async_trait]
impl KeySource for Keys {
    async fn fetch(&self) -> Result<JwkSet, KeySourceError> {
        self.fetches.fetch_add(1, Ordering::SeqCst);
        let current = self.current.lock().expect("nobody panicked").clone();
        match current {
            Some(keys) => Ok(keys),
            None => {
                // An address that is none fails without any network.
                let client = resilience::http_client::plain_http(Duration::from_secs(1));
                let failed = client.get("http://").send().await;
                Err(KeySourceError::Fetch(failed.expect_err("not an address")))
            }
        }
    }
}

#[tokio::test]
async fn a_good_token_says_who_asks() {
    let identity = TestIdentity::new();
    let store = StoreId::new(&Clock::system());
    let caller = identity
        .verifier()
        .verify(&identity.user_of(Role::Crew, store))
        .await
        .unwrap();
    assert_eq!(caller.roles, [Role::Crew]);
    assert!(caller.require_store(store).is_ok());
    let foreign = caller
        .require_store(StoreId::new(&Clock::system()))
        .unwrap_err();
    assert_eq!(foreign.status().as_u16(), 404);
}

#[tokio::test]
async fn an_application_does_no_more_than_its_scopes_say() {
    let identity = TestIdentity::new();
    let verifier = identity.verifier();
    let token = identity.delegated("openid orders:read users:write system:operate");
    let caller = verifier.verify(&token).await.unwrap();
    assert_eq!(caller.token_type, TokenType::Delegated);
    assert!(caller.allows(Permission::OrdersRead));
    for permission in [
        Permission::OrdersCreate,
        Permission::UsersWrite,
        Permission::SystemOperate,
    ] {
        assert!(!caller.allows(permission), "{permission:?}");
    }
    let nothing = verifier.verify(&identity.delegated("")).await.unwrap();
    assert!(!nothing.allows(Permission::OrdersRead));
}

#[tokio::test]
async fn a_token_of_one_kind_is_not_taken_for_another() {
    let identity = TestIdentity::new();
    let verifier = identity.verifier();
    for (typ, aud) in [
        (TokenType::Access, DELEGATED_AUDIENCE),
        (TokenType::Service, DELEGATED_AUDIENCE),
        (TokenType::Delegated, AUDIENCE),
        (TokenType::Delegated, "some-application"),
    ] {
        let token = identity.sign(&Claims {
            aud: aud.to_owned(),
            roles: vec![Role::Owner],
            ..identity.claims(typ, "7")
        });
        let outcome = verifier.verify(&token).await;
        let refused = matches!(outcome, Err(TokenError::Invalid(_)));
        assert!(refused, "{typ:?} for {aud}: {outcome:?}");
    }
}

#[tokio::test]
async fn every_attack_is_refused() {
    let identity = TestIdentity::new();
    let verifier = identity.verifier();
    assert!(verifier.verify(&identity.owner()).await.is_ok());
    let mut tried = 0;
    for attack in identity.attacks() {
        // Several headers, or another scheme, are the extractor's business.
        let [only] = attack.authorization.as_slice() else {
            continue;
        };
        let Some(token) = only.strip_prefix("Bearer ") else {
            continue;
        };
        let outcome = verifier.verify(token).await;
        let refused = matches!(outcome, Err(TokenError::Expired | TokenError::Invalid(_)));
        assert!(refused, "{}: {outcome:?}", attack.name);
        tried += 1;
    }
    assert!(tried >= 5, "only {tried} attacks were tried");
    for nonsense in ["", ".", "..", "a.b.c", &"x".repeat(5_000)] {
        assert!(verifier.verify(nonsense).await.is_err(), "{nonsense}");
    }
}

#[tokio::test]
async fn a_token_that_was_accepted_before_is_refused_after_its_time() {
    let clock = Clock::manual(Timestamp::from_unix_seconds(1_790_000_000));
    let identity = TestIdentity::new().at(clock.clone());
    let (verifier, token) = (identity.verifier(), identity.owner());
    for _ in 0..2 {
        assert!(verifier.verify(&token).await.is_ok());
    }
    clock.advance(Duration::from_secs(3_600));
    for _ in 0..2 {
        let outcome = verifier.verify(&token).await;
        assert!(matches!(outcome, Err(TokenError::Expired)), "{outcome:?}");
    }
}

#[tokio::test]
async fn a_token_that_was_accepted_before_is_refused_when_its_key_is_withdrawn() {
    let clock = Clock::manual(Timestamp::from_unix_seconds(1_790_000_000));
    let (old, new) = (
        TestIdentity::new().at(clock.clone()),
        TestIdentity::new().at(clock.clone()),
    );
    let keys = Keys::default();
    keys.publish(old.jwks());
    let verifier = TokenVerifier::new(keys.clone(), clock.clone());
    let token = old.owner();
    assert!(verifier.verify(&token).await.is_ok());
    keys.publish(new.jwks());
    clock.advance(Duration::from_secs(2));
    assert!(verifier.verify(&new.owner()).await.is_ok());
    let outcome = verifier.verify(&token).await;
    assert!(
        matches!(outcome, Err(TokenError::Invalid(_))),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn a_new_key_is_fetched_once_and_an_unknown_one_not_again_and_again() {
    let clock = Clock::manual(Timestamp::from_unix_seconds(1_790_000_000));
    let (first, second) = (
        TestIdentity::new().at(clock.clone()),
        TestIdentity::new().at(clock.clone()),
    );
    let keys = Keys::default();
    keys.publish(first.jwks());
    let verifier = TokenVerifier::new(keys.clone(), clock.clone());
    assert!(verifier.verify(&first.owner()).await.is_ok());
    assert!(verifier.verify(&first.owner()).await.is_ok());
    assert_eq!(keys.fetches.load(Ordering::SeqCst), 1);

    // Rotated: the next token names a key that is not known yet.
    keys.publish(second.jwks());
    for _ in 0..10 {
        assert!(
            verifier.verify(&second.owner()).await.is_err(),
            "fetched less than a second ago"
        );
    }
    assert_eq!(keys.fetches.load(Ordering::SeqCst), 1);
    clock.advance(Duration::from_secs(1));
    assert!(verifier.verify(&second.owner()).await.is_ok());
    assert!(
        verifier.verify(&first.owner()).await.is_err(),
        "its key is gone"
    );
}

#[tokio::test]
async fn without_keys_nobody_gets_in_and_nobody_waits() {
    let clock = Clock::manual(Timestamp::from_unix_seconds(1_790_000_000));
    let identity = TestIdentity::new().at(clock.clone());
    let keys = Keys::default();
    let verifier = TokenVerifier::new(keys.clone(), clock.clone());
    for _ in 0..20 {
        let outcome = verifier.verify(&identity.owner()).await;
        assert!(
            matches!(outcome, Err(TokenError::KeysUnavailable)),
            "{outcome:?}"
        );
    }
    assert_eq!(
        keys.fetches.load(Ordering::SeqCst),
        1,
        "failures are remembered for a moment"
    );
    keys.publish(identity.jwks());
    clock.advance(Duration::from_secs(1));
    assert!(verifier.verify(&identity.owner()).await.is_ok());
}
