use std::time::Duration;

use serde_json::{Value, json};
use testkit::{ApiClient, wait_for};

use crate::harness::{OWNER, OWNER_PASSWORD, PASSWORD, TestApp, text};

/// The mails that were asked for so far, the newest first.
pub(crate) async fn mails(app: &TestApp) -> Vec<Value> {
    let page = outbox(&app.owner().await, "").await;
    page["items"].as_array().unwrap().clone()
}

async fn outbox(owner: &ApiClient, query: &str) -> Value {
    let path = format!("/api/users/dev/outbox{query}");
    owner.get(&path).await.expect(200)
}

/// The newest mail of a template to an address, once there is one.
pub(crate) async fn mail_to(app: &TestApp, recipient: &str, template: &str) -> Value {
    wait_for("the mail", || async {
        let mut all = mails(app).await.into_iter();
        all.find(|mail| mail["recipient"] == recipient && mail["template"] == template)
    })
    .await
}

/// The token in the link of a mail.
pub(crate) fn token_of(mail: &Value) -> String {
    let link = text(&mail["variables"], "link");
    link.split_once("#token=").unwrap().1.to_owned()
}

/// How many mails of a template went to an address.
pub(crate) async fn count_mails(app: &TestApp, recipient: &str, template: &str) -> usize {
    let all = mails(app).await.into_iter();
    all.filter(|mail| mail["recipient"] == recipient && mail["template"] == template)
        .count()
}

fn invitation(email: &str) -> Value {
    json!({"email": email, "display_name": "Kim", "role": "crew", "locale": "ko"})
}

async fn invite(owner: &ApiClient, email: &str) {
    let body = invitation(email);
    let made = owner.post("/api/users/invitations", &body).await;
    let _invitation = made.expect(201);
}

#[tokio::test]
async fn the_owner_reads_the_mails_that_were_asked_for() {
    let app = TestApp::start().await;
    let owner = app.owner().await;
    for email in ["a@maru.local", "b@maru.local", "c@maru.local"] {
        app.clock.advance(Duration::from_millis(1));
        invite(&owner, email).await;
    }
    let first = outbox(&owner, "?limit=2").await;
    let recipients: Vec<&str> = first["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|mail| text(mail, "recipient"))
        .collect();
    assert_eq!(recipients, ["c@maru.local", "b@maru.local"]);
    let newest = &first["items"][0];
    assert_eq!(newest["template"], "invitation");
    assert_eq!(newest["locale"], "ko");
    assert_eq!(newest["variables"]["display_name"], "Kim");
    assert_eq!(newest["variables"]["invited_by"], "Owner");
    assert_eq!(newest["variables"]["hours"], "168");
    let link = text(&newest["variables"], "link");
    let expected = "http://localhost:5000/invitation#token=maru_lk_";
    assert!(link.starts_with(expected), "{link}");
    let cursor = text(&first, "next_cursor");
    let second = outbox(&owner, &format!("?limit=2&cursor={cursor}")).await;
    assert_eq!(second["items"][0]["recipient"], "a@maru.local");
    assert_eq!(second["items"].as_array().unwrap().len(), 1);
    owner
        .get("/api/users/dev/outbox?limit=0")
        .await
        .expect_problem(422, "invalid_fields");
    owner
        .get("/api/users/dev/outbox?cursor=x")
        .await
        .expect_problem(400, "malformed_cursor");
}

#[tokio::test]
async fn nobody_but_an_owner_reads_mails() {
    let app = TestApp::start().await;
    let store = "0190b7a0-5a3c-7c1e-9a51-2f3a4b5c6d0a";
    let _user = app
        .make_user("kim@maru.local", &["area_manager"], &[store])
        .await;
    let manager = app.signed_in("kim@maru.local", PASSWORD).await;
    manager
        .get("/api/users/dev/outbox")
        .await
        .expect_problem(403, "forbidden");
    app.client
        .get("/api/users/dev/outbox")
        .await
        .expect_problem(401, "token_missing");
}

#[tokio::test]
async fn mails_are_forgotten_after_a_day() {
    let app = TestApp::start().await;
    let owner = app.owner().await;
    invite(&owner, "a@maru.local").await;
    app.clock.advance(Duration::from_secs(24 * 3_600 - 1));
    assert_eq!(mails(&app).await.len(), 1);
    app.clock.advance(Duration::from_secs(1));
    assert_eq!(mails(&app).await.len(), 0);
}

#[tokio::test]
async fn production_has_no_such_path_and_keeps_no_mail() {
    let app = TestApp::start().await;
    let owner = app.owner().await;
    invite(&owner, "a@maru.local").await;
    assert_eq!(mails(&app).await.len(), 1);
    let document = app.client.get("/openapi.json").await.expect(200);
    assert!(document["paths"]["/api/users/dev/outbox"].is_object());

    let mut stopped = app.stop().await;
    stopped.set("MARU_PROFILE", "production");
    stopped.set("USER__MFA__REQUIRE_FOR_MANAGERS", "never");
    let app = stopped.start().await;
    let document = app.client.get("/openapi.json").await.expect(200);
    assert!(document["paths"]["/api/users/dev/outbox"].is_null());
    assert!(document["paths"]["/api/users/{id}"].is_object());
    let owner = app.signed_in(OWNER, OWNER_PASSWORD).await;
    owner
        .get("/api/users/dev/outbox")
        .await
        .expect_problem(404, "not_found");
    invite(&owner, "b@maru.local").await;
    let db = app.db().await;
    wait_for("no mail to be kept", || async {
        let mut tx = db.read().await.unwrap();
        let sql = "SELECT count(*) FROM development_mails";
        let (count,) = store::fetch_one!(tx, (i64,), sql).unwrap();
        (count == 0).then_some(())
    })
    .await;
}
