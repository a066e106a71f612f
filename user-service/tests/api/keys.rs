use std::time::Duration;

use common::auth::{Principal, TokenVerifier, UserServiceKeys};
use serde_json::json;
use testkit::TestIdentity;

use crate::harness::{OWNER, OWNER_PASSWORD, TestApp, text};

fn verifier(app: &TestApp) -> TokenVerifier {
    let client = resilience::plain_http(Duration::from_secs(10));
    TokenVerifier::new(
        UserServiceKeys::new(app.client.base(), client),
        app.clock.clone(),
    )
}

async fn owner_token(app: &TestApp) -> String {
    let tokens = app.log_in(OWNER, OWNER_PASSWORD).await.expect(200);
    text(&tokens, "access_token").to_owned()
}

#[tokio::test]
async fn other_services_verify_tokens_with_the_published_keys() {
    let app = TestApp::start().await;
    let reply = app.client.get("/.well-known/jwks.json").await;
    assert_eq!(reply.header("cache-control"), Some("public, max-age=60"));
    let set = reply.expect(200);
    let key = &set["keys"][0];
    assert_eq!(
        set,
        json!({"keys": [{
            "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig",
            "kid": key["kid"], "x": key["x"],
        }]})
    );
    let principal: Principal = verifier(&app)
        .verify(&owner_token(&app).await)
        .await
        .unwrap();
    let owner = app.owner().await.get("/api/auth/me").await.expect(200);
    assert_eq!(principal.subject, text(&owner, "id"));
}

#[tokio::test]
async fn a_token_from_before_a_restart_still_verifies_and_refreshes() {
    let app = TestApp::start().await;
    let tokens = app.log_in(OWNER, OWNER_PASSWORD).await.expect(200);
    let keys = app.client.get("/.well-known/jwks.json").await.text;
    let app = app.stop().await.start().await;
    assert_eq!(app.client.get("/.well-known/jwks.json").await.text, keys);
    let client = app.client.with_token(text(&tokens, "access_token"));
    let _me = client.get("/api/auth/me").await.expect(200);
    assert!(
        verifier(&app)
            .verify(text(&tokens, "access_token"))
            .await
            .is_ok()
    );
    let _tokens = app
        .refresh(text(&tokens, "refresh_token"))
        .await
        .expect(200);
}

#[tokio::test]
async fn keys_are_sealed_in_the_database_and_open_with_their_secret_alone() {
    let app = TestApp::start().await;
    let mut tx = app.db().await.read().await.unwrap();
    let sql = "SELECT sealed_private_key FROM signing_keys";
    let (sealed,) = store::fetch_one!(tx, (String,), sql).unwrap();
    drop(tx);
    // PKCS #8 would begin with a sequence of version and algorithm: 30 .. 02 01 .. 06 03 2b 65 70.
    use base64::Engine as _;
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(sealed);
    let bytes = bytes.unwrap();
    assert!(!bytes.windows(3).any(|window| window == [0x2b, 0x65, 0x70]));

    let mut stopped = app.stop().await;
    stopped.set(
        "USER__KEYS__ENCRYPTION_SECRET",
        "another secret with at least 32 characters",
    );
    let error = stopped.start_error().await;
    assert!(error.contains("keys.encryption_secret"), "{error}");
    stopped.set("USER__KEYS__ENCRYPTION_SECRET", "");
    let _app = stopped.start().await;
}

#[tokio::test]
async fn a_given_secret_needs_no_file() {
    let secret = (
        "USER__KEYS__ENCRYPTION_SECRET",
        "a secret with at least 32 characters",
    );
    let app = TestApp::start_with(&[secret]).await;
    let token = owner_token(&app).await;
    let app = app.stop().await.start().await;
    let _me = app
        .client
        .with_token(token)
        .get("/api/auth/me")
        .await
        .expect(200);
}

#[tokio::test]
async fn no_attack_on_a_token_gets_in() {
    let app = TestApp::start().await;
    let (app, identity) = with_second_key(app).await;
    let honest = app.client.with_token(identity.owner());
    let _me = honest.get("/api/auth/me").await.expect(200);
    for attack in identity.attacks() {
        for (method, path) in [("GET", "/api/auth/me"), ("POST", "/api/users")] {
            let mut request = app.client.request(method.parse().unwrap(), path);
            request = attack.apply(request);
            let reply = app.client.send(request).await;
            assert_eq!(attack.fault(&reply), None);
        }
    }
    // Of this installation and in time, but a session that nobody opened.
    let made_up = TestIdentity::clone(&identity).acting_as(
        "0190b7a0-5a3c-7c1e-9a51-2f3a4b5c6d7e".parse().unwrap(),
        "0190b7a0-5a3c-7c1e-9a51-2f3a4b5c6d7f",
    );
    let client = app.client.with_token(made_up.owner());
    client
        .get("/api/users")
        .await
        .expect_problem(401, "session_ended");
}

/// The service with a second published key, whose private half the test holds, as in the overlap
/// of a rotation; the identity acts as the owner in a session of the owner's.
pub(crate) async fn with_second_key(app: TestApp) -> (TestApp, TestIdentity) {
    let me = app.owner().await.get("/api/auth/me").await.expect(200);
    let identity = TestIdentity::new()
        .at(app.clock.clone())
        .acting_as(text(&me, "id").parse().unwrap(), text(&me["session"], "id"));
    let key = identity.jwks().keys.remove(0);
    let now = app.clock.now();
    let mut tx = app.db().await.begin().await.unwrap();
    store::execute!(
        tx,
        "INSERT INTO signing_keys (kid, generation, public_key, sealed_private_key, created_at,
                                   signs_from)
         VALUES ($1, 2, $2, 'held by the test', $3, $4)",
        key.kid,
        key.x,
        now,
        now.plus(Duration::from_secs(1_000_000_000))
    )
    .unwrap();
    tx.commit().await.unwrap();
    (app.stop().await.start().await, identity)
}
