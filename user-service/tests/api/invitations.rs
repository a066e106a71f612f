use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use testkit::ApiClient;

use crate::harness::{PASSWORD, TestApp, text};
use crate::mails::{mail_to, token_of};

const STORE_A: &str = "0190b7a0-5a3c-7c1e-9a51-2f3a4b5c6d0a";
const STORE_B: &str = "0190b7a0-5a3c-7c1e-9a51-2f3a4b5c6d0b";
const PATH: &str = "/api/users/invitations";

fn invitation(email: &str, role: &str, stores: &[&str]) -> Value {
    json!({"email": email, "display_name": "Kim", "role": role, "stores": stores})
}

async fn accept(app: &TestApp, token: &str, password: &str) -> testkit::Reply {
    let body = json!({"token": token, "password": password});
    app.client.post("/api/auth/invitations/accept", &body).await
}

async fn manager_of_a(app: &TestApp) -> ApiClient {
    let roles = ["store_manager"];
    let _user = app.make_user("boss@maru.local", &roles, &[STORE_A]).await;
    app.signed_in("boss@maru.local", PASSWORD).await
}

async fn delete(client: &ApiClient, id: &str) -> testkit::Reply {
    let path = format!("{PATH}/{id}");
    client.send(client.request(Method::DELETE, &path)).await
}

#[tokio::test]
async fn somebody_who_is_invited_makes_their_account_once() {
    let app = TestApp::start().await;
    let manager = manager_of_a(&app).await;
    let body = invitation("Kim@Maru.Local", "crew", &[STORE_A]);
    let reply = manager.post(PATH, &body).await;
    let location = reply.header("location").unwrap().to_owned();
    let made = reply.expect(201);
    assert_eq!(location, format!("{PATH}/{}", text(&made, "id")));
    assert_eq!(made["role"], "crew");
    assert_eq!(made["stores"], json!([STORE_A]));
    assert_eq!(made["locale"], "en");
    assert!(made.get("token").is_none());

    let token = token_of(&mail_to(&app, "Kim@Maru.Local", "invitation").await);
    let account = accept(&app, &token, PASSWORD).await.expect(201);
    assert_eq!(account["email"], "Kim@Maru.Local");
    assert_eq!(account["roles"], json!(["crew"]));
    assert_eq!(account["stores"], json!([STORE_A]));
    let kim = app.signed_in("kim@maru.local", PASSWORD).await;
    let me = kim.get("/api/auth/me").await.expect(200);
    assert_eq!(me["settings"]["email_verified"], true);
    assert_eq!(me["settings"]["locale"], "en");

    accept(&app, &token, PASSWORD)
        .await
        .expect_problem(422, "link_invalid");
    let open = manager.get(PATH).await.expect(200);
    assert_eq!(open["items"], json!([]));
    manager
        .post(PATH, &body)
        .await
        .expect_problem(409, "email_taken");
}

#[tokio::test]
async fn nobody_invites_to_what_is_not_below_and_of_their_own() {
    let app = TestApp::start().await;
    let manager = manager_of_a(&app).await;
    for (role, stores) in [
        ("store_manager", &[STORE_A][..]),
        ("area_manager", &[STORE_A]),
        ("owner", &[]),
        ("crew", &[STORE_B]),
        ("crew", &[STORE_A, STORE_B]),
        ("crew", &[]),
    ] {
        let body = invitation("kim@maru.local", role, stores);
        let reply = manager.post(PATH, &body).await;
        let _problem = reply.expect_problem(403, "not_held");
    }
    let _crew = app.make_user("lee@maru.local", &["crew"], &[STORE_A]).await;
    let crew = app.signed_in("lee@maru.local", PASSWORD).await;
    let body = invitation("kim@maru.local", "kiosk", &[STORE_A]);
    crew.post(PATH, &body)
        .await
        .expect_problem(403, "forbidden");
    app.client
        .post(PATH, &body)
        .await
        .expect_problem(401, "token_missing");
    let owner = app.owner().await;
    let partner = invitation("partner@maru.local", "owner", &[]);
    let _made = owner.post(PATH, &partner).await.expect(201);
}

#[tokio::test]
async fn an_invitation_that_is_not_acceptable_is_refused_field_by_field() {
    let app = TestApp::start().await;
    let owner = app.owner().await;
    for (field, value, code) in [
        ("email", json!("kim"), "malformed"),
        ("display_name", json!(" "), "empty"),
        ("role", json!("plugin"), "not_for_accounts"),
        ("role", json!("service"), "not_for_accounts"),
        ("stores", json!(vec![STORE_A; 51]), "too_many"),
        ("locale", json!("english please"), "malformed"),
    ] {
        let mut body = invitation("kim@maru.local", "crew", &[]);
        body[field] = value;
        let problem = owner.post(PATH, &body).await;
        let problem = problem.expect_problem(422, "invalid_fields");
        let fault = problem.errors.first().unwrap();
        assert_eq!((fault.field.as_str(), fault.code.as_str()), (field, code));
    }
    for (token, password, field, code) in [
        ("x", "short", "password", "too_short"),
        ("x", "password1", "password", "too_common"),
        (&*"t".repeat(101), PASSWORD, "token", "too_long"),
    ] {
        let problem = accept(&app, token, password).await;
        let problem = problem.expect_problem(422, "invalid_fields");
        let fault = problem.errors.first().unwrap();
        assert_eq!((fault.field.as_str(), fault.code.as_str()), (field, code));
    }
    for token in ["", "x", &format!("maru_lk_{}", "A".repeat(43))] {
        accept(&app, token, PASSWORD)
            .await
            .expect_problem(422, "link_invalid");
    }
}

#[tokio::test]
async fn a_password_like_the_email_uses_nothing_up() {
    let app = TestApp::start().await;
    let owner = app.owner().await;
    let body = invitation("kim.and.lee@maru.local", "crew", &[STORE_A]);
    let _made = owner.post(PATH, &body).await.expect(201);
    let token = token_of(&mail_to(&app, "kim.and.lee@maru.local", "invitation").await);
    let refused = accept(&app, &token, "Kim.And.Lee").await;
    assert_eq!(refused.expect_invalid(), ["password"]);
    let _account = accept(&app, &token, PASSWORD).await.expect(201);
}

#[tokio::test]
async fn an_invitation_is_sent_again_with_another_link() {
    let app = TestApp::start().await;
    let owner = app.owner().await;
    let body = invitation("kim@maru.local", "crew", &[STORE_A]);
    let made = owner.post(PATH, &body).await.expect(201);
    let first = token_of(&mail_to(&app, "kim@maru.local", "invitation").await);
    owner
        .post(PATH, &body)
        .await
        .expect_problem(409, "already_invited");
    // Long after the first link ran out.
    app.clock.advance(Duration::from_secs(169 * 3_600));
    let owner = app.owner().await;
    let path = format!("{PATH}/{}/resend", text(&made, "id"));
    let renewed = owner.post(&path, &json!({})).await.expect(200);
    assert_eq!(renewed["created_at"], made["created_at"]);
    assert_ne!(renewed["expires_at"], made["expires_at"]);
    let second = token_of(&mail_to(&app, "kim@maru.local", "invitation").await);
    accept(&app, &first, PASSWORD)
        .await
        .expect_problem(422, "link_invalid");
    let _account = accept(&app, &second, PASSWORD).await.expect(201);
    owner
        .post(&path, &json!({}))
        .await
        .expect_problem(404, "not_found");
}

#[tokio::test]
async fn an_invitation_runs_out_and_somebody_may_be_invited_anew() {
    let app = TestApp::start().await;
    let owner = app.owner().await;
    let body = invitation("kim@maru.local", "crew", &[STORE_A]);
    let _made = owner.post(PATH, &body).await.expect(201);
    let token = token_of(&mail_to(&app, "kim@maru.local", "invitation").await);
    app.clock.advance(Duration::from_secs(168 * 3_600));
    accept(&app, &token, PASSWORD)
        .await
        .expect_problem(422, "link_invalid");
    let owner = app.owner().await;
    let _made = owner.post(PATH, &body).await.expect(201);
}

#[tokio::test]
async fn an_invitation_is_taken_back_by_whoever_could_give_it() {
    let app = TestApp::start().await;
    let manager = manager_of_a(&app).await;
    let owner = app.owner().await;
    let by_owner = invitation("kim@maru.local", "store_manager", &[STORE_A]);
    let by_owner = owner.post(PATH, &by_owner).await.expect(201);
    let by_manager = invitation("lee@maru.local", "crew", &[STORE_A]);
    let by_manager = manager.post(PATH, &by_manager).await.expect(201);
    let listed = manager.get(PATH).await.expect(200);
    assert_eq!(listed["items"], json!([by_manager]));
    let listed = owner.get(PATH).await.expect(200);
    assert_eq!(listed["items"].as_array().unwrap().len(), 2);

    delete(&manager, text(&by_owner, "id"))
        .await
        .expect_problem(404, "not_found");
    let path = format!("{PATH}/{}/resend", text(&by_owner, "id"));
    manager
        .post(&path, &json!({}))
        .await
        .expect_problem(404, "not_found");
    let token = token_of(&mail_to(&app, "lee@maru.local", "invitation").await);
    let taken_back = delete(&owner, text(&by_manager, "id")).await;
    assert_eq!(taken_back.status, 204);
    delete(&owner, text(&by_manager, "id"))
        .await
        .expect_problem(404, "not_found");
    accept(&app, &token, PASSWORD)
        .await
        .expect_problem(422, "link_invalid");
}

#[tokio::test]
async fn whoever_was_dismissed_leaves_no_open_invitation_behind() {
    let app = TestApp::start().await;
    let roles = ["store_manager"];
    let boss = app.make_user("boss@maru.local", &roles, &[STORE_A]).await;
    let manager = app.signed_in("boss@maru.local", PASSWORD).await;
    let body = invitation("kim@maru.local", "crew", &[STORE_A]);
    let _made = manager.post(PATH, &body).await.expect(201);
    let token = token_of(&mail_to(&app, "kim@maru.local", "invitation").await);
    let owner = app.owner().await;
    let demoted = app
        .patch(&owner, &boss, json!({"roles": ["crew"]}))
        .await
        .expect(200);
    accept(&app, &token, PASSWORD)
        .await
        .expect_problem(422, "link_invalid");
    let _back = app
        .patch(&owner, &demoted, json!({"roles": ["store_manager"]}))
        .await
        .expect(200);
    let _account = accept(&app, &token, PASSWORD).await.expect(201);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_who_use_one_link_at_once_one_gets_the_account() {
    let app = TestApp::start().await;
    let owner = app.owner().await;
    let body = invitation("kim@maru.local", "crew", &[STORE_A]);
    let _made = owner.post(PATH, &body).await.expect(201);
    let token = token_of(&mail_to(&app, "kim@maru.local", "invitation").await);
    let tries = (0..8).map(|_| accept(&app, &token, PASSWORD));
    let replies = futures_util::future::join_all(tries).await;
    let made = replies.iter().filter(|reply| reply.status == 201).count();
    assert_eq!(made, 1);
    for reply in replies.into_iter().filter(|reply| reply.status != 201) {
        reply.expect_problem(422, "link_invalid");
    }
}
