use std::time::Duration;

use contracts::audit::{AuditLine, AuditWalk, Broken};
use serde_json::{Value, json};
use testkit::ApiClient;
use testkit::database::Profile;

use crate::harness::{PASSWORD, TestApp, text};
use crate::mails::{mail_to, token_of};
use crate::second_factors::enrol;

const STORE: &str = "0190b7a0-5a3c-7c1e-9a51-000000000001";

pub(crate) async fn exported(owner: &ApiClient) -> Vec<AuditLine> {
    let reply = owner.get("/api/users/audit/export").await;
    assert_eq!(reply.status, 200, "{reply}");
    assert_eq!(reply.header("content-type"), Some("application/x-ndjson"));
    let lines = reply.text.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

pub(crate) fn walked(lines: &[AuditLine]) -> Result<AuditWalk, Broken> {
    let mut walk = AuditWalk::default();
    for line in lines {
        walk.line(line)?;
    }
    Ok(walk)
}

/// The newest entries of one action.
pub(crate) async fn entries(app: &TestApp, action: &str) -> Vec<Value> {
    let path = format!("/api/users/audit?action={action}");
    let page = app.owner().await.get(&path).await.expect(200);
    page["items"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_change_is_written_down_with_who_what_where_and_from_which_address() {
    let app = TestApp::start().await;
    let kim = app.make_user("kim@maru.local", &["crew"], &[STORE]).await;
    let owner = app.owner().await;
    let me = owner.get("/api/auth/me").await.expect(200);
    let path = format!("/api/users/{}", text(&kim, "id"));
    let change = json!({"version": 1, "roles": ["store_manager"], "display_name": "Kim Another"});
    let request = owner.request(reqwest::Method::PATCH, &path);
    let request = request
        .header("x-forwarded-for", "203.0.113.7")
        .header("x-request-id", "the-request")
        .json(&change);
    let _changed = owner.send(request).await.expect(200);

    let [entry] = &entries(&app, "account.changed").await[..] else {
        panic!("one change is one entry");
    };
    assert_eq!(entry["actor_kind"], "user");
    assert_eq!(entry["actor_id"], me["id"]);
    assert_eq!(entry["store_id"], STORE);
    assert_eq!(entry["target_kind"], "account");
    assert_eq!(entry["target_id"], kim["id"]);
    assert_eq!(entry["address"], "203.0.113.7");
    assert_eq!(entry["request_id"], "the-request");
    let state = |role: &str, version: i64| json!({"roles": [role], "stores": [STORE], "disabled": false, "version": version});
    assert_eq!(entry["before"], state("crew", 1));
    assert_eq!(entry["after"], state("store_manager", 2));
    // Nothing that would have to be erased one day.
    let trail = serde_json::to_string(&exported(&owner).await).unwrap();
    for personal in ["kim@maru.local", "Kim Another", "Somebody", PASSWORD] {
        assert!(!trail.contains(personal), "{personal}");
    }
    // What was refused or undone is not in the trail.
    owner
        .send(owner.request(reqwest::Method::PATCH, &path).json(&change))
        .await
        .expect_problem(409, "version_conflict");
    assert_eq!(entries(&app, "account.changed").await.len(), 1);
}

#[tokio::test]
async fn the_trail_is_listed_by_pages_and_filters() {
    let app = TestApp::start().await;
    for number in 0..5 {
        app.clock.advance(Duration::from_secs(60));
        app.make_user(&format!("crew{number}@maru.local"), &["crew"], &[])
            .await;
    }
    let owner = app.owner().await;
    let mut seen = Vec::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/api/users/audit?action=account.created&limit=2{cursor}");
        let page = owner.get(&path).await.expect(200);
        let items = page["items"].as_array().unwrap();
        seen.extend(items.iter().map(|item| item["seq"].as_i64().unwrap()));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen, [6, 5, 4, 3, 2, 1]);
    let count = async |query: &str| {
        let page = owner.get(&format!("/api/users/audit?{query}")).await;
        page.expect(200)["items"].as_array().unwrap().len()
    };
    let me = owner.get("/api/auth/me").await.expect(200);
    assert_eq!(count(&format!("actor={}", text(&me, "id"))).await, 5);
    assert_eq!(count("actor=somebody-else").await, 0);
    let third = app.clock.now().minus(Duration::from_secs(150));
    assert_eq!(count(&format!("from={third}")).await, 3);
    assert_eq!(count(&format!("to={third}")).await, 3);
    for unreadable in ["yesterday", "-005000-01-01T00:00:00Z"] {
        owner
            .get(&format!("/api/users/audit?from={unreadable}"))
            .await
            .expect_problem(400, "malformed_query");
    }
    owner
        .get("/api/users/audit?cursor=x")
        .await
        .expect_problem(400, "malformed_cursor");
}

#[tokio::test]
async fn only_an_owner_sees_the_trail() {
    let app = TestApp::start().await;
    app.make_user("kim@maru.local", &["area_manager"], &[STORE])
        .await;
    let manager = app.signed_in("kim@maru.local", PASSWORD).await;
    for path in ["/api/users/audit", "/api/users/audit/export"] {
        manager.get(path).await.expect_problem(403, "forbidden");
        let stranger = app.client.get(path).await;
        stranger.expect_problem(401, "token_missing");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_of_several_replicas_make_one_chain() {
    let app = TestApp::start().await;
    let owner = app.owner().await;
    // An SQLite file belongs to one process.
    let replica = match Profile::current() {
        Profile::Infrastructure => Some(app.replica().await),
        Profile::Embedded => None,
    };
    let second = replica.as_ref().unwrap_or(&app).owner().await;
    let makes = (0..24).map(|number| {
        let client = if number % 2 == 0 { &owner } else { &second };
        let body = json!({
            "email": format!("crew{number}@maru.local"), "display_name": "Crew",
            "password": PASSWORD, "roles": ["crew"], "stores": [],
        });
        async move { client.post("/api/users", &body).await.expect(201) }
    });
    let _made = futures_util::future::join_all(makes).await;
    let walk = walked(&exported(&owner).await).unwrap();
    assert_eq!(walk.entries(), 25);
    assert!(walk.ended);
}

#[tokio::test]
async fn the_database_refuses_to_change_the_trail_and_a_changed_byte_is_located() {
    let app = TestApp::start().await;
    for number in 0..4 {
        app.make_user(&format!("crew{number}@maru.local"), &["crew"], &[])
            .await;
    }
    let db = app.db().await;
    for sql in [
        "UPDATE audit_entries SET action = 'account.changed' WHERE seq = 3",
        "DELETE FROM audit_entries WHERE seq = 5",
        "DELETE FROM audit_seals",
    ] {
        let mut tx = db.begin().await.unwrap();
        // A statement trigger of PostgreSQL refuses even what would change nothing.
        let refused = store::execute!(tx, sql).is_err();
        assert!(refused || sql.ends_with("audit_seals"), "{sql}");
    }
    let owner = app.owner().await;
    assert_eq!(walked(&exported(&owner).await).unwrap().entries(), 5);

    // Whoever owns the database can get around its triggers.
    without_triggers(&db).await;
    let mut tx = db.begin().await.unwrap();
    let flip = "UPDATE audit_entries SET request_id = 'b' || substr(request_id, 2) WHERE seq = 3";
    let restore = "UPDATE audit_entries SET request_id = $1 WHERE seq = 3";
    let sql = "SELECT request_id FROM audit_entries WHERE seq = 3";
    let (original,) = store::fetch_one!(tx, (String,), sql).unwrap();
    store::execute!(tx, flip).unwrap();
    let (flipped,) = store::fetch_one!(tx, (String,), sql).unwrap();
    if flipped == original {
        let other = format!("c{}", &original[1..]);
        store::execute!(tx, restore, &other).unwrap();
    }
    tx.commit().await.unwrap();
    let broken = walked(&exported(&owner).await).unwrap_err();
    assert!(matches!(broken, Broken::Changed { seq: 3, .. }), "{broken}");

    let mut tx = db.begin().await.unwrap();
    store::execute!(tx, restore, &original).unwrap();
    tx.commit().await.unwrap();
    assert!(walked(&exported(&owner).await).is_ok());
}

#[tokio::test]
async fn a_trail_whose_end_was_cut_off_shows_it() {
    let app = TestApp::start().await;
    for number in 0..4 {
        app.make_user(&format!("crew{number}@maru.local"), &["crew"], &[])
            .await;
    }
    // Stopping seals the trail.
    let app = app.stop().await.start().await;
    let owner = app.owner().await;
    assert_eq!(walked(&exported(&owner).await).unwrap().seals, 1);
    let db = app.db().await;
    without_triggers(&db).await;
    let mut tx = db.begin().await.unwrap();
    for sql in [
        "DELETE FROM audit_entries WHERE seq > 3",
        "UPDATE audit_head SET seq = 3,
                hash = (SELECT hash FROM audit_entries WHERE seq = 3)",
    ] {
        store::execute!(tx, sql).unwrap();
    }
    tx.commit().await.unwrap();
    let cut = walked(&exported(&owner).await);
    assert_eq!(cut.unwrap_err(), Broken::CutOff { sealed: 5, last: 3 });
}

/// A copy of the table in its place: the triggers stay with the original, which is gone.
async fn without_triggers(db: &store::Db) {
    let mut tx = db.begin().await.unwrap();
    for sql in [
        "CREATE TABLE copied AS SELECT * FROM audit_entries",
        "DROP TABLE audit_entries",
        "ALTER TABLE copied RENAME TO audit_entries",
    ] {
        store::execute!(tx, sql).unwrap();
    }
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn changes_of_credentials_are_written_down_without_a_name() {
    let app = TestApp::start().await;
    let owner = app.owner().await;
    let invitation = json!({
        "email": "kim@maru.local", "display_name": "Kim Secret", "role": "crew",
        "stores": [STORE],
    });
    let made = owner.post("/api/users/invitations", &invitation).await;
    let made = made.expect(201);
    let token = token_of(&mail_to(&app, "kim@maru.local", "invitation").await);
    let body = json!({"token": token, "password": PASSWORD});
    let accepted = app.client.post("/api/auth/invitations/accept", &body).await;
    let kim = accepted.expect(201);
    let client = app.signed_in("kim@maru.local", PASSWORD).await;
    let change = json!({"current_password": PASSWORD, "new_password": "another fine password"});
    let changed = client.post("/api/auth/password/change", &change).await;
    assert_eq!(changed.status, 204);
    let _factor = enrol(&app, &client, "another fine password").await;
    let device = json!({"store_id": STORE, "name": "Till 2"});
    let device = owner.post("/api/users/devices", &device).await.expect(201);
    let erase = format!("/api/users/{}/erase", text(&kim, "id"));
    assert_eq!(owner.post(&erase, &json!({})).await.status, 204);

    for (action, actor, target) in [
        ("invitation.given", "user", &made["id"]),
        ("password.changed", "user", &kim["id"]),
        ("totp.added", "user", &kim["id"]),
        ("device.registered", "user", &device["id"]),
        ("account.erased", "user", &kim["id"]),
    ] {
        let [entry] = &entries(&app, action).await[..] else {
            panic!("{action} is one entry");
        };
        assert_eq!(entry["actor_kind"], actor, "{action}");
        assert_eq!(&entry["target_id"], target, "{action}");
    }
    let created = &entries(&app, "account.created").await[0];
    assert_eq!(created["actor_kind"], "unknown");
    assert_eq!(created["after"]["invitation"], made["id"]);
    let trail = serde_json::to_string(&exported(&owner).await).unwrap();
    for personal in ["kim@maru.local", "Kim Secret", "Till 2"] {
        assert!(!trail.contains(personal), "{personal}");
    }
    let walk = walked(&exported(&owner).await).unwrap();
    assert!(walk.ended);
}
