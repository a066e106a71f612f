use reqwest::Method;
use serde_json::{Value, json};

use super::application::{Application, expect_refused};
use crate::harness::{PASSWORD, TestApp, text};

const PATH: &str = "/api/users/oidc/clients";

fn acceptable() -> Value {
    json!({
        "name": "Stock Planner",
        "confidential": true,
        "redirect_uris": ["https://app.example/callback"],
        "scopes": ["openid"],
    })
}

#[tokio::test]
async fn an_owner_registers_reads_changes_and_deletes_applications() {
    let app = TestApp::start().await;
    let owner = app.owner().await;
    let reply = owner.post(PATH, &acceptable()).await;
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    let made = reply.expect(201);
    assert!(text(&made, "client_secret").starts_with("maru_cs_"));
    let path = format!("{PATH}/{}", text(&made, "id"));
    let read = owner.get(&path).await.expect(200);
    assert!(read.get("client_secret").is_none(), "{read}");
    assert_eq!(read["version"], 1);
    assert_eq!(read["post_logout_redirect_uris"], json!([]));

    let patch = async |body: Value| {
        owner
            .send(owner.request(Method::PATCH, &path).json(&body))
            .await
    };
    let changed =
        patch(json!({"version": 1, "name": "Planner", "scopes": ["email", "openid"]})).await;
    let changed = changed.expect(200);
    assert_eq!(changed["name"], "Planner");
    assert_eq!(changed["scopes"], json!(["email", "openid"]));
    patch(json!({"version": 1, "name": "Old"}))
        .await
        .expect_problem(409, "version_conflict");

    let listed = owner.get(&format!("{PATH}?limit=1")).await.expect(200);
    assert_eq!(listed["items"][0]["id"], made["id"]);
    let _gone = owner.delete(&path).await.expect(204);
    owner.delete(&path).await.expect_problem(404, "not_found");
    owner.get(&path).await.expect_problem(404, "not_found");
    patch(json!({"version": 2, "name": "x"}))
        .await
        .expect_problem(404, "not_found");
}

#[tokio::test]
async fn nobody_else_registers_applications() {
    let app = TestApp::start().await;
    let store = "0190b7a0-5a3c-7c1e-9a51-2f3a4b5c6d7e";
    let _kim = app
        .make_user("kim@maru.local", &["area_manager"], &[store])
        .await;
    let kim = app.signed_in("kim@maru.local", PASSWORD).await;
    kim.post(PATH, &acceptable())
        .await
        .expect_problem(403, "forbidden");
    kim.get(PATH).await.expect_problem(403, "forbidden");
    app.client
        .get(PATH)
        .await
        .expect_problem(401, "token_missing");
}

#[tokio::test]
async fn what_cannot_be_an_application_is_refused_field_by_field() {
    let app = TestApp::start().await;
    let owner = app.owner().await;
    for (field, value, expected) in [
        ("name", json!(""), "name"),
        ("redirect_uris", json!([]), "redirect_uris"),
        (
            "redirect_uris",
            json!(["http://app.example/"]),
            "redirect_uris[0]",
        ),
        (
            "redirect_uris",
            json!(["https://app.example/#x"]),
            "redirect_uris[0]",
        ),
        (
            "redirect_uris",
            json!(vec!["https://app.example/"; 11]),
            "redirect_uris",
        ),
        (
            "post_logout_redirect_uris",
            json!(["javascript:x"]),
            "post_logout_redirect_uris[0]",
        ),
        ("scopes", json!([]), "scopes"),
        ("scopes", json!(["openid", "users:write"]), "scopes[1]"),
        ("scopes", json!(["system:operate"]), "scopes[0]"),
    ] {
        let mut body = acceptable();
        body[field] = value.clone();
        let faults = owner.post(PATH, &body).await.expect_invalid();
        assert_eq!(faults, [expected], "{field} {value}");
    }
}

#[tokio::test]
async fn a_renewed_secret_takes_the_place_of_the_one_before() {
    let app = TestApp::start().await;
    let mut application = Application::register(&app).await;
    let owner = app.owner().await;
    let path = format!("{PATH}/{}/secret", application.id);
    let renewed = owner.post(&path, &json!({})).await.expect(200);
    let code = application.code().await;
    let reply = application.token(&Application::exchange(&code)).await;
    expect_refused(reply, 401, "invalid_client");
    application.secret = Some(text(&renewed, "client_secret").to_owned());
    let _tokens = application
        .token(&Application::exchange(&code))
        .await
        .expect(200);

    let public = Application::register_as(&app, json!({"confidential": false})).await;
    let path = format!("{PATH}/{}/secret", public.id);
    owner
        .post(&path, &json!({}))
        .await
        .expect_problem(409, "no_secret");
}

#[tokio::test]
async fn a_deleted_application_can_do_nothing_any_more() {
    let app = TestApp::start().await;
    let application = Application::register(&app).await;
    let tokens = application.tokens().await;
    let owner = app.owner().await;
    let _gone = owner
        .delete(&format!("{PATH}/{}", application.id))
        .await
        .expect(204);
    application
        .userinfo(&tokens)
        .await
        .expect_problem(401, "session_ended");
    let reply = application.refresh(text(&tokens, "refresh_token")).await;
    expect_refused(reply, 401, "invalid_client");
    let page = owner.get("/api/auth/consents").await.expect(200);
    assert_eq!(page["items"], json!([]));
}
