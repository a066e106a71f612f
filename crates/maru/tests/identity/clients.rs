use reqwest::Method;
use serde_json::{Value, json};
use testkit::ApiClient;

use crate::world::{OWNER, PASSWORD, World};

/// Nobody listens there: the tests look at where the browser is sent.
const CALLBACK: &str = "https://app.invalid/callback";
const AFTER_LOGOUT: &str = "https://app.invalid/bye";

async fn register(owner: &ApiClient, confidential: bool) -> Value {
    // Who can keep a secret may act for itself, too.
    let service = confidential.then(|| json!({}));
    let body = json!({
        "service": service,
        "name": "Stock Planner",
        "confidential": confidential,
        "redirect_uris": [CALLBACK],
        "post_logout_redirect_uris": [AFTER_LOGOUT],
        "scopes": ["openid", "profile", "email", "offline_access", "orders:read", "inventory:read"],
    });
    owner
        .post("/api/users/oidc/clients", &body)
        .await
        .expect(201)
}

fn told(world: &World, client: &Value) -> Value {
    json!({
        "issuer": world.issuer,
        "client_id": client["id"],
        "client_secret": client["client_secret"],
        "redirect_uri": CALLBACK,
        "after_logout": AFTER_LOGOUT,
        "email": OWNER,
        "password": PASSWORD,
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openid_client_signs_somebody_in_and_out_as_a_confidential_and_a_public_application() {
    let world = World::start().await;
    let owner = world.owner().await;
    for confidential in [true, false] {
        let client = register(&owner, confidential).await;
        let said = world
            .run_node("openid_client.mjs", &told(&world, &client))
            .await;
        assert!(said.contains("openid-client: done"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn authlib_signs_somebody_in_and_out() {
    let world = World::start().await;
    let owner = world.owner().await;
    let client = register(&owner, true).await;
    let said = world
        .run_python("authlib_client.py", &told(&world, &client))
        .await;
    assert!(said.contains("authlib: done"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_passkey_is_registered_and_used_in_a_real_browser() {
    let world = World::start().await;
    let owner = world.owner().await;
    let client = register(&owner, true).await;
    let id = client["id"].as_str().unwrap();
    // The verifier and challenge of RFC 7636, appendix B.
    let authorize_url = format!(
        "{}/oauth/authorize?response_type=code&client_id={id}&redirect_uri={CALLBACK}\
         &scope=openid%20profile%20email%20offline_access%20orders%3Aread%20inventory%3Aread\
         &state=s&nonce=n&code_challenge_method=S256\
         &code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
        world.issuer
    );
    let mut told = told(&world, &client);
    told["authorize_url"] = authorize_url.into();
    told["access_token"] = world.access_token().await.into();
    told["chromium"] = World::chromium().into();
    told["screenshots"] = std::env::var("MARU_TEST_SCREENSHOTS").ok().into();
    let said = world.run_node("passkey.mjs", &told).await;
    assert!(said.contains("passkey: done"), "{said}");

    // A passkey whose device verified its person counts as two factors.
    let code: Value = serde_json::from_str(said.lines().next().unwrap()).unwrap();
    let request = world.client.request(Method::POST, "/oauth/token").form(&[
        ("grant_type", "authorization_code"),
        ("code", code["code"].as_str().unwrap()),
        ("redirect_uri", CALLBACK),
        (
            "code_verifier",
            "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
        ),
    ]);
    let request = request.basic_auth(id, client["client_secret"].as_str());
    let tokens = world.client.send(request).await.expect(200);
    let claims = claims_of(tokens["id_token"].as_str().unwrap());
    assert_eq!(claims["amr"], json!(["mfa", "pop", "user"]));
    let held = owner.get("/api/auth/me/export").await.expect(200);
    assert_eq!(held["passkeys"][0]["name"], "Phone");
    assert_eq!(held["consents"][0]["application"], "Stock Planner");
}

fn claims_of(token: &str) -> Value {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}
