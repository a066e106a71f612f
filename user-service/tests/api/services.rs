use common::auth::derive_service_secret;
use reqwest::Method;
use secrecy::ExposeSecret;
use serde_json::json;

use crate::harness::{ROOT_SECRET, TestApp, text};
use crate::logins::claims_of;

fn secret_of(name: &str) -> String {
    let secret = derive_service_secret(&ROOT_SECRET.into(), name);
    secret.expose_secret().to_owned()
}

#[tokio::test]
async fn a_service_gets_a_token_for_its_secret_as_json_and_as_a_form() {
    let app = TestApp::start().await;
    for name in [
        "gateway",
        "order",
        "inventory",
        "payment",
        "analytics",
        "iot",
        "user",
    ] {
        let body = json!({"client_id": name, "client_secret": secret_of(name)});
        let reply = app.client.post("/internal/tokens", &body).await;
        assert_eq!(reply.header("cache-control"), Some("no-store"));
        let answer = reply.expect(200);
        assert_eq!(answer["expires_in"], 600);
        let claims = claims_of(text(&answer, "access_token"));
        assert_eq!(claims["sub"], name);
        assert_eq!(claims["typ"], "service");
        assert_eq!(claims["roles"], json!([]));
        assert_eq!(claims["stores"], json!([]));
        assert!(claims.get("sid").is_none());
    }
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", "order"),
        ("client_secret", &secret_of("order")),
    ];
    let request = app.client.request(Method::POST, "/internal/tokens");
    let _answer = app.client.send(request.form(&form)).await.expect(200);
}

#[tokio::test]
async fn who_is_no_service_of_this_installation_is_refused() {
    let app = TestApp::start().await;
    for (name, secret) in [
        ("order", "wrong".to_owned()),
        ("order", String::new()),
        ("order", secret_of("payment")),
        ("order", secret_of("order").to_uppercase()),
        ("order-service", secret_of("order-service")),
        ("Order", secret_of("Order")),
        ("stranger", secret_of("stranger")),
        ("", secret_of("")),
    ] {
        let body = json!({"client_id": name, "client_secret": secret});
        let reply = app.client.post("/internal/tokens", &body).await;
        reply.expect_problem(401, "client_invalid");
    }
    let other_root = derive_service_secret(&"maru-development-only".into(), "order");
    let body = json!({"client_id": "order", "client_secret": other_root.expose_secret()});
    let reply = app.client.post("/internal/tokens", &body).await;
    reply.expect_problem(401, "client_invalid");
}

#[tokio::test]
async fn a_request_that_is_no_grant_is_refused() {
    let app = TestApp::start().await;
    let wrong_grant = json!({
        "grant_type": "password", "client_id": "order", "client_secret": secret_of("order"),
    });
    let reply = app.client.post("/internal/tokens", &wrong_grant).await;
    assert_eq!(reply.expect_invalid(), ["grant_type"]);
    for form in [
        "",
        "client_id=order",
        "client_id=a&client_id=b&client_secret=c",
        "%ff=%ff",
    ] {
        let request = app
            .client
            .request(Method::POST, "/internal/tokens")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form);
        let reply = app.client.send(request).await;
        reply.expect_problem(400, "malformed_form");
    }
    let request = app
        .client
        .request(Method::POST, "/internal/tokens")
        .header("content-type", "application/x-www-form-urlencoded")
        .body("x".repeat(10_000));
    let reply = app.client.send(request).await;
    reply.expect_problem(413, "body_too_large");
}

#[tokio::test]
async fn a_service_is_nobody_who_signs_in() {
    let app = TestApp::start().await;
    let body = json!({"client_id": "order", "client_secret": secret_of("order")});
    let answer = app.client.post("/internal/tokens", &body).await.expect(200);
    let order = app.client.with_token(text(&answer, "access_token"));
    for path in ["/api/auth/me", "/api/users"] {
        order.get(path).await.expect_problem(403, "forbidden");
    }
}

#[tokio::test]
async fn while_the_root_is_replaced_both_secrets_are_good_and_then_the_new_one_alone() {
    let app = TestApp::start().await;
    let mut stopped = app.stop().await;
    let new_root = "the next root secret of this installation";
    stopped.set("MARU_SERVICE_ROOT_SECRET", new_root);
    stopped.set("USER__KEYS__PREVIOUS_SERVICE_ROOT_SECRET", ROOT_SECRET);
    let app = stopped.start().await;
    let status = async |app: &TestApp, secret: &str| {
        let body = json!({"client_id": "order", "client_secret": secret});
        app.client.post("/internal/tokens", &body).await.status
    };
    let new = derive_service_secret(&new_root.into(), "order");
    let (old, new) = (secret_of("order"), new.expose_secret());
    assert_eq!(
        (status(&app, &old).await, status(&app, new).await),
        (200, 200)
    );
    let mut stopped = app.stop().await;
    stopped.set("USER__KEYS__PREVIOUS_SERVICE_ROOT_SECRET", "");
    let app = stopped.start().await;
    assert_eq!(
        (status(&app, &old).await, status(&app, new).await),
        (401, 200)
    );
    // No previous root is not an empty one.
    let empty = derive_service_secret(&"".into(), "order");
    assert_eq!(status(&app, empty.expose_secret()).await, 401);
}
