use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{OWNER, OWNER_PASSWORD, PASSWORD, TestApp};

const FEW: [(&str, &str); 3] = [
    ("USER__THROTTLE__PAIR_FREE", "3"),
    ("USER__THROTTLE__ADDRESS_FREE", "8"),
    ("USER__THROTTLE__ACCOUNT_FREE", "6"),
];

async fn fail(app: &TestApp, address: &str, email: &str) {
    let reply = app.log_in_from(address, email, "wrong password").await;
    reply.expect_problem(401, "credentials_invalid");
}

async fn expect_delayed(app: &TestApp, address: &str, email: &str, password: &str, seconds: &str) {
    let reply = app.log_in_from(address, email, password).await;
    assert_eq!(reply.header("retry-after"), Some(seconds), "{reply}");
    reply.expect_problem(429, "too_many_requests");
}

#[tokio::test]
async fn failures_delay_the_account_at_that_address_alone() {
    let app = TestApp::start_with(&FEW).await;
    for _ in 0..4 {
        fail(&app, "203.0.113.1", OWNER).await;
    }
    // Even with the right password, or guessing would go on.
    expect_delayed(&app, "203.0.113.1", OWNER, OWNER_PASSWORD, "1").await;
    let elsewhere = app.log_in_from("203.0.113.2", OWNER, OWNER_PASSWORD).await;
    let _tokens = elsewhere.expect(200);

    app.clock.advance(Duration::from_secs(1));
    fail(&app, "203.0.113.1", OWNER).await;
    expect_delayed(&app, "203.0.113.1", OWNER, OWNER_PASSWORD, "2").await;
    app.clock.advance(Duration::from_secs(2));
    let right = app.log_in_from("203.0.113.1", OWNER, OWNER_PASSWORD).await;
    let _tokens = right.expect(200);
    // The success made those failures good.
    fail(&app, "203.0.113.1", OWNER).await;
    let right = app.log_in_from("203.0.113.1", OWNER, OWNER_PASSWORD).await;
    let _tokens = right.expect(200);
}

#[tokio::test]
async fn an_attack_from_many_addresses_does_not_lock_the_owner_out() {
    let app = TestApp::start_with(&FEW).await;
    let home = app.log_in_from("198.51.100.7", OWNER, OWNER_PASSWORD).await;
    let _tokens = home.expect(200);
    for last_byte in 1..=7 {
        fail(&app, &format!("203.0.113.{last_byte}"), OWNER).await;
    }
    expect_delayed(&app, "203.0.113.99", OWNER, "another guess", "1").await;
    let home = app.log_in_from("198.51.100.7", OWNER, OWNER_PASSWORD).await;
    let _tokens = home.expect(200);
}

#[tokio::test]
async fn an_attack_on_many_accounts_does_not_lock_out_who_works_at_that_address() {
    let app = TestApp::start_with(&FEW).await;
    let _user = app.make_user("kim@maru.local", &["crew"], &[]).await;
    let till = app
        .log_in_from("203.0.113.1", "kim@maru.local", PASSWORD)
        .await;
    let _tokens = till.expect(200);
    for account in 0..9 {
        fail(&app, "203.0.113.1", &format!("nobody-{account}@maru.local")).await;
    }
    expect_delayed(&app, "203.0.113.1", "nobody-99@maru.local", "guess", "1").await;
    let till = app
        .log_in_from("203.0.113.1", "kim@maru.local", PASSWORD)
        .await;
    let _tokens = till.expect(200);
    let elsewhere = app.log_in_from("203.0.113.2", OWNER, OWNER_PASSWORD).await;
    let _tokens = elsewhere.expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guesses_made_at_once_do_not_slip_through_together() {
    let app = TestApp::start_with(&[("USER__HASHING__PARALLEL", "2")]).await;
    let guesses = (0..50).map(|_| app.log_in_from("203.0.113.1", OWNER, "wrong password"));
    let replies = futures_util::future::join_all(guesses).await;
    let checked = replies.iter().filter(|reply| reply.status == 401).count();
    // Five are free, one more begins the delays, and one may be under way beside it.
    assert!((6..=7).contains(&checked), "{checked} guesses were checked");
    assert!(
        replies
            .iter()
            .all(|reply| [401, 429].contains(&reply.status))
    );
}

#[tokio::test]
async fn health_says_when_counts_are_not_shared_and_logins_go_on() {
    // Nobody listens on the discard port of this machine.
    let app = TestApp::start_with(&[("REDIS_URL", "redis://127.0.0.1:9")]).await;
    let _tokens = app.log_in(OWNER, OWNER_PASSWORD).await.expect(200);
    for _ in 0..6 {
        fail(&app, "203.0.113.1", OWNER).await;
    }
    expect_delayed(&app, "203.0.113.1", OWNER, OWNER_PASSWORD, "1").await;
    let health = app.client.get("/health").await.expect(200);
    assert_eq!(health["status"], "degraded");
    let checks = health["checks"].as_array().unwrap();
    let status = |name: &str| {
        let check = checks.iter().find(|check| check["name"] == name).unwrap();
        check["status"].clone()
    };
    assert_eq!(status("redis"), Value::from("degraded"));
    assert_eq!(status("database"), Value::from("healthy"));
}

#[tokio::test]
async fn all_is_well_from_the_start() {
    let app = TestApp::start().await;
    let health = app.client.get("/health").await.expect(200);
    assert_eq!(health["status"], json!("healthy"), "{health}");
}

#[tokio::test]
async fn guesses_that_begin_to_wait_are_written_down_with_their_account() {
    let app = TestApp::start().await;
    for _ in 0..5 {
        fail(&app, "203.0.113.1", OWNER).await;
        fail(&app, "203.0.113.2", "nobody@maru.local").await;
    }
    assert!(
        crate::audit::entries(&app, "login.delayed")
            .await
            .is_empty()
    );
    fail(&app, "203.0.113.1", OWNER).await;
    fail(&app, "203.0.113.2", "nobody@maru.local").await;
    let [nobody, known] = &crate::audit::entries(&app, "login.delayed").await[..] else {
        panic!("two entries");
    };
    assert_eq!(known["address"], "203.0.113.1");
    assert_eq!(known["target_kind"], "account");
    assert_eq!(known["after"], json!({"wait_ms": 1_000}));
    assert_eq!(nobody["address"], "203.0.113.2");
    assert_eq!(nobody.get("target_id"), None);
}
