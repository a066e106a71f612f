use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use testkit::{ApiClient, Reply};

use crate::audit::entries;
use crate::harness::{OWNER_PASSWORD, PASSWORD, TestApp, text};
use crate::logins::claims_of;
use crate::mails::{count_mails, mail_to, token_of};
use crate::neighbour::Neighbour;

const STORE: &str = "0190b7a0-5a3c-7c1e-9a51-000000000001";
const MANAGER: &str = "manager@maru.local";
const OTHER: &str = "0190b7a0-5a3c-7c1e-9a51-000000000002";

async fn make(client: &ApiClient, change: Value) -> Reply {
    make_as(client, PASSWORD, change).await
}

async fn make_as(client: &ApiClient, password: &str, change: Value) -> Reply {
    let mut body = json!({
        "password": password, "name": "till export", "scopes": ["menu:read", "orders:read"],
    });
    let fields = body.as_object_mut().unwrap();
    fields.extend(change.as_object().unwrap().clone());
    client.post("/api/users/api-keys", &body).await
}

/// `client_id` and `client_secret` of a whole key.
pub(crate) fn halves(key: &Value) -> (String, String) {
    let whole = text(key, "secret");
    let prefix = text(key, "prefix");
    let secret = whole.strip_prefix(&format!("maru_{prefix}_")).unwrap();
    (prefix.to_owned(), secret.to_owned())
}

pub(crate) async fn exchange(app: &TestApp, (id, secret): &(String, String)) -> Reply {
    let body = json!({"client_id": id, "client_secret": secret});
    app.client.post("/api/auth/token", &body).await
}

async fn manager(app: &TestApp) -> ApiClient {
    app.make_user(MANAGER, &["store_manager"], &[STORE, OTHER])
        .await;
    app.signed_in(MANAGER, PASSWORD).await
}

#[tokio::test]
async fn a_key_is_shown_once_and_exchanged_for_a_token_within_its_scopes_and_stores() {
    let app = TestApp::start().await;
    let manager = manager(&app).await;
    let reply = make(&manager, json!({"stores": [STORE]})).await;
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    let key = reply.expect(201);
    let halves = halves(&key);
    let answer = exchange(&app, &halves).await;
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let answer = answer.expect(200);
    assert_eq!(answer["scope"], "menu:read orders:read");
    assert_eq!(answer["expires_in"], 600);
    let claims = claims_of(text(&answer, "access_token"));
    let me = manager.get("/api/auth/me").await.expect(200);
    assert_eq!(claims["sub"], me["id"]);
    assert_eq!(claims["sid"], key["id"]);
    assert_eq!(claims["typ"], "delegated");
    assert_eq!(claims["azp"], key["prefix"]);
    assert_eq!(claims["stores"], json!([STORE]));
    // As a form, as RFC 6749 has it.
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", &halves.0),
        ("client_secret", &halves.1),
    ];
    let request = app.client.request(Method::POST, "/api/auth/token");
    let _answer = app.client.send(request.form(&form)).await.expect(200);

    // Never again: neither in the list nor in the database.
    let listed = manager.get("/api/users/api-keys").await.expect(200);
    assert_eq!(listed["items"][0]["prefix"], key["prefix"]);
    assert!(!listed.to_string().contains(&halves.1));
    let mut tx = app.db().await.read().await.unwrap();
    let sql = "SELECT secret_hash FROM api_keys";
    let (hash,) = store::fetch_one!(tx, (String,), sql).unwrap();
    assert_eq!(hash.len(), 64);
    assert!(!hash.contains(&halves.1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_hold_a_key_to_its_scopes_and_refuse_it_once_it_is_revoked() {
    let app = TestApp::start().await;
    let neighbour = Neighbour::of(&app);
    let manager = manager(&app).await;
    let reads_menu = make(&manager, json!({"scopes": ["menu:read"]}))
        .await
        .expect(201);
    // The list is in the order of their making, to the millisecond.
    app.clock.advance(Duration::from_millis(1));
    let reads_orders = make(&manager, json!({"scopes": ["orders:read"]}))
        .await
        .expect(201);
    let token = async |key: &Value| {
        let answer = exchange(&app, &halves(key)).await.expect(200);
        text(&answer, "access_token").to_owned()
    };
    let (menu, orders) = (token(&reads_menu).await, token(&reads_orders).await);
    assert_eq!(neighbour.status(&menu).await, 204);
    assert_eq!(neighbour.status(&orders).await, 403);
    // A key is nobody who is signed in.
    for path in [
        "/api/auth/me",
        "/api/auth/sessions",
        "/api/users",
        "/api/users/api-keys",
    ] {
        let reply = app.client.with_token(&menu).get(path).await;
        reply.expect_problem(403, "forbidden");
    }
    let path = format!("/api/users/api-keys/{}", text(&reads_menu, "id"));
    manager.delete(&path).await.expect(204);
    manager.delete(&path).await.expect(204);
    let took = neighbour.refuses("a revoked key", &menu).await;
    assert!(took < Duration::from_secs(5), "{took:?}");
    exchange(&app, &halves(&reads_menu))
        .await
        .expect_problem(401, "client_invalid");
    let listed = manager.get("/api/users/api-keys").await.expect(200);
    assert!(listed["items"][1]["revoked_at"].is_string(), "{listed}");
    assert_eq!(entries(&app, "api_key.created").await.len(), 2);
    assert_eq!(entries(&app, "api_key.revoked").await.len(), 1);
}

#[tokio::test]
async fn a_borrowed_session_makes_no_key() {
    let app = TestApp::start_with(&[("USER__THROTTLE__PAIR_FREE", "1")]).await;
    let manager = manager(&app).await;
    for _ in 0..2 {
        make_as(&manager, "a guess", json!({}))
            .await
            .expect_problem(422, "password_wrong");
    }
    make(&manager, json!({}))
        .await
        .expect_problem(429, "too_many_requests");
    let without = json!({"name": "till export", "scopes": ["menu:read"]});
    manager
        .post("/api/users/api-keys", &without)
        .await
        .expect_problem(400, "missing_field");
    assert_eq!(count_mails(&app, MANAGER, "api_key_created").await, 0);
    app.clock.advance(Duration::from_secs(1));
    let _key = make(&manager, json!({})).await.expect(201);
    let told = mail_to(&app, MANAGER, "api_key_created").await;
    assert_eq!(told["variables"]["name"], "till export");
    assert_eq!(told["variables"]["display_name"], "Somebody");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_set_anew_by_link_revokes_the_keys_of_its_account_alone() {
    let app = TestApp::start().await;
    let neighbour = Neighbour::of(&app);
    let manager = manager(&app).await;
    let scope = json!({"scopes": ["menu:read"]});
    let key = make(&manager, scope.clone()).await.expect(201);
    let owner = app.owner().await;
    let owners = make_as(&owner, OWNER_PASSWORD, scope).await.expect(201);
    let answer = exchange(&app, &halves(&key)).await.expect(200);
    let token = text(&answer, "access_token");
    assert_eq!(neighbour.status(token).await, 204);

    let forgot = json!({"email": MANAGER});
    let asked = app.client.post("/api/auth/password/forgot", &forgot).await;
    assert_eq!(asked.status, 202);
    let link = token_of(&mail_to(&app, MANAGER, "reset_password").await);
    let new = json!({"token": link, "new_password": "another fine password"});
    let done = app.client.post("/api/auth/password/reset", &new).await;
    assert_eq!(done.status, 204, "{done}");
    exchange(&app, &halves(&key))
        .await
        .expect_problem(401, "client_invalid");
    let took = neighbour.refuses("a revoked key", token).await;
    assert!(took < Duration::from_secs(5), "{took:?}");
    let _token = exchange(&app, &halves(&owners)).await.expect(200);
    let [entry] = &entries(&app, "api_keys.revoked").await[..] else {
        panic!("one entry");
    };
    assert_eq!(entry["after"], json!({"revoked": 1}));
}

#[tokio::test]
async fn nobody_gives_a_key_what_they_do_not_have() {
    let app = TestApp::start().await;
    let manager = manager(&app).await;
    let foreign = "0190b7a0-5a3c-7c1e-9a51-000000000009";
    for (change, field) in [
        (json!({"scopes": ["users:write"]}), "scopes"),
        (json!({"scopes": ["catalog:write"]}), "scopes"),
        (
            json!({"scopes": ["users:read"], "stores": [STORE]}),
            "scopes",
        ),
        (json!({"scopes": []}), "scopes"),
        (json!({"stores": [foreign]}), "stores"),
        (json!({"name": ""}), "name"),
        (json!({"expires_at": "2020-01-01T00:00:00Z"}), "expires_at"),
        (json!({"expires_at": "2999-01-01T00:00:00Z"}), "expires_at"),
    ] {
        assert_eq!(
            make(&manager, change.clone()).await.expect_invalid(),
            [field],
            "{change}"
        );
    }
    make(&manager, json!({"scopes": ["no:such"]}))
        .await
        .expect_problem(400, "invalid_type");
    app.make_user("crew@maru.local", &["crew"], &[STORE]).await;
    let crew = app.signed_in("crew@maru.local", PASSWORD).await;
    make(&crew, json!({}))
        .await
        .expect_problem(403, "forbidden");
    // An owner's key stays in its stores, though the owner is at home in all; and what is the whole
    // chain's cannot be kept to some.
    let owner = app.owner().await;
    for scope in ["users:read", "menu:write", "catalog:write"] {
        let everywhere = json!({"scopes": [scope]});
        let _key = make_as(&owner, OWNER_PASSWORD, everywhere)
            .await
            .expect(201);
        let somewhere = json!({"scopes": [scope], "stores": [STORE]});
        let refused = make_as(&owner, OWNER_PASSWORD, somewhere).await;
        assert_eq!(refused.expect_invalid(), ["scopes"], "{scope}");
    }
    let key = make_as(&owner, OWNER_PASSWORD, json!({"stores": [STORE]}))
        .await
        .expect(201);
    let answer = exchange(&app, &halves(&key)).await.expect(200);
    let verifier = resilience::plain_http(Duration::from_secs(5));
    let keys = common::auth::UserServiceKeys::new(app.client.base(), verifier);
    let verifier = common::auth::TokenVerifier::new(keys, app.clock.clone());
    let caller = verifier
        .verify(text(&answer, "access_token"))
        .await
        .unwrap();
    assert!(caller.require_store(STORE.parse().unwrap()).is_ok());
    assert!(caller.require_store(OTHER.parse().unwrap()).is_err());
}

#[tokio::test]
async fn a_key_ends_with_its_time_its_account_and_its_rights() {
    let app = TestApp::start().await;
    let manager = manager(&app).await;
    let expires_at = app.clock.now().plus(Duration::from_secs(300)).to_string();
    let short = make(&manager, json!({"expires_at": expires_at}))
        .await
        .expect(201);
    let answer = exchange(&app, &halves(&short)).await.expect(200);
    assert_eq!(
        answer["expires_in"], 300,
        "a token does not outlive its key"
    );
    let long = make(&manager, json!({})).await.expect(201);
    app.clock.advance(Duration::from_secs(300));
    exchange(&app, &halves(&short))
        .await
        .expect_problem(401, "client_invalid");
    let _answer = exchange(&app, &halves(&long)).await.expect(200);
    let owner = app.owner().await;
    let me = manager.get("/api/auth/me").await.expect(200);
    let demoted = app
        .patch(&owner, &me, json!({"roles": ["kiosk"]}))
        .await
        .expect(200);
    let answer = exchange(&app, &halves(&long)).await.expect(200);
    assert_eq!(
        claims_of(text(&answer, "access_token"))["roles"],
        json!(["kiosk"])
    );
    let _disabled = app
        .patch(&owner, &demoted, json!({"disabled": true}))
        .await
        .expect(200);
    exchange(&app, &halves(&long))
        .await
        .expect_problem(401, "client_invalid");
}

#[tokio::test]
async fn what_is_no_key_is_refused_alike_and_use_is_remembered_by_the_minute() {
    let app = TestApp::start().await;
    let manager = manager(&app).await;
    let key = make(&manager, json!({})).await.expect(201);
    let (prefix, secret) = halves(&key);
    let own = |text: &str| text.to_owned();
    for wrong in [
        (prefix.clone(), own("wrong")),
        (prefix.clone(), secret.to_uppercase()),
        (own("0123456789ab"), secret.clone()),
        (own(""), own("")),
        (own("\u{0}"), own("\u{0}")),
    ] {
        exchange(&app, &wrong)
            .await
            .expect_problem(401, "client_invalid");
    }
    let used = async || {
        let listed = manager.get("/api/users/api-keys").await.expect(200);
        listed["items"][0]["last_used_at"].clone()
    };
    assert_eq!(used().await, Value::Null);
    let halves = (prefix, secret);
    let _token = exchange(&app, &halves).await.expect(200);
    let first = used().await;
    assert!(first.is_string());
    app.clock.advance(Duration::from_secs(59));
    let _token = exchange(&app, &halves).await.expect(200);
    assert_eq!(used().await, first);
    app.clock.advance(Duration::from_secs(1));
    let _token = exchange(&app, &halves).await.expect(200);
    assert_ne!(used().await, first);
}
