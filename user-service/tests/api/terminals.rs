use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use testkit::{ApiClient, Reply};

use crate::authenticator::Authenticator;
use crate::harness::{OWNER, OWNER_PASSWORD, PASSWORD, TestApp, text};
use crate::logins::claims_of;
use crate::passkeys::add_passkey;

const STORE_A: &str = "0190b7a0-5a3c-7c1e-9a51-2f3a4b5c6d0a";
const STORE_B: &str = "0190b7a0-5a3c-7c1e-9a51-2f3a4b5c6d0b";
const DEVICES: &str = "/api/users/devices";
const PIN: &str = "4071";

/// A terminal of a store, registered by this client.
async fn register(client: &ApiClient, store: &str) -> Value {
    let body = json!({"store_id": store, "name": "Till 2"});
    client.post(DEVICES, &body).await.expect(201)
}

async fn revoke(client: &ApiClient, device: &Value) -> Reply {
    let path = format!("{DEVICES}/{}", text(device, "id"));
    client.send(client.request(Method::DELETE, &path)).await
}

async fn choose_pin(client: &ApiClient, password: &str, pin: &str) -> Reply {
    let body = json!({"password": password, "pin": pin});
    client.put("/api/auth/pin", &body).await
}

async fn take_turn(app: &TestApp, device: &Value, account: &Value, pin: &str) -> Reply {
    let body = json!({"account_id": account["id"], "pin": pin});
    let request = app
        .client
        .request(Method::POST, "/api/auth/pin")
        .json(&body);
    let request = request.header("x-device-token", text(device, "device_token"));
    app.client.send(request).await
}

async fn people(app: &TestApp, device: &Value) -> Vec<String> {
    let request = app.client.request(Method::GET, "/api/auth/pin/people");
    let request = request.header("x-device-token", text(device, "device_token"));
    let page = app.client.send(request).await.expect(200);
    let items = page["items"].as_array().unwrap().iter();
    items
        .map(|one| text(one, "account_id").to_owned())
        .collect()
}

/// Somebody with a PIN.
async fn worker(app: &TestApp, email: &str, roles: &[&str], stores: &[&str]) -> Value {
    let user = app.make_user(email, roles, stores).await;
    let client = app.signed_in(email, PASSWORD).await;
    assert_eq!(choose_pin(&client, PASSWORD, PIN).await.status, 204);
    user
}

#[tokio::test]
async fn people_take_turns_at_a_terminal_of_their_store() {
    let app = TestApp::start().await;
    let owner = app.owner().await;
    let stores = [STORE_A, STORE_B];
    let kim = worker(&app, "kim@maru.local", &["crew"], &stores).await;
    let _lee = worker(&app, "lee@maru.local", &["crew"], &[STORE_B]).await;
    let till = register(&owner, STORE_A).await;
    assert!(text(&till, "device_token").starts_with("maru_dv_"));
    assert_eq!(people(&app, &till).await, [text(&kim, "id")]);

    let reply = take_turn(&app, &till, &kim, PIN).await;
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    let tokens = reply.expect(200);
    let claims = claims_of(text(&tokens, "access_token"));
    assert_eq!(claims["sub"], kim["id"]);
    assert_eq!(claims["roles"], json!(["crew"]));
    assert_eq!(claims["stores"], json!([STORE_A]), "of two stores this one");
    // The session stays in that store, and it is short.
    let refreshed = app
        .refresh(text(&tokens, "refresh_token"))
        .await
        .expect(200);
    let claims = claims_of(text(&refreshed, "access_token"));
    assert_eq!(claims["stores"], json!([STORE_A]));
    app.clock.advance(Duration::from_secs(3_600));
    app.refresh(text(&refreshed, "refresh_token"))
        .await
        .expect_problem(401, "refresh_token_invalid");
    let listed = app.owner().await.get(DEVICES).await.expect(200);
    assert!(listed["items"][0]["last_used_at"].is_string());
    assert!(listed["items"][0].get("device_token").is_none());
}

#[tokio::test]
async fn an_owner_at_a_terminal_is_no_more_than_its_manager() {
    let app = TestApp::start().await;
    let owner = app.owner().await;
    assert_eq!(choose_pin(&owner, OWNER_PASSWORD, PIN).await.status, 204);
    let me = owner.get("/api/auth/me").await.expect(200);
    let till = register(&owner, STORE_A).await;
    assert_eq!(people(&app, &till).await, [text(&me, "id")]);
    let tokens = take_turn(&app, &till, &me, PIN).await.expect(200);
    let claims = claims_of(text(&tokens, "access_token"));
    assert_eq!(claims["roles"], json!(["store_manager"]));
    assert_eq!(claims["stores"], json!([STORE_A]));

    // What the account could do elsewhere it cannot do here.
    let here = app.client.with_token(text(&tokens, "access_token"));
    let invitation = |role: &str, store: &str| {
        json!({
            "email": format!("{role}@maru.local"), "display_name": "Kim", "role": role,
            "stores": [store],
        })
    };
    let path = "/api/users/invitations";
    for (role, store) in [
        ("owner", STORE_A),
        ("store_manager", STORE_A),
        ("crew", STORE_B),
    ] {
        here.post(path, &invitation(role, store))
            .await
            .expect_problem(403, "not_held");
    }
    let _made = here
        .post(path, &invitation("crew", STORE_A))
        .await
        .expect(201);
    let foreign = json!({"store_id": STORE_B, "name": "Till 3"});
    here.post(DEVICES, &foreign)
        .await
        .expect_problem(404, "not_found");
    let key = json!({
        "password": OWNER_PASSWORD, "name": "till export", "scopes": ["menu:read"],
    });
    here.post("/api/users/api-keys", &key)
        .await
        .expect_problem(403, "at_terminal");
    here.get("/api/users/dev/outbox")
        .await
        .expect_problem(403, "forbidden");
    let path = format!("/api/users/{}/erase", text(&me, "id"));
    here.post(&path, &json!({}))
        .await
        .expect_problem(403, "forbidden");
}

#[tokio::test]
async fn a_turn_at_a_terminal_reaches_the_people_of_its_store_alone() {
    let app = TestApp::start().await;
    let owner = app.owner().await;
    let roles = ["area_manager"];
    let area = worker(&app, "area@maru.local", &roles, &[STORE_A, STORE_B]).await;
    let here = worker(&app, "kim@maru.local", &["crew"], &[STORE_A]).await;
    let elsewhere = worker(&app, "lee@maru.local", &["crew"], &[STORE_B]).await;
    assert_eq!(choose_pin(&owner, OWNER_PASSWORD, PIN).await.status, 204);
    let me = owner.get("/api/auth/me").await.expect(200);
    let till = register(&owner, STORE_A).await;
    let listed = async |client: &ApiClient, query: &str| {
        let page = client.get(&format!("/api/users{query}")).await.expect(200);
        let items = page["items"].as_array().unwrap().iter();
        let ids = items.map(|one| text(one, "id").to_owned());
        ids.collect::<Vec<_>>()
    };
    let ids = |people: &[&Value]| -> Vec<String> {
        let ids = people.iter().map(|one| text(one, "id").to_owned());
        ids.collect()
    };
    for (person, visible) in [
        (&area, ids(&[&area, &here])),
        (&me, ids(&[&me, &area, &here])),
    ] {
        let tokens = take_turn(&app, &till, person, PIN).await.expect(200);
        let client = app.client.with_token(text(&tokens, "access_token"));
        assert_eq!(listed(&client, "").await, visible);
        let lee = format!("/api/users/{}", text(&elsewhere, "id"));
        let sessions = format!("{lee}/sessions");
        client.get(&lee).await.expect_problem(404, "not_found");
        client.get(&sessions).await.expect_problem(404, "not_found");
        client
            .delete(&sessions)
            .await
            .expect_problem(404, "not_found");
        let kim = format!("/api/users/{}/sessions", text(&here, "id"));
        let _sessions = client.get(&kim).await.expect(200);
    }
    // With the password the same person reaches both stores.
    let client = app.signed_in("area@maru.local", PASSWORD).await;
    assert_eq!(listed(&client, "").await, ids(&[&area, &here, &elsewhere]));
    let in_b = listed(&client, &format!("?store_id={STORE_B}")).await;
    assert_eq!(in_b, ids(&[&area, &elsewhere]));
}

#[tokio::test]
async fn whoever_may_not_take_a_turn_learns_nothing_of_why() {
    let app = TestApp::start().await;
    let owner = app.owner().await;
    let kim = worker(&app, "kim@maru.local", &["crew"], &[STORE_A]).await;
    let elsewhere = worker(&app, "lee@maru.local", &["crew"], &[STORE_B]).await;
    let gone = worker(&app, "park@maru.local", &["crew"], &[STORE_A]).await;
    let _gone = app
        .patch(&owner, &gone, json!({"disabled": true}))
        .await
        .expect(200);
    let without = app
        .make_user("choi@maru.local", &["crew"], &[STORE_A])
        .await;
    let nobody = json!({"id": STORE_A});
    let till = register(&owner, STORE_A).await;
    let mut answers = Vec::new();
    for (account, pin) in [
        (&kim, "9999"),
        (&elsewhere, PIN),
        (&gone, PIN),
        (&without, PIN),
        (&nobody, PIN),
    ] {
        let before = hashes(&app).await;
        let problem = take_turn(&app, &till, account, pin).await;
        let mut problem = problem.expect_problem(401, "pin_invalid");
        problem.request_id = None;
        answers.push(serde_json::to_value(problem).unwrap());
        assert_eq!(hashes(&app).await, before + 1, "{account}");
    }
    assert!(answers.windows(2).all(|pair| pair[0] == pair[1]));
    assert_eq!(people(&app, &till).await, [text(&kim, "id")]);
    let malformed = take_turn(&app, &till, &kim, "12a4").await;
    assert_eq!(malformed.expect_invalid(), ["pin"]);
}

/// How many hashes were computed so far.
async fn hashes(app: &TestApp) -> u64 {
    let metrics = app.client.get("/metrics").await.text;
    let mut lines = metrics.lines();
    let line = lines.find(|line| line.starts_with("user_password_hash_seconds_count"));
    let count = line.and_then(|line| line.rsplit(' ').next()?.parse().ok());
    count.expect("hashes are counted")
}

#[tokio::test]
async fn a_pin_is_worth_nothing_without_a_terminal() {
    let app = TestApp::start().await;
    let owner = app.owner().await;
    let kim = worker(&app, "kim@maru.local", &["crew"], &[STORE_A]).await;
    let till = register(&owner, STORE_A).await;
    let token = text(&till, "device_token");
    for bad in ["", "x", &token[1..], &format!("maru_dv_{}", "A".repeat(43))] {
        let forged = json!({"device_token": bad});
        take_turn(&app, &forged, &kim, PIN)
            .await
            .expect_problem(401, "device_invalid");
    }
    let body = json!({"account_id": kim["id"], "pin": PIN});
    app.client
        .post("/api/auth/pin", &body)
        .await
        .expect_problem(401, "device_invalid");
    let twice = app.client.request(Method::GET, "/api/auth/pin/people");
    let twice = twice.header("x-device-token", token);
    let twice = twice.header("x-device-token", token);
    app.client
        .send(twice)
        .await
        .expect_problem(401, "device_invalid");
    app.log_in("kim@maru.local", PIN)
        .await
        .expect_problem(401, "credentials_invalid");
}

#[tokio::test]
async fn a_revoked_terminal_ends_its_sessions_alone() {
    let app = TestApp::start().await;
    let owner = app.owner().await;
    let kim = worker(&app, "kim@maru.local", &["crew"], &[STORE_A]).await;
    let (lost, kept) = (
        register(&owner, STORE_A).await,
        register(&owner, STORE_A).await,
    );
    let at_lost = take_turn(&app, &lost, &kim, PIN).await.expect(200);
    let at_kept = take_turn(&app, &kept, &kim, PIN).await.expect(200);
    assert_eq!(revoke(&owner, &lost).await.status, 204);
    assert_eq!(revoke(&owner, &lost).await.status, 204, "repeated");
    take_turn(&app, &lost, &kim, PIN)
        .await
        .expect_problem(401, "device_invalid");
    app.refresh(text(&at_lost, "refresh_token"))
        .await
        .expect_problem(401, "refresh_token_invalid");
    let _tokens = app
        .refresh(text(&at_kept, "refresh_token"))
        .await
        .expect(200);
}

#[tokio::test]
async fn managers_keep_the_terminals_of_their_own_stores() {
    let app = TestApp::start().await;
    let owner = app.owner().await;
    let roles = ["store_manager"];
    let _boss = app.make_user("boss@maru.local", &roles, &[STORE_A]).await;
    let manager = app.signed_in("boss@maru.local", PASSWORD).await;
    let foreign = json!({"store_id": STORE_B, "name": "Till 3"});
    manager
        .post(DEVICES, &foreign)
        .await
        .expect_problem(404, "not_found");
    let own = register(&manager, STORE_A).await;
    app.clock.advance(Duration::from_millis(1));
    let other = register(&owner, STORE_B).await;
    let listed = manager.get(DEVICES).await.expect(200);
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
    assert_eq!(listed["items"][0]["id"], own["id"]);
    let first = owner.get(&format!("{DEVICES}?limit=1")).await.expect(200);
    assert_eq!(first["items"][0]["id"], own["id"]);
    let next = format!("{DEVICES}?limit=1&cursor={}", text(&first, "next_cursor"));
    let second = owner.get(&next).await.expect(200);
    assert_eq!(second["items"][0]["id"], other["id"]);
    revoke(&manager, &other)
        .await
        .expect_problem(404, "not_found");
    assert_eq!(revoke(&manager, &own).await.status, 204);

    let _crew = app.make_user("kim@maru.local", &["crew"], &[STORE_A]).await;
    let crew = app.signed_in("kim@maru.local", PASSWORD).await;
    let body = json!({"store_id": STORE_A, "name": "Till 4"});
    crew.post(DEVICES, &body)
        .await
        .expect_problem(403, "forbidden");
    crew.get(DEVICES).await.expect_problem(403, "forbidden");
    let body = json!({"store_id": STORE_A, "name": " "});
    assert_eq!(owner.post(DEVICES, &body).await.expect_invalid(), ["name"]);
}

#[tokio::test]
async fn a_pin_that_everybody_tries_first_is_refused() {
    let app = TestApp::start().await;
    let owner = app.owner().await;
    for (pin, code) in [
        ("0000", "too_common"),
        ("1234", "too_common"),
        ("987654", "too_common"),
        ("1995", "too_common"),
        ("123", "malformed"),
        ("1234567", "malformed"),
        ("40a1", "malformed"),
    ] {
        let problem = choose_pin(&owner, OWNER_PASSWORD, pin).await;
        let problem = problem.expect_problem(422, "invalid_fields");
        let fault = problem.errors.first().unwrap();
        assert_eq!((fault.field.as_str(), fault.code.as_str()), ("pin", code));
    }
    choose_pin(&owner, "wrong", PIN)
        .await
        .expect_problem(422, "password_wrong");
    choose_pin(&app.client, OWNER_PASSWORD, PIN)
        .await
        .expect_problem(401, "token_missing");
}

#[tokio::test]
async fn a_pin_is_changed_and_given_up() {
    let app = TestApp::start().await;
    let owner = app.owner().await;
    let kim = worker(&app, "kim@maru.local", &["crew"], &[STORE_A]).await;
    let till = register(&owner, STORE_A).await;
    let client = app.signed_in("kim@maru.local", PASSWORD).await;
    assert_eq!(choose_pin(&client, PASSWORD, "83915").await.status, 204);
    take_turn(&app, &till, &kim, PIN)
        .await
        .expect_problem(401, "pin_invalid");
    let _tokens = take_turn(&app, &till, &kim, "83915").await.expect(200);
    for _ in 0..2 {
        let request = client.request(Method::DELETE, "/api/auth/pin");
        assert_eq!(client.send(request).await.status, 204);
    }
    take_turn(&app, &till, &kim, "83915")
        .await
        .expect_problem(401, "pin_invalid");
    assert!(people(&app, &till).await.is_empty());
}

#[tokio::test]
async fn pins_cannot_be_guessed_and_nobody_is_locked_out_for_good() {
    let app = TestApp::start_with(&[
        ("USER__THROTTLE__PAIR_FREE", "2"),
        ("USER__THROTTLE__ACCOUNT_FREE", "4"),
    ])
    .await;
    let owner = app.owner().await;
    let kim = worker(&app, "kim@maru.local", &["crew"], &[STORE_A]).await;
    let lee = worker(&app, "lee@maru.local", &["crew"], &[STORE_A]).await;
    let (one, other) = (
        register(&owner, STORE_A).await,
        register(&owner, STORE_A).await,
    );
    let fail = async |device: &Value| {
        let reply = take_turn(&app, device, &kim, "9999").await;
        reply.expect_problem(401, "pin_invalid");
    };
    for _ in 0..3 {
        fail(&one).await;
    }
    let delayed = take_turn(&app, &one, &kim, PIN).await;
    assert_eq!(delayed.header("retry-after"), Some("1"));
    delayed.expect_problem(429, "too_many_requests");
    let _colleague = take_turn(&app, &one, &lee, PIN).await.expect(200);
    let _elsewhere = take_turn(&app, &other, &kim, PIN).await.expect(200);
    // Many terminals do not make guessing quicker.
    fail(&other).await;
    fail(&other).await;
    take_turn(&app, &other, &kim, PIN)
        .await
        .expect_problem(429, "too_many_requests");
    app.clock.advance(Duration::from_secs(2));
    let _tokens = take_turn(&app, &one, &kim, PIN).await.expect(200);
    // The login with the password was never delayed.
    let _tokens = app.log_in("kim@maru.local", PASSWORD).await.expect(200);
    let _owner = app.log_in(OWNER, OWNER_PASSWORD).await.expect(200);
}

#[tokio::test]
async fn a_turn_at_a_terminal_changes_no_other_credential_than_the_pin() {
    let app = TestApp::start().await;
    let owner = app.owner().await;
    let kim = worker(&app, "kim@maru.local", &["crew"], &[STORE_A]).await;
    let elsewhere = app.signed_in("kim@maru.local", PASSWORD).await;
    let password = json!({"password": PASSWORD});
    let start = "/api/auth/passkeys/register/start";
    let begun = elsewhere.post(start, &password).await.expect(200);
    let (passkey, _phone) = add_passkey(&elsewhere, PASSWORD).await;
    let finish = json!({
        "ceremony_id": begun["ceremony_id"], "name": "Phone",
        "credential": Authenticator::new().register(&begun["options"]),
    });
    let both = json!({"password": PASSWORD, "code": "000000"});
    let till = register(&owner, STORE_A).await;
    let tokens = take_turn(&app, &till, &kim, PIN).await.expect(200);
    let here = app.client.with_token(text(&tokens, "access_token"));
    let path = format!("/api/auth/passkeys/{}", text(&passkey, "id"));
    let mut let_through = Vec::new();
    for (path, body) in [
        (start, &password),
        ("/api/auth/passkeys/register/finish", &finish),
        (&format!("{path}/remove"), &password),
        ("/api/auth/mfa/totp", &password),
        ("/api/auth/mfa/totp/confirm", &json!({"code": "000000"})),
        ("/api/auth/mfa/totp/disable", &both),
        ("/api/auth/mfa/recovery-codes", &both),
        (
            "/api/auth/email",
            &json!({"email": "thief@maru.local", "password": PASSWORD}),
        ),
        (
            "/api/auth/password/change",
            &json!({"current_password": PASSWORD, "new_password": "another fine password"}),
        ),
    ] {
        let reply = here.post(path, body).await;
        if reply.status != 403 || !reply.text.contains("\"at_terminal\"") {
            let_through.push(format!("{path}: {reply}"));
        }
    }
    let request = here.request(Method::PATCH, &path);
    let renamed = here.send(request.json(&json!({"name": "Watch"}))).await;
    if renamed.status != 403 {
        let_through.push(format!("{path}: {renamed}"));
    }
    assert_eq!(let_through, [""; 0]);
    assert_eq!(choose_pin(&here, PASSWORD, "83915").await.status, 204);
    let _passkeys = here.get("/api/auth/passkeys").await.expect(200);
}
