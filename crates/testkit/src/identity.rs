//! An identity that signs tokens as user-service does, and tokens as an attacker would make them.

mod attacks;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::hmac;
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

use common::auth::{
    Claims, ISSUER, Jwk, JwkSet, Role, StaticKeys, StoreClaim, TokenType, TokenVerifier,
};
use common::clock::Clock;
use common::ids::{StoreId, UserId};

pub use attacks::Attack;

/// How long the tokens made here are good.
const LIFETIME_S: i64 = 900;
/// DER of a `SubjectPublicKeyInfo` up to the 32 bytes of an Ed25519 key (RFC 8410, section 4).
const SPKI_PREFIX: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];

/// An Ed25519 key with its id. Clones sign with the same key.
#[derive(Clone)]
pub struct TestIdentity {
    kid: String,
    pkcs8: Vec<u8>,
    clock: Clock,
    person: Option<(UserId, String)>,
}

impl TestIdentity {
    /// A fresh key.
    ///
    /// # Panics
    /// When the system has no entropy.
    #[must_use]
    pub fn new() -> Self {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).expect("entropy");
        Self::with_key(format!("test-{}", Uuid::new_v4().simple()), pkcs8.as_ref())
    }

    /// A key that exists already, in PKCS #8: user-service's own in its own tests.
    #[must_use]
    pub fn with_key(kid: impl Into<String>, pkcs8: &[u8]) -> Self {
        Self {
            kid: kid.into(),
            pkcs8: pkcs8.to_vec(),
            clock: Clock::system(),
            person: None,
        }
    }

    /// The same identity, whose users are all this one in this session, instead of a new one each:
    /// for user-service, which looks them up.
    #[must_use]
    pub fn acting_as(mut self, user: UserId, session: impl ToString) -> Self {
        self.person = Some((user, session.to_string()));
        self
    }

    /// The same identity by another clock.
    #[must_use]
    pub fn at(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// The public key, as user-service publishes it.
    #[must_use]
    pub fn jwks(&self) -> JwkSet {
        let key = Jwk::ed25519(&self.kid, self.pair().public_key().as_ref());
        JwkSet { keys: vec![key] }
    }

    /// A verifier that knows this identity's key.
    #[must_use]
    pub fn verifier(&self) -> TokenVerifier {
        TokenVerifier::new(StaticKeys::new(self.jwks()), self.clock.clone())
    }

    /// A token of an owner: every permission, every store.
    #[must_use]
    pub fn owner(&self) -> String {
        self.user(&[Role::Owner], StoreClaim::ALL)
    }

    /// A token of a new user with these roles in these stores.
    #[must_use]
    pub fn user(&self, roles: &[Role], stores: StoreClaim) -> String {
        self.sign(&Claims {
            roles: roles.to_vec(),
            stores,
            ..self.person_claims()
        })
    }

    /// A token of a new user with this role in one store.
    #[must_use]
    pub fn user_of(&self, role: Role, store: StoreId) -> String {
        self.user(&[role], StoreClaim::Only(vec![store]))
    }

    /// A token with which an application acts for a new owner, as far as `scopes` go.
    #[must_use]
    pub fn delegated(&self, scopes: &str) -> String {
        let person = self.owner_claims();
        self.sign(&Claims {
            azp: Some("some-application".to_owned()),
            scope: Some(scopes.to_owned()),
            roles: person.roles.clone(),
            stores: person.stores.clone(),
            sid: person.sid.clone(),
            ..self.claims(TokenType::Delegated, &person.sub)
        })
    }

    /// A token of a new program that acts for itself in one store, as far as `scopes` go.
    #[must_use]
    pub fn program(&self, scopes: &str, store: StoreId) -> String {
        let client = Uuid::new_v4().to_string();
        self.sign(&Claims {
            azp: Some(client.clone()),
            scope: Some(scopes.to_owned()),
            roles: vec![Role::Service],
            stores: StoreClaim::Only(vec![store]),
            ..self.claims(TokenType::Delegated, &client)
        })
    }

    /// A token of a service.
    #[must_use]
    pub fn service(&self, name: &str) -> String {
        self.sign(&self.claims(TokenType::Service, name))
    }

    /// Claims to change and [`TestIdentity::sign`]: good now, without roles and stores.
    #[must_use]
    pub fn claims(&self, typ: TokenType, subject: &str) -> Claims {
        let now = self.clock.now().as_unix_seconds();
        Claims {
            iss: ISSUER.to_owned(),
            aud: typ.audience().to_owned(),
            sub: subject.to_owned(),
            sid: (typ != TokenType::Service).then(|| Uuid::new_v4().to_string()),
            exp: now + LIFETIME_S,
            nbf: now,
            iat: now,
            jti: Uuid::new_v4().to_string(),
            typ,
            roles: Vec::new(),
            stores: StoreClaim::default(),
            ver: 0,
            azp: None,
            scope: None,
        }
    }

    /// Signs claims with the key.
    #[must_use]
    pub fn sign(&self, claims: &Claims) -> String {
        self.sign_with(
            &json!({"alg": "EdDSA", "typ": "JWT", "kid": self.kid}),
            claims,
        )
    }

    /// An owner's token that has expired.
    #[must_use]
    pub fn expired(&self) -> String {
        let claims = self.owner_claims();
        let past = claims.iat - 3_600;
        self.sign(&Claims {
            iat: past,
            nbf: past,
            exp: past + 60,
            ..claims
        })
    }

    /// An owner's token of an unknown key under the known key's id.
    #[must_use]
    pub fn forged(&self) -> String {
        let stranger = Self {
            kid: self.kid.clone(),
            clock: self.clock.clone(),
            ..Self::new()
        };
        stranger.owner()
    }

    /// An owner's token without a signature, `alg` none (RFC 8725, section 2.1).
    #[must_use]
    pub fn alg_none(&self) -> String {
        let header = json!({"alg": "none", "typ": "JWT", "kid": self.kid});
        format!("{}.", signing_input(&header, &self.owner_claims()))
    }

    /// An owner's token whose HMAC key is the public key, as an algorithm confusion needs it
    /// (RFC 8725, section 2.1).
    #[must_use]
    pub fn hs256_with_public_key(&self) -> String {
        self.hs256(self.pair().public_key().as_ref())
    }

    /// An owner's token under a key id that nobody knows, signed with the known key.
    #[must_use]
    pub fn wrong_kid(&self) -> String {
        let header = json!({"alg": "EdDSA", "typ": "JWT", "kid": "no-such-key"});
        self.sign_with(&header, &self.owner_claims())
    }

    /// An owner's token for somebody else.
    #[must_use]
    pub fn wrong_audience(&self) -> String {
        self.sign(&Claims {
            aud: "somebody-else".to_owned(),
            ..self.owner_claims()
        })
    }

    fn person_claims(&self) -> Claims {
        match &self.person {
            None => self.claims(TokenType::Access, &UserId::new(&self.clock).to_string()),
            Some((user, session)) => Claims {
                sid: Some(session.clone()),
                ..self.claims(TokenType::Access, &user.to_string())
            },
        }
    }

    fn owner_claims(&self) -> Claims {
        Claims {
            roles: vec![Role::Owner],
            stores: StoreClaim::ALL,
            ..self.person_claims()
        }
    }

    fn hs256(&self, key: &[u8]) -> String {
        let header = json!({"alg": "HS256", "typ": "JWT", "kid": self.kid});
        let input = signing_input(&header, &self.owner_claims());
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        let tag = hmac::sign(&key, input.as_bytes());
        format!("{input}.{}", URL_SAFE_NO_PAD.encode(tag))
    }

    fn key_text(&self) -> String {
        self.jwks().keys.remove(0).x
    }

    fn key_pem(&self) -> String {
        let der = [&SPKI_PREFIX[..], self.pair().public_key().as_ref()].concat();
        let text = STANDARD.encode(der);
        format!("-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n")
    }

    fn pair(&self) -> Ed25519KeyPair {
        Ed25519KeyPair::from_pkcs8_maybe_unchecked(&self.pkcs8)
            .expect("the key was readable before")
    }

    fn sign_with(&self, header: &Value, claims: &Claims) -> String {
        let input = signing_input(header, claims);
        let signature = self.pair().sign(input.as_bytes());
        format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

impl Default for TestIdentity {
    fn default() -> Self {
        Self::new()
    }
}

/// What a JWS signs (RFC 7515, section 5.1).
fn signing_input(header: &Value, claims: &impl Serialize) -> String {
    let claims = serde_json::to_vec(claims).expect("claims are plain data");
    let header = URL_SAFE_NO_PAD.encode(header.to_string());
    format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims))
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::auth::{Permission, TokenError};

    #[tokio::test]
    async fn honest_tokens_are_accepted() {
        let identity = TestIdentity::new();
        let verifier = identity.verifier();
        let owner = verifier.verify(&identity.owner()).await.unwrap();
        assert!(owner.allows(Permission::UsersWrite));
        let service = verifier.verify(&identity.service("order")).await.unwrap();
        assert_eq!(service.subject, "order");
        let store = StoreId::new(&Clock::system());
        let crew = verifier.verify(&identity.user_of(Role::Crew, store)).await;
        assert!(crew.unwrap().require_store(store).is_ok());
    }

    #[tokio::test]
    async fn no_attack_on_the_token_is_accepted() {
        let identity = TestIdentity::new();
        let verifier = identity.verifier();
        let mut let_in = Vec::new();
        let attacks = identity.attacks();
        for attack in &attacks {
            if let [only] = attack.authorization.as_slice()
                && let Some(token) = only.strip_prefix("Bearer ")
                && verifier.verify(token).await.is_ok()
            {
                let_in.push(format!("{} ({})", attack.name, attack.source));
            }
        }
        assert_eq!(let_in, [""; 0]);
        assert!(attacks.len() > 140, "{} attacks", attacks.len());
        let expired = verifier.verify(&identity.expired()).await;
        assert!(matches!(expired, Err(TokenError::Expired)));
    }
}
