use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use testkit::{ApiClient, Reply};

use crate::harness::{OWNER, OWNER_PASSWORD, PASSWORD, TestApp, text};
use crate::mails::{count_mails, mail_to, token_of};
use crate::second_factors::enrol;

const KIM: &str = "kim@maru.local";
const NEW: &str = "Kim.Lee@maru.local";

async fn verify(app: &TestApp, token: &str) -> Reply {
    let body = json!({"token": token});
    app.client.post("/api/auth/email/verify", &body).await
}

async fn ask_change(client: &ApiClient, email: &str, password: &str) -> Reply {
    let body = json!({"email": email, "password": password});
    client.post("/api/auth/email", &body).await
}

async fn kim(app: &TestApp) -> ApiClient {
    let _user = app.make_user(KIM, &["crew"], &[]).await;
    app.signed_in(KIM, PASSWORD).await
}

async fn me(client: &ApiClient) -> Value {
    client.get("/api/auth/me").await.expect(200)
}

#[tokio::test]
async fn an_address_is_proved_by_its_mail_once() {
    let app = TestApp::start().await;
    let client = kim(&app).await;
    assert_eq!(me(&client).await["settings"]["email_verified"], false);
    let path = "/api/auth/email/verification";
    let ask = async || client.send(client.request(Method::POST, path)).await;
    assert_eq!(ask().await.status, 202);
    let first = token_of(&mail_to(&app, KIM, "verify_email").await);
    app.clock.advance(Duration::from_millis(1));
    assert_eq!(ask().await.status, 202);
    let second = token_of(&mail_to(&app, KIM, "verify_email").await);
    verify(&app, &first)
        .await
        .expect_problem(422, "link_invalid");
    assert_eq!(verify(&app, &second).await.status, 204);
    assert_eq!(me(&client).await["settings"]["email_verified"], true);
    verify(&app, &second)
        .await
        .expect_problem(422, "link_invalid");
}

#[tokio::test]
async fn a_new_address_signs_in_once_it_is_proved_and_the_old_one_is_told() {
    let app = TestApp::start().await;
    let client = kim(&app).await;
    let old_reset = json!({"email": KIM});
    let asked = app.client.post("/api/auth/password/forgot", &old_reset);
    assert_eq!(asked.await.status, 202);
    let in_old_mailbox = token_of(&mail_to(&app, KIM, "reset_password").await);

    assert_eq!(ask_change(&client, NEW, PASSWORD).await.status, 202);
    assert_eq!(me(&client).await["email"], KIM, "not before it is proved");
    app.log_in(NEW, PASSWORD)
        .await
        .expect_problem(401, "credentials_invalid");
    let token = token_of(&mail_to(&app, NEW, "verify_email").await);
    assert_eq!(verify(&app, &token).await.status, 204);

    let me = me(&client).await;
    assert_eq!(me["email"], NEW);
    assert_eq!(me["settings"]["email_verified"], true);
    assert_eq!(me["version"], 2);
    app.log_in(KIM, PASSWORD)
        .await
        .expect_problem(401, "credentials_invalid");
    let _client = app.signed_in("KIM.LEE@maru.local", PASSWORD).await;
    let told = mail_to(&app, KIM, "email_changed").await;
    assert_eq!(told["variables"]["new_email"], NEW);
    let body = json!({"token": in_old_mailbox, "new_password": "another fine password"});
    app.client
        .post("/api/auth/password/reset", &body)
        .await
        .expect_problem(422, "link_invalid");
}

#[tokio::test]
async fn an_address_belongs_to_one_account() {
    let app = TestApp::start().await;
    let client = kim(&app).await;
    ask_change(&client, "OWNER@maru.local", PASSWORD)
        .await
        .expect_problem(409, "email_taken");
    assert_eq!(ask_change(&client, NEW, PASSWORD).await.status, 202);
    let token = token_of(&mail_to(&app, NEW, "verify_email").await);
    // Somebody else gets it in the meantime.
    let _other = app.make_user(NEW, &["crew"], &[]).await;
    verify(&app, &token)
        .await
        .expect_problem(409, "email_taken");
    assert_eq!(me(&client).await["email"], KIM);
}

#[tokio::test]
async fn a_change_of_address_needs_the_password_and_a_fresh_link() {
    let app = TestApp::start().await;
    let client = kim(&app).await;
    ask_change(&client, NEW, "wrong")
        .await
        .expect_problem(422, "password_wrong");
    let malformed = ask_change(&client, "kim", PASSWORD).await;
    assert_eq!(malformed.expect_invalid(), ["email"]);
    ask_change(&app.client, NEW, PASSWORD)
        .await
        .expect_problem(401, "token_missing");
    assert_eq!(count_mails(&app, NEW, "verify_email").await, 0);

    assert_eq!(ask_change(&client, NEW, PASSWORD).await.status, 202);
    let token = token_of(&mail_to(&app, NEW, "verify_email").await);
    app.clock.advance(Duration::from_secs(24 * 3_600));
    verify(&app, &token)
        .await
        .expect_problem(422, "link_invalid");
    let _tokens = app.log_in(KIM, PASSWORD).await.expect(200);
}

#[tokio::test]
async fn a_change_of_address_does_not_outlive_what_shuts_its_asker_out() {
    let mut outlived = Vec::new();
    for way in ["reset", "change", "second factors", "disabled"] {
        let app = TestApp::start().await;
        let client = kim(&app).await;
        let id = text(&me(&client).await, "id").to_owned();
        if way == "second factors" {
            let (_generator, _codes) = enrol(&app, &client, PASSWORD).await;
        }
        assert_eq!(ask_change(&client, NEW, PASSWORD).await.status, 202);
        let token = token_of(&mail_to(&app, NEW, "verify_email").await);
        shut_out(&app, &client, &id, way).await;
        if verify(&app, &token).await.status != 422 {
            outlived.push(way);
        }
    }
    assert_eq!(outlived, [""; 0]);
}

/// Takes the account back from whoever got into it.
async fn shut_out(app: &TestApp, client: &ApiClient, id: &str, way: &str) {
    let new = "another fine password";
    let reply = match way {
        "reset" => {
            let forgot = json!({"email": KIM});
            let asked = app.client.post("/api/auth/password/forgot", &forgot);
            assert_eq!(asked.await.status, 202);
            let token = token_of(&mail_to(app, KIM, "reset_password").await);
            let body = json!({"token": token, "new_password": new});
            app.client.post("/api/auth/password/reset", &body).await
        }
        "change" => {
            let body = json!({"current_password": PASSWORD, "new_password": new});
            client.post("/api/auth/password/change", &body).await
        }
        "second factors" => {
            let body = json!({"password": OWNER_PASSWORD});
            let path = format!("/api/users/{id}/mfa/reset");
            app.owner().await.post(&path, &body).await
        }
        _ => {
            let owner = app.owner().await;
            let path = format!("/api/users/{id}");
            let user = owner.get(&path).await.expect(200);
            let user = app.patch(&owner, &user, json!({"disabled": true})).await;
            let user = user.expect(200);
            app.patch(&owner, &user, json!({"disabled": false})).await
        }
    };
    assert!([200, 204].contains(&reply.status), "{way}: {reply}");
}

#[tokio::test]
async fn nobody_is_flooded_with_mails_that_they_did_not_ask_for() {
    let app = TestApp::start_with(&[("USER__THROTTLE__PAIR_FREE", "2")]).await;
    let client = kim(&app).await;
    for number in 0..3 {
        let victim = format!("victim-{number}@maru.local");
        assert_eq!(ask_change(&client, &victim, PASSWORD).await.status, 202);
    }
    ask_change(&client, "victim-3@maru.local", PASSWORD)
        .await
        .expect_problem(429, "too_many_requests");
    let request = client.request(Method::POST, "/api/auth/email/verification");
    client
        .send(request)
        .await
        .expect_problem(429, "too_many_requests");
}

#[tokio::test]
async fn people_change_their_own_name_and_language() {
    let app = TestApp::start().await;
    let user = app.make_user(KIM, &["crew"], &[]).await;
    let client = app.signed_in(KIM, PASSWORD).await;
    let patch = async |client: &ApiClient, change: Value| {
        let request = client.request(Method::PATCH, "/api/auth/me").json(&change);
        client.send(request).await
    };
    let change = json!({"display_name": "김유진", "locale": "ko-KR"});
    let changed = patch(&client, change.clone()).await.expect(200);
    assert_eq!(changed["display_name"], "김유진");
    assert_eq!(changed["settings"]["locale"], "ko-KR");
    assert_eq!(changed["version"], 2);
    assert_eq!(changed["roles"], user["roles"]);
    let again = patch(&client, change).await.expect(200);
    assert_eq!(again["version"], 2, "repeating it changes nothing");
    let nothing = patch(&client, json!({})).await.expect(200);
    assert_eq!(nothing, again);
    let refused = patch(&client, json!({"display_name": " ", "locale": "Korean!"})).await;
    assert_eq!(refused.expect_invalid(), ["display_name", "locale"]);
    for foreign in [json!({"roles": ["owner"]}), json!({"email": NEW})] {
        patch(&client, foreign)
            .await
            .expect_problem(400, "unknown_field");
    }
    patch(&app.client, json!({}))
        .await
        .expect_problem(401, "token_missing");

    // Mails come in that language from now on.
    let forgot = json!({"email": KIM});
    let asked = app.client.post("/api/auth/password/forgot", &forgot);
    assert_eq!(asked.await.status, 202);
    let mail = mail_to(&app, KIM, "reset_password").await;
    assert_eq!(mail["locale"], "ko-KR");
    assert_eq!(mail["variables"]["display_name"], "김유진");
    let _owner = app.log_in(OWNER, OWNER_PASSWORD).await.expect(200);
}
