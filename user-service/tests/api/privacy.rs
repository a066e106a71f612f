use reqwest::Method;
use serde_json::{Value, json};
use store::Db;
use testkit::{ApiClient, wait_for};

use crate::harness::{OWNER, PASSWORD, TestApp, text};
use crate::mails::{mail_to, mails};
use crate::second_factors::enrol;

const KIM: &str = "kim.erased@maru.local";
const NAME: &str = "Kim-whose-name-must-vanish";
const STORE: &str = "0190b7a0-5a3c-7c1e-9a51-2f3a4b5c6d0a";

fn path(user: &Value, what: &str) -> String {
    format!("/api/users/{}/{what}", text(user, "id"))
}

/// Somebody who left a trace in every table.
async fn somebody(app: &TestApp) -> (Value, ApiClient) {
    let user = app.make_user(KIM, &["store_manager"], &[STORE]).await;
    let client = app.signed_in(KIM, PASSWORD).await;
    let change = json!({"display_name": NAME, "locale": "ko"});
    let request = client.request(Method::PATCH, "/api/auth/me").json(&change);
    let _me = client.send(request).await.expect(200);
    let pin = json!({"password": PASSWORD, "pin": "4071"});
    assert_eq!(client.put("/api/auth/pin", &pin).await.status, 204);
    let invitation = json!({
        "email": "guest@maru.local", "display_name": "Guest", "role": "crew", "stores": [STORE],
    });
    let made = client.post("/api/users/invitations", &invitation).await;
    let _invitation = made.expect(201);
    let forgot = json!({"email": KIM});
    let asked = app.client.post("/api/auth/password/forgot", &forgot).await;
    assert_eq!(asked.status, 202);
    let _mail = mail_to(app, KIM, "reset_password").await;
    let _factor = enrol(app, &client, PASSWORD).await;
    let key = json!({
        "password": PASSWORD, "name": "Kim's till export", "scopes": ["menu:read"],
    });
    let _key = client.post("/api/users/api-keys", &key).await.expect(201);
    (user, client)
}

#[tokio::test]
async fn a_person_gets_everything_that_is_held_of_them_and_no_secret() {
    let app = TestApp::start().await;
    let (user, client) = somebody(&app).await;
    let reply = client.get("/api/auth/me/export").await;
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    let own = reply.expect(200);
    assert_eq!(own["id"], user["id"]);
    assert_eq!(own["email"], KIM);
    assert_eq!(own["display_name"], NAME);
    assert_eq!(own["locale"], "ko");
    assert_eq!(own["roles"], json!(["store_manager"]));
    assert_eq!(own["stores"], json!([STORE]));
    assert_eq!(own["recovery_codes_left"], 10);
    assert!(own["totp_since"].is_string() && own["pin_since"].is_string());
    assert_eq!(own["sessions"].as_array().unwrap().len(), 1);
    assert_eq!(own["known_addresses_seen_at"].as_array().unwrap().len(), 1);
    assert_eq!(own["links"][0]["purpose"], "reset_password");
    assert_eq!(own["invitations_given"][0]["email"], "guest@maru.local");
    assert_eq!(own["api_keys"][0]["name"], "Kim's till export");
    assert!(!own.to_string().contains("argon2"), "no hash");

    let owner = app.owner().await;
    let by_owner = owner.get(&path(&user, "export")).await.expect(200);
    assert_eq!(by_owner["email"], KIM);
    client
        .get(&path(&user, "export"))
        .await
        .expect_problem(403, "forbidden");
    let nobody = json!({"id": STORE});
    owner
        .get(&path(&nobody, "export"))
        .await
        .expect_problem(404, "not_found");
    app.client
        .get("/api/auth/me/export")
        .await
        .expect_problem(401, "token_missing");
}

#[tokio::test]
async fn an_erased_person_is_gone_and_the_id_stays() {
    let app = TestApp::start().await;
    let (user, client) = somebody(&app).await;
    let owner = app.owner().await;
    client
        .post(&path(&user, "erase"), &json!({}))
        .await
        .expect_problem(403, "forbidden");
    let erase = async || owner.post(&path(&user, "erase"), &json!({})).await;
    assert_eq!(erase().await.status, 204);
    assert_eq!(erase().await.status, 204, "repeated");

    client
        .get("/api/auth/me")
        .await
        .expect_problem(401, "session_ended");
    app.log_in(KIM, PASSWORD)
        .await
        .expect_problem(401, "credentials_invalid");
    let left = owner
        .get(&format!("/api/users/{}", text(&user, "id")))
        .await
        .expect(200);
    assert_eq!(left["display_name"], "Erased");
    assert_eq!(left["disabled"], true);
    assert_eq!(left["roles"], json!([]));
    let export = owner.get(&path(&user, "export")).await.expect(200);
    assert!(export["erased_at"].is_string());
    for empty in [
        "sessions",
        "known_addresses_seen_at",
        "links",
        "invitations_given",
        "api_keys",
    ] {
        assert_eq!(export[empty], json!([]), "{empty}");
    }
    assert!(export["totp_since"].is_null() && export["pin_since"].is_null());
    app.patch(&owner, &left, json!({"disabled": false}))
        .await
        .expect_problem(409, "account_erased");
    assert!(
        mails(&app)
            .await
            .iter()
            .all(|mail| mail["recipient"] != KIM)
    );
    // Somebody else may have the address.
    let _new = app.make_user(KIM, &["crew"], &[]).await;
}

#[tokio::test]
async fn nothing_of_an_erased_person_is_left_in_the_database() {
    let app = TestApp::start().await;
    let (user, _client) = somebody(&app).await;
    let db = app.db().await;
    let before = everything(&db).await;
    assert!(before.contains(NAME) && before.contains(KIM), "{before}");
    let owner = app.owner().await;
    let erased = owner.post(&path(&user, "erase"), &json!({})).await;
    assert_eq!(erased.status, 204);
    // Mails that are still on their way carry the address and are forgotten once handed over.
    wait_for("the mails to be handed over and forgotten", || async {
        (!everything(&db).await.contains(KIM)).then_some(())
    })
    .await;
    let after = everything(&db).await;
    assert!(!after.contains(NAME), "{after}");
}

/// Every text of every table that this service keeps of people.
async fn everything(db: &Db) -> String {
    let mut tx = db.read().await.unwrap();
    let mut all = String::new();
    for sql in [
        "SELECT email || email_key || display_name || password_hash FROM users",
        "SELECT email || purpose FROM link_tokens",
        "SELECT email || email_key || display_name FROM invitations",
        "SELECT recipient || variables FROM development_mails",
        "SELECT email_key FROM reset_requests",
        "SELECT body FROM outbox",
    ] {
        let rows = store::fetch_all!(tx, (String,), sql).unwrap();
        let rows: Vec<String> = rows.into_iter().map(|(text,)| text).collect();
        all.push_str(&rows.join("\n"));
    }
    all
}

#[tokio::test]
async fn the_last_owner_cannot_be_erased_and_one_of_two_can() {
    let app = TestApp::start().await;
    let owner = app.owner().await;
    let me = owner.get("/api/auth/me").await.expect(200);
    owner
        .post(&path(&me, "erase"), &json!({}))
        .await
        .expect_problem(409, "last_owner");
    let me = owner.get("/api/auth/me").await.expect(200);
    assert_eq!(me["email"], OWNER, "nothing was lost");
    let partner = app.make_user("partner@maru.local", &["owner"], &[]).await;
    let by_partner = app.signed_in("partner@maru.local", PASSWORD).await;
    let erased = by_partner.post(&path(&me, "erase"), &json!({})).await;
    assert_eq!(erased.status, 204);
    by_partner
        .post(&path(&partner, "erase"), &json!({}))
        .await
        .expect_problem(409, "last_owner");
    let nobody = json!({"id": STORE});
    by_partner
        .post(&path(&nobody, "erase"), &json!({}))
        .await
        .expect_problem(404, "not_found");
}
