use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::audit::entries;
use crate::harness::{OWNER, OWNER_PASSWORD, PASSWORD, TestApp, text};

const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
const STORE: &str = "0190b7a0-5a3c-7c1e-9a51-000000000001";
const OTHER: &str = "0190b7a0-5a3c-7c1e-9a51-000000000002";

async fn sessions(client: &testkit::ApiClient) -> Vec<Value> {
    let answer = client.get("/api/auth/sessions").await.expect(200);
    answer["items"].as_array().unwrap().clone()
}

#[tokio::test]
async fn people_recognize_their_sessions() {
    let app = TestApp::start().await;
    let old = app.owner().await;
    app.clock.advance(Duration::from_secs(60));
    let body = json!({"email": OWNER, "password": OWNER_PASSWORD});
    let request = app.client.request(Method::POST, "/api/auth/login");
    let request = request
        .header("x-forwarded-for", "203.0.113.7")
        .header("user-agent", FIREFOX)
        .json(&body);
    let tokens = app.client.send(request).await.expect(200);
    let client = app.client.with_token(text(&tokens, "access_token"));

    let [newest, oldest] = &sessions(&client).await[..] else {
        panic!("two sessions");
    };
    assert_eq!(newest["device"], "Firefox on Linux");
    assert_eq!(newest["address"], "203.0.113.7");
    assert_eq!(newest["current"], true);
    assert_eq!(newest["created_at"], newest["last_used_at"]);
    assert_eq!(oldest["device"], Value::Null);
    assert_eq!(oldest["address"], "127.0.0.1");
    assert_eq!(oldest["current"], false);
    let seen_by_old = sessions(&old).await;
    assert_eq!(seen_by_old[1]["current"], true);
    // Refreshing is using.
    app.clock.advance(Duration::from_secs(60));
    let _tokens = app
        .refresh(text(&tokens, "refresh_token"))
        .await
        .expect(200);
    let used = &sessions(&client).await[0];
    assert_ne!(used["created_at"], used["last_used_at"]);
}

#[tokio::test]
async fn a_person_ends_one_session_or_all_others_and_nobody_elses() {
    let app = TestApp::start().await;
    let (first, second, third) = (app.owner().await, app.owner().await, app.owner().await);
    let current = |listed: Vec<Value>| {
        let current = listed
            .into_iter()
            .find(|session| session["current"] == true);
        text(&current.unwrap(), "id").to_owned()
    };
    let path = format!("/api/auth/sessions/{}", current(sessions(&first).await));
    second.delete(&path).await.expect(204);
    second.delete(&path).await.expect(204);
    first
        .get("/api/auth/me")
        .await
        .expect_problem(401, "session_ended");
    assert_eq!(sessions(&second).await.len(), 2);
    assert_eq!(entries(&app, "session.ended").await.len(), 2);

    app.make_user("kim@maru.local", &["crew"], &[STORE]).await;
    let kim = app.signed_in("kim@maru.local", PASSWORD).await;
    let path = format!("/api/auth/sessions/{}", current(sessions(&third).await));
    kim.delete(&path).await.expect(204);
    let _not_kims = third.get("/api/auth/me").await.expect(200);
    second.delete("/api/auth/sessions").await.expect(204);
    third
        .get("/api/auth/me")
        .await
        .expect_problem(401, "session_ended");
    let _me = second.get("/api/auth/me").await.expect(200);
    let _me = kim.get("/api/auth/me").await.expect(200);
    assert_eq!(sessions(&second).await.len(), 1);
    second
        .delete("/api/auth/sessions/nonsense")
        .await
        .expect_problem(404, "not_found");
}

#[tokio::test]
async fn managers_end_the_sessions_of_those_they_look_after() {
    let app = TestApp::start().await;
    let account =
        async |email: &str, role: &str, store: &str| app.make_user(email, &[role], &[store]).await;
    let crew = account("crew@maru.local", "crew", STORE).await;
    let foreign = account("foreign@maru.local", "crew", OTHER).await;
    let area = account("area@maru.local", "area_manager", STORE).await;
    account("manager@maru.local", "store_manager", STORE).await;
    let manager = app.signed_in("manager@maru.local", PASSWORD).await;
    let path = |account: &Value| format!("/api/users/{}/sessions", text(account, "id"));

    let signed_in = app.signed_in("crew@maru.local", PASSWORD).await;
    let listed = manager.get(&path(&crew)).await.expect(200);
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
    assert_eq!(listed["items"][0]["current"], false);
    manager.delete(&path(&crew)).await.expect(204);
    signed_in
        .get("/api/auth/me")
        .await
        .expect_problem(401, "session_ended");
    for request in [Method::GET, Method::DELETE] {
        let send = async |account: &Value| {
            let request = manager.request(request.clone(), &path(account));
            manager.send(request).await
        };
        send(&foreign).await.expect_problem(404, "not_found");
        send(&area).await.expect_problem(403, "outranked");
    }
    let crew_again = app.signed_in("crew@maru.local", PASSWORD).await;
    crew_again
        .get(&path(&crew))
        .await
        .expect_problem(403, "forbidden");
    let [entry] = &entries(&app, "sessions.ended").await[..] else {
        panic!("what ended nothing is not written down");
    };
    assert_eq!(entry["after"], json!({"ended": 1}));
    // Nothing is left to end.
    app.owner().await.delete(&path(&foreign)).await.expect(204);
    assert_eq!(entries(&app, "sessions.ended").await.len(), 1);
}

#[tokio::test]
async fn a_session_unused_for_too_long_is_not_in_the_list() {
    let app = TestApp::start_with(&[("USER__TOKENS__SESSION_IDLE_DAYS", "1")]).await;
    let _unused = app.owner().await;
    app.clock.advance(Duration::from_secs(24 * 3_600 + 1));
    assert_eq!(sessions(&app.owner().await).await.len(), 1);
}
