use std::time::Duration;

use serde_json::{Value, json};
use testkit::ApiClient;

use crate::harness::{OWNER, OWNER_PASSWORD, PASSWORD, TestApp, text};
use crate::mails::{mail_to, token_of};

const STORE_A: &str = "0190b7a0-5a3c-7c1e-9a51-2f3a4b5c6d0a";
const STORE_B: &str = "0190b7a0-5a3c-7c1e-9a51-2f3a4b5c6d0b";

fn somebody() -> Value {
    json!({
        "email": "kim@maru.local",
        "display_name": "Kim",
        "password": PASSWORD,
        "roles": ["crew"],
    })
}

fn with(field: &str, value: impl Into<Value>) -> Value {
    let mut body = somebody();
    body[field] = value.into();
    body
}

async fn emails(client: &ApiClient, path: &str) -> Vec<String> {
    let page = client.get(path).await.expect(200);
    let items = page["items"].as_array().unwrap().iter();
    items.map(|user| text(user, "email").to_owned()).collect()
}

#[tokio::test]
async fn an_account_is_made_read_and_listed() {
    let app = TestApp::start().await;
    let owner = app.owner().await;
    let mut body = with("roles", vec!["crew", "store_manager", "crew"]);
    body["stores"] = json!([STORE_B, STORE_A]);
    body["email"] = json!("Kim.Lee@Maru.Local");
    app.clock.advance(Duration::from_millis(1));
    let reply = owner.post("/api/users", &body).await;
    let location = reply.header("location").unwrap().to_owned();
    let made = reply.expect(201);
    assert_eq!(location, format!("/api/users/{}", text(&made, "id")));
    let now = app.clock.now().to_string();
    let expected = json!({
        "id": made["id"],
        "email": "Kim.Lee@Maru.Local",
        "display_name": "Kim",
        "roles": ["store_manager", "crew"],
        "stores": [STORE_A, STORE_B],
        "disabled": false,
        "version": 1,
        "created_at": now,
        "updated_at": now,
    });
    assert_eq!(made, expected);
    assert_eq!(owner.get(&location).await.expect(200), expected);
    let page = owner.get("/api/users").await.expect(200);
    assert_eq!(page["items"][1], expected);
    let _tokens = app.log_in("kim.lee@maru.local", PASSWORD).await.expect(200);
}

#[tokio::test]
async fn an_email_belongs_to_one_account_whatever_its_case() {
    let app = TestApp::start().await;
    let owner = app.owner().await;
    let _made = owner.post("/api/users", &somebody()).await.expect(201);
    for email in ["kim@maru.local", "KIM@Maru.Local"] {
        owner
            .post("/api/users", &with("email", email))
            .await
            .expect_problem(409, "email_taken");
    }
    assert_eq!(emails(&owner, "/api/users").await.len(), 2);
}

#[tokio::test]
async fn an_account_that_is_not_acceptable_is_refused_field_by_field() {
    let app = TestApp::start().await;
    let owner = app.owner().await;
    let check = async |field: &str, value: Value, code: &str| {
        let reply = owner.post("/api/users", &with(field, value)).await;
        let problem = reply.expect_problem(422, "invalid_fields");
        let fault = problem.errors.first().unwrap();
        assert_eq!((fault.field.as_str(), fault.code.as_str()), (field, code));
    };
    check("email", json!("kim"), "malformed").await;
    check("display_name", json!("  "), "empty").await;
    check("display_name", json!("x".repeat(101)), "too_long").await;
    check("display_name", json!("a\u{7}b"), "control_character").await;
    check("password", json!("short"), "too_short").await;
    check("password", json!("x".repeat(129)), "too_long").await;
    check("password", json!("Password1"), "too_common").await;
    check("password", json!("kim@maru.local"), "like_email").await;
    check("roles", json!([]), "empty").await;
    check("stores", json!(vec![STORE_A; 51]), "too_many").await;
    owner
        .post("/api/users", &with("roles", vec!["god"]))
        .await
        .expect_problem(400, "invalid_type");
    owner
        .post("/api/users", &with("id", STORE_A))
        .await
        .expect_problem(400, "unknown_field");
    assert_eq!(emails(&owner, "/api/users").await, [OWNER]);
}

#[tokio::test]
async fn a_change_needs_the_present_version() {
    let app = TestApp::start().await;
    let owner = app.owner().await;
    let made = app.make_user("kim@maru.local", &["crew"], &[STORE_A]).await;
    let change = json!({"display_name": "Kim Lee", "stores": [STORE_B]});
    let changed = app.patch(&owner, &made, change.clone()).await.expect(200);
    assert_eq!(changed["version"], 2);
    assert_eq!(changed["display_name"], "Kim Lee");
    assert_eq!(changed["stores"], json!([STORE_B]));
    assert_eq!(changed["roles"], json!(["crew"]), "what is not named stays");
    let path = format!("/api/users/{}", text(&made, "id"));
    assert_eq!(owner.get(&path).await.expect(200), changed);
    app.patch(&owner, &made, change)
        .await
        .expect_problem(409, "version_conflict");
    let nobody = json!({"id": STORE_A, "version": 1});
    app.patch(&owner, &nobody, json!({"disabled": true}))
        .await
        .expect_problem(404, "not_found");
}

#[tokio::test]
async fn a_person_chooses_the_password_of_a_new_account() {
    let app = TestApp::start().await;
    let owner = app.owner().await;
    let mut body = somebody();
    body.as_object_mut().unwrap().remove("password");
    let made = owner.post("/api/users", &body).await.expect(201);
    let email = text(&made, "email");
    app.log_in(email, PASSWORD).await.expect(401);
    let mail = mail_to(&app, email, "reset_password").await;
    let choice = json!({"token": token_of(&mail), "new_password": PASSWORD});
    let chosen = app.client.post("/api/auth/password/reset", &choice).await;
    chosen.expect(204);
    app.log_in(email, PASSWORD).await.expect(200);
}

#[tokio::test]
async fn outside_of_development_nobody_else_chooses_it() {
    let mut stopped = TestApp::start().await.stop().await;
    stopped.set("MARU_PROFILE", "production");
    stopped.set("USER__MFA__REQUIRE_FOR_MANAGERS", "never");
    let app = stopped.start().await;
    let owner = app.signed_in(OWNER, OWNER_PASSWORD).await;
    let refused = owner.post("/api/users", &somebody()).await;
    let problem = refused.expect_problem(422, "invalid_fields");
    assert_eq!(problem.errors[0].code, "chosen_by_its_person");
    assert_eq!(emails(&owner, "/api/users").await, [OWNER]);
    let mut body = somebody();
    body.as_object_mut().unwrap().remove("password");
    owner.post("/api/users", &body).await.expect(201);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_changes_from_one_version_one_wins() {
    let app = TestApp::start().await;
    let owner = app.owner().await;
    let made = app.make_user("kim@maru.local", &["crew"], &[]).await;
    let changes = (0..10).map(|number| {
        let change = json!({"display_name": format!("Kim {number}")});
        app.patch(&owner, &made, change)
    });
    let replies = futures_util::future::join_all(changes).await;
    let (won, lost): (Vec<_>, Vec<_>) = replies.into_iter().partition(|reply| reply.status == 200);
    assert_eq!((won.len(), lost.len()), (1, 9));
    for reply in lost {
        reply.expect_problem(409, "version_conflict");
    }
}

#[tokio::test]
async fn the_last_owner_stays_an_owner() {
    let app = TestApp::start().await;
    let owner = app.owner().await;
    let first = owner.get("/api/auth/me").await.expect(200);
    for change in [json!({"disabled": true}), json!({"roles": ["crew"]})] {
        app.patch(&owner, &first, change)
            .await
            .expect_problem(409, "last_owner");
    }
    let second = app.make_user("second@maru.local", &["owner"], &[]).await;
    let second = app
        .patch(&owner, &second, json!({"disabled": true}))
        .await
        .expect(200);
    app.patch(&owner, &first, json!({"roles": ["crew"]}))
        .await
        .expect_problem(409, "last_owner");
    let _second = app
        .patch(&owner, &second, json!({"disabled": false}))
        .await
        .expect(200);
    let _first = app
        .patch(&owner, &first, json!({"roles": ["crew"]}))
        .await
        .expect(200);
    // The token still says owner. This service asks its database, and soon refuses the token.
    let path = format!("/api/users/{}", text(&second, "id"));
    let reply = owner.get(&path).await;
    assert!([401, 404].contains(&reply.status), "{reply}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_owners_cannot_disable_each_other_at_once() {
    let app = TestApp::start().await;
    let owner = app.owner().await;
    let first = owner.get("/api/auth/me").await.expect(200);
    let second = app.make_user("second@maru.local", &["owner"], &[]).await;
    let other = app.signed_in("second@maru.local", PASSWORD).await;
    let disable = json!({"disabled": true});
    let (one, two) = futures_util::future::join(
        app.patch(&owner, &second, disable.clone()),
        app.patch(&other, &first, disable),
    )
    .await;
    let done = [&one, &two]
        .iter()
        .filter(|reply| reply.status == 200)
        .count();
    assert_eq!(done, 1, "{one} {two}");
}

#[tokio::test]
async fn only_owners_make_and_change_accounts() {
    let app = TestApp::start().await;
    let user = app.make_user("kim@maru.local", &["crew"], &[STORE_A]).await;
    for role in ["area_manager", "store_manager", "crew", "kiosk"] {
        let email = format!("{role}@maru.local");
        let _made = app.make_user(&email, &[role], &[STORE_A]).await;
        let client = app.signed_in(&email, PASSWORD).await;
        client
            .post("/api/users", &with("email", "new@maru.local"))
            .await
            .expect_problem(403, "forbidden");
        app.patch(&client, &user, json!({"disabled": true}))
            .await
            .expect_problem(403, "forbidden");
        let path = format!("/api/users/{}", text(&user, "id"));
        match role {
            "crew" | "kiosk" => {
                for path in [path.as_str(), "/api/users"] {
                    client.get(path).await.expect_problem(403, "forbidden");
                }
            }
            _ => {
                let _read = client.get(&path).await.expect(200);
            }
        }
        let _me = client.get("/api/auth/me").await.expect(200);
    }
}

#[tokio::test]
async fn a_manager_sees_the_accounts_of_the_own_stores_alone() {
    let app = TestApp::start().await;
    let _manager = app
        .make_user("manager@maru.local", &["store_manager"], &[STORE_A])
        .await;
    let colleague = app
        .make_user("colleague@maru.local", &["crew"], &[STORE_A, STORE_B])
        .await;
    let stranger = app
        .make_user("stranger@maru.local", &["crew"], &[STORE_B])
        .await;
    let manager = app.signed_in("manager@maru.local", PASSWORD).await;
    let expected = ["manager@maru.local", "colleague@maru.local"];
    assert_eq!(emails(&manager, "/api/users").await, expected);
    let of_store = |store| format!("/api/users?store_id={store}");
    assert_eq!(emails(&manager, &of_store(STORE_A)).await, expected);
    manager
        .get(&of_store(STORE_B))
        .await
        .expect_problem(404, "not_found");
    let path = |user| format!("/api/users/{}", text(user, "id"));
    let _read = manager.get(&path(&colleague)).await.expect(200);
    manager
        .get(&path(&stranger))
        .await
        .expect_problem(404, "not_found");

    let owner = app.owner().await;
    let in_b = ["colleague@maru.local", "stranger@maru.local"];
    assert_eq!(emails(&owner, &of_store(STORE_B)).await, in_b);
    assert_eq!(emails(&owner, "/api/users").await.len(), 4);
}

#[tokio::test]
async fn accounts_come_in_pages_in_the_order_of_their_creation() {
    let app = TestApp::start().await;
    let owner = app.owner().await;
    let mut expected = vec![OWNER.to_owned()];
    for number in 0..5 {
        let email = format!("user-{number}@maru.local");
        let _made = app.make_user(&email, &["crew"], &[STORE_A]).await;
        expected.push(email);
    }
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = owner
            .get(&format!("/api/users?limit=2{cursor}"))
            .await
            .expect(200);
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= 2);
        seen.extend(items.iter().map(|user| text(user, "email").to_owned()));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen, expected);
    owner
        .get("/api/users?cursor=garbage")
        .await
        .expect_problem(400, "malformed_cursor");
    for limit in [0, 201] {
        let reply = owner.get(&format!("/api/users?limit={limit}")).await;
        assert_eq!(reply.expect_invalid(), ["limit"]);
    }
    for id in ["x", STORE_A] {
        let reply = owner.get(&format!("/api/users/{id}")).await;
        reply.expect_problem(404, "not_found");
    }
}

#[tokio::test]
async fn nobody_reads_accounts_without_signing_in() {
    let app = TestApp::start().await;
    for path in ["/api/users", "/api/auth/me"] {
        app.client
            .get(path)
            .await
            .expect_problem(401, "token_missing");
    }
    let _tokens = app.log_in(OWNER, OWNER_PASSWORD).await.expect(200);
}
