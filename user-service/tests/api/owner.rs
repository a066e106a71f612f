use serde_json::json;
use testkit::ApiClient;

use crate::api_keys::{exchange, halves};
use crate::harness::{OWNER, OWNER_PASSWORD, TestApp, log_so_far, text};
use crate::mails::{mail_to, token_of};
use crate::second_factors::enrol;

async fn execute(db: &store::Db, statements: &[&'static str]) {
    let mut tx = db.begin().await.unwrap();
    for sql in statements {
        let sql: &'static str = sql;
        store::execute!(tx, sql).unwrap();
    }
    tx.commit().await.unwrap();
}

const EMPTY: [&str; 7] = [
    "DELETE FROM refresh_tokens",
    "DELETE FROM sessions",
    "DELETE FROM known_addresses",
    "DELETE FROM user_roles",
    "DELETE FROM user_stores",
    "DELETE FROM users",
    "DELETE FROM signing_keys",
];

async fn count(db: &store::Db, sql: &'static str) -> i64 {
    let mut tx = db.read().await.unwrap();
    store::fetch_one!(tx, (i64,), sql).unwrap().0
}

#[tokio::test]
async fn the_owner_is_made_once_and_later_settings_change_nothing() {
    let app = TestApp::start().await;
    let me = app.owner().await.get("/api/auth/me").await.expect(200);
    let mut stopped = app.stop().await;
    stopped.set("MARU_OWNER_PASSWORD", "another long password");
    stopped.set("MARU_OWNER_EMAIL", "another@maru.local");
    let app = stopped.start().await;
    let again = app.owner().await.get("/api/auth/me").await.expect(200);
    assert_eq!(me["id"], again["id"]);
    for email in [OWNER, "another@maru.local"] {
        app.log_in(email, "another long password")
            .await
            .expect_problem(401, "credentials_invalid");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_that_start_at_once_make_one_owner_and_one_key() {
    let stopped = TestApp::start().await.stop().await;
    let db = stopped.db().await;
    execute(&db, &EMPTY).await;
    stopped.start_replicas(4).await;
    assert_eq!(count(&db, "SELECT count(*) FROM users").await, 1);
    assert_eq!(count(&db, "SELECT count(*) FROM user_roles").await, 1);
    assert_eq!(count(&db, "SELECT count(*) FROM signing_keys").await, 1);
    let app = stopped.start().await;
    let _tokens = app.log_in(OWNER, OWNER_PASSWORD).await.expect(200);
}

#[tokio::test]
async fn development_makes_a_password_and_shows_it_once() {
    let email = "generated@maru.local";
    let app =
        TestApp::start_with(&[("MARU_OWNER_PASSWORD", ""), ("MARU_OWNER_EMAIL", email)]).await;
    let shown = || -> Vec<String> {
        let log = log_so_far();
        let lines = log.lines().filter(|line| line.contains(email));
        let passwords = lines.filter_map(|line| line.split_once("with the password "));
        passwords
            .filter_map(|(_, rest)| rest.split(' ').next().map(str::to_owned))
            .collect()
    };
    let [password] = shown().try_into().expect("shown once");
    let _tokens = app.log_in(email, &password).await.expect(200);
    let _app = app.stop().await.start().await;
    assert_eq!(shown(), [password], "a second start shows nothing");
}

#[tokio::test]
async fn production_does_not_start_without_an_owner_or_with_known_secrets() {
    let mut stopped = TestApp::start().await.stop().await;
    stopped.set("MARU_PROFILE", "production");
    let app = stopped.start().await;
    let _tokens = app.log_in(OWNER, OWNER_PASSWORD).await.expect(200);

    let mut stopped = app.stop().await;
    execute(&stopped.db().await, &EMPTY).await;
    let expect = async |stopped: &crate::harness::Stopped, words: &str| {
        let error = stopped.start_error().await;
        assert!(error.contains(words), "{error}");
    };
    stopped.set("MARU_OWNER_PASSWORD", "");
    expect(&stopped, "MARU_OWNER_PASSWORD").await;
    stopped.set("MARU_OWNER_PASSWORD", "password1");
    expect(&stopped, "most common").await;
    stopped.set("MARU_OWNER_PASSWORD", OWNER_PASSWORD);
    stopped.set("MARU_OWNER_EMAIL", "nobody");
    expect(&stopped, "owner.email").await;
    stopped.set("MARU_OWNER_EMAIL", OWNER);
    stopped.set("MARU_SERVICE_ROOT_SECRET", "maru-development-only");
    stopped.set(
        "MARU_SERVICE_SECRET",
        "given, but this service needs the root",
    );
    expect(&stopped, "MARU_SERVICE_ROOT_SECRET").await;
}

const RECOVERED: &str = "a password for the recovery";

/// What the owner was told about the recovery, in the order of the alphabet.
async fn told(owner: &ApiClient) -> Vec<String> {
    let page = owner.get("/api/users/dev/outbox").await.expect(200);
    let mails = page["items"].as_array().unwrap().iter();
    let mails = mails.filter(|mail| mail["recipient"] == OWNER);
    let mut told: Vec<String> = mails
        .filter_map(|mail| match mail["template"].as_str()? {
            "second_factor_changed" => mail["variables"]["change"].as_str(),
            other => Some(other),
        })
        .filter(|told| matches!(*told, "password_changed" | "second_factors_reset"))
        .map(str::to_owned)
        .collect();
    told.sort();
    told
}

#[tokio::test]
async fn an_owner_who_lost_every_factor_is_let_in_once_by_who_runs_the_machine() {
    let app = TestApp::start().await;
    let tokens = app.log_in(OWNER, OWNER_PASSWORD).await.expect(200);
    let owner = app.client.with_token(text(&tokens, "access_token"));
    let thief = json!({"email": "thief@maru.local", "password": OWNER_PASSWORD});
    assert_eq!(owner.post("/api/auth/email", &thief).await.status, 202);
    let link = token_of(&mail_to(&app, "thief@maru.local", "verify_email").await);
    let key = json!({
        "password": OWNER_PASSWORD, "name": "thief's", "scopes": ["menu:read"],
    });
    let key = owner.post("/api/users/api-keys", &key).await.expect(201);
    let (_lost, _codes) = enrol(&app, &owner, OWNER_PASSWORD).await;
    let _challenge = app.log_in(OWNER, OWNER_PASSWORD).await.expect(200);
    let mut stopped = app.stop().await;
    stopped.set("MARU_OWNER_PASSWORD", RECOVERED);
    stopped.set("USER__OWNER__RECOVERY", "2026-11-21");
    stopped.start_replicas(3).await;

    let app = stopped.start().await;
    app.log_in(OWNER, OWNER_PASSWORD)
        .await
        .expect_problem(401, "credentials_invalid");
    app.refresh(text(&tokens, "refresh_token"))
        .await
        .expect_problem(401, "refresh_token_invalid");
    let verify = json!({"token": link});
    app.client
        .post("/api/auth/email/verify", &verify)
        .await
        .expect_problem(422, "link_invalid");
    exchange(&app, &halves(&key))
        .await
        .expect_problem(401, "client_invalid");
    let again = app.signed_in(OWNER, RECOVERED).await;
    let page = again
        .get("/api/users/audit?action=owner.recovered")
        .await
        .expect(200);
    let [entry] = &page["items"].as_array().unwrap()[..] else {
        panic!("one entry: {page}");
    };
    assert_eq!(entry["actor_kind"], "system");
    assert_eq!(
        told(&again).await,
        ["password_changed", "second_factors_reset"]
    );
    let (_generator, _codes) = enrol(&app, &again, RECOVERED).await;

    // The same text asks for nothing new, whatever else the settings say now.
    let mut stopped = app.stop().await;
    stopped.set("MARU_OWNER_PASSWORD", "yet another long password");
    stopped.set("MARU_OWNER_EMAIL", "nobody@maru.local");
    let app = stopped.start().await;
    let waiting = app.log_in(OWNER, RECOVERED).await.expect(200);
    assert_eq!(waiting["mfa_required"], json!(true));
}

#[tokio::test]
async fn a_recovery_that_names_no_owner_or_no_password_keeps_the_service_from_starting() {
    let app = TestApp::start().await;
    let _kim = app.make_user("kim@maru.local", &["crew"], &[]).await;
    let mut stopped = app.stop().await;
    let refused = async |stopped: &crate::harness::Stopped, words: &str| {
        let error = stopped.start_error().await;
        assert!(error.contains(words), "{error}");
    };
    stopped.set("USER__OWNER__RECOVERY", "once");
    stopped.set("MARU_OWNER_PASSWORD", "");
    refused(&stopped, "MARU_OWNER_PASSWORD").await;
    stopped.set("MARU_OWNER_PASSWORD", RECOVERED);
    for email in ["kim@maru.local", "nobody@maru.local"] {
        stopped.set("MARU_OWNER_EMAIL", email);
        refused(&stopped, "owner.recovery").await;
    }
    stopped.set("MARU_OWNER_EMAIL", OWNER);
    let db = stopped.db().await;
    execute(&db, &["UPDATE users SET disabled = NOT disabled"]).await;
    refused(&stopped, "disabled").await;
    execute(&db, &["UPDATE users SET disabled = NOT disabled"]).await;
    let app = stopped.start().await;
    let _tokens = app.log_in(OWNER, RECOVERED).await.expect(200);
}
