use serde_json::json;
use testkit::hostile::Hostile;

use crate::harness::{TestApp, text};
use crate::keys::with_second_key;

/// The token of a registered terminal, without which nothing else there is looked at.
async fn terminal_token(app: &TestApp) -> String {
    let store = "0190b7a0-5a3c-7c1e-9a51-2f3a4b5c6d0a";
    let body = json!({"store_id": store, "name": "Till 2"});
    let owner = app.owner().await;
    let made = owner.post("/api/users/devices", &body).await.expect(201);
    text(&made, "device_token").to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_endpoint_stands_hostile_input() {
    let app = TestApp::start().await;
    let (app, identity) = with_second_key(app).await;
    let terminal = terminal_token(&app).await;
    let document = app.client.get("/openapi.json").await.expect(200);
    let report = Hostile::new(&identity)
        .public("/api/auth/login")
        .public("/api/auth/login/mfa")
        .public("/api/auth/refresh")
        .public("/api/auth/password/forgot")
        .public("/api/auth/password/reset")
        .public("/api/auth/email/verify")
        .public("/api/auth/invitations/accept")
        .public("/api/auth/logout")
        .public("/api/auth/token")
        .public("/api/auth/passkeys/login/start")
        .public("/api/auth/passkeys/login/finish")
        .public("/internal/tokens")
        .public("/.well-known/jwks.json")
        .known("x-device-token", terminal)
        .run(&app.client, &document)
        .await;
    assert!(report.violations.is_empty(), "{report}");
}
