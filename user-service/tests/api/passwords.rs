use std::time::Duration;

use serde_json::json;
use testkit::Reply;

use crate::harness::{OWNER, OWNER_PASSWORD, PASSWORD, TestApp, text};
use crate::mails::{count_mails, mail_to, token_of};

const KIM: &str = "kim@maru.local";
const NEW: &str = "another fine password";

async fn forgot(app: &TestApp, email: &str) -> Reply {
    let body = json!({"email": email});
    app.client.post("/api/auth/password/forgot", &body).await
}

async fn reset(app: &TestApp, token: &str, password: &str) -> Reply {
    let body = json!({"token": token, "new_password": password});
    app.client.post("/api/auth/password/reset", &body).await
}

async fn reset_token(app: &TestApp, email: &str) -> String {
    assert_eq!(forgot(app, email).await.status, 202);
    token_of(&mail_to(app, email, "reset_password").await)
}

async fn kim(app: &TestApp) {
    let _user = app.make_user(KIM, &["crew"], &[]).await;
}

#[tokio::test]
async fn a_forgotten_password_is_set_anew_once_and_every_session_ends() {
    let app = TestApp::start().await;
    kim(&app).await;
    let session = app.log_in(KIM, PASSWORD).await.expect(200);
    let token = reset_token(&app, KIM).await;
    let done = reset(&app, &token, NEW).await;
    assert_eq!(done.status, 204, "{done}");
    assert_eq!(done.text, "", "nobody is signed in by it");

    let client = app.client.with_token(text(&session, "access_token"));
    client
        .get("/api/auth/me")
        .await
        .expect_problem(401, "session_ended");
    app.refresh(text(&session, "refresh_token"))
        .await
        .expect_problem(401, "refresh_token_invalid");
    app.log_in(KIM, PASSWORD)
        .await
        .expect_problem(401, "credentials_invalid");
    let again = app.signed_in(KIM, NEW).await;
    let me = again.get("/api/auth/me").await.expect(200);
    assert_eq!(me["settings"]["email_verified"], true, "the mail was read");
    reset(&app, &token, "yet another password")
        .await
        .expect_problem(422, "link_invalid");
    assert_eq!(count_mails(&app, KIM, "password_changed").await, 1);
}

#[tokio::test]
async fn asking_tells_nothing_of_whether_there_is_an_account() {
    let app = TestApp::start().await;
    let user = app.make_user(KIM, &["crew"], &[]).await;
    let disabled = app.make_user("lee@maru.local", &["crew"], &[]).await;
    let owner = app.owner().await;
    let _disabled = app
        .patch(&owner, &disabled, json!({"disabled": true}))
        .await
        .expect(200);
    let mut answers = Vec::new();
    for email in [
        KIM,
        "KIM@Maru.Local",
        "lee@maru.local",
        "nobody@maru.local",
        "not an email",
        "owner\0@maru.local",
        "",
    ] {
        let reply = forgot(&app, email).await;
        answers.push((reply.status, reply.text.clone()));
    }
    assert!(answers.iter().all(|answer| *answer == (202, String::new())));
    let mail = mail_to(&app, KIM, "reset_password").await;
    assert_eq!(mail["variables"]["minutes"], "30");
    assert_eq!(mail["variables"]["display_name"], user["display_name"]);
    // Everything that was written down is looked up in order, so after this one all are.
    let _token = reset_token(&app, OWNER).await;
    assert_eq!(count_mails(&app, KIM, "reset_password").await, 2);
    for nobody in ["lee@maru.local", "nobody@maru.local"] {
        assert_eq!(count_mails(&app, nobody, "reset_password").await, 0);
    }
}

#[tokio::test]
async fn asking_is_throttled_alike_for_everybody() {
    let app = TestApp::start_with(&[("USER__THROTTLE__PAIR_FREE", "2")]).await;
    for email in [OWNER, "nobody@maru.local"] {
        for _ in 0..3 {
            assert_eq!(forgot(&app, email).await.status, 202);
        }
        let reply = forgot(&app, email).await;
        assert_eq!(reply.header("retry-after"), Some("1"), "{reply}");
        reply.expect_problem(429, "too_many_requests");
    }
    // Logins are counted apart.
    let _tokens = app.log_in(OWNER, OWNER_PASSWORD).await.expect(200);
    app.clock.advance(Duration::from_secs(1));
    assert_eq!(forgot(&app, OWNER).await.status, 202);
}

#[tokio::test]
async fn a_link_runs_out_after_half_an_hour_and_no_other_token_works() {
    let app = TestApp::start().await;
    kim(&app).await;
    let token = reset_token(&app, KIM).await;
    for bad in ["", "x", &token[1..], &format!("maru_lk_{}", "A".repeat(43))] {
        reset(&app, bad, NEW)
            .await
            .expect_problem(422, "link_invalid");
    }
    // A link of another kind is no such link.
    let verify = json!({"token": token});
    app.client
        .post("/api/auth/email/verify", &verify)
        .await
        .expect_problem(422, "link_invalid");
    app.clock.advance(Duration::from_secs(1_800));
    reset(&app, &token, NEW)
        .await
        .expect_problem(422, "link_invalid");
    let _tokens = app.log_in(KIM, PASSWORD).await.expect(200);
}

#[tokio::test]
async fn a_new_password_that_is_not_acceptable_uses_no_link_up() {
    let app = TestApp::start().await;
    let _user = app
        .make_user("kim.and.lee@maru.local", &["crew"], &[])
        .await;
    let token = reset_token(&app, "kim.and.lee@maru.local").await;
    for (password, code) in [
        ("short", "too_short"),
        ("Password1", "too_common"),
        ("kim.and.lee", "like_email"),
        (&*"x".repeat(129), "too_long"),
    ] {
        let problem = reset(&app, &token, password).await;
        let problem = problem.expect_problem(422, "invalid_fields");
        let fault = problem.errors.first().unwrap();
        assert_eq!(
            (fault.field.as_str(), fault.code.as_str()),
            ("new_password", code)
        );
    }
    let long = "correct horse battery staple, sixty-four characters and then some";
    assert_eq!(reset(&app, &token, long).await.status, 204);
    let _tokens = app.log_in("kim.and.lee@maru.local", long).await.expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_who_use_one_link_at_once_one_sets_the_password() {
    let app = TestApp::start().await;
    kim(&app).await;
    let token = reset_token(&app, KIM).await;
    let passwords: Vec<String> = (0..8)
        .map(|number| format!("password of {number}"))
        .collect();
    let tries = passwords
        .iter()
        .map(|password| reset(&app, &token, password));
    let replies = futures_util::future::join_all(tries).await;
    let winners: Vec<usize> = (0..8).filter(|n| replies[*n].status == 204).collect();
    let [winner] = winners.try_into().expect("one wins");
    let winner: usize = winner;
    let _tokens = app.log_in(KIM, &passwords[winner]).await.expect(200);
}

#[tokio::test]
async fn a_changed_password_ends_the_other_sessions_alone() {
    let app = TestApp::start().await;
    kim(&app).await;
    let here = app.log_in(KIM, PASSWORD).await.expect(200);
    let elsewhere = app.log_in(KIM, PASSWORD).await.expect(200);
    let stale_link = reset_token(&app, KIM).await;
    let client = app.client.with_token(text(&here, "access_token"));
    let change = json!({"current_password": PASSWORD, "new_password": NEW});
    let path = "/api/auth/password/change";
    assert_eq!(client.post(path, &change).await.status, 204);

    let _me = client.get("/api/auth/me").await.expect(200);
    let _tokens = app.refresh(text(&here, "refresh_token")).await.expect(200);
    app.refresh(text(&elsewhere, "refresh_token"))
        .await
        .expect_problem(401, "refresh_token_invalid");
    app.log_in(KIM, PASSWORD)
        .await
        .expect_problem(401, "credentials_invalid");
    let _tokens = app.log_in(KIM, NEW).await.expect(200);
    reset(&app, &stale_link, "yet another password")
        .await
        .expect_problem(422, "link_invalid");
    assert_eq!(count_mails(&app, KIM, "password_changed").await, 1);
    // Repeated it is refused: the present password is another one now.
    client
        .post(path, &change)
        .await
        .expect_problem(422, "password_wrong");
}

#[tokio::test]
async fn a_change_needs_the_present_password_which_cannot_be_guessed() {
    let app = TestApp::start_with(&[("USER__THROTTLE__PAIR_FREE", "2")]).await;
    kim(&app).await;
    let client = app.signed_in(KIM, PASSWORD).await;
    let path = "/api/auth/password/change";
    let change =
        |present: &str, new: &str| json!({"current_password": present, "new_password": new});
    let weak = client.post(path, &change(PASSWORD, "kim@maru.local")).await;
    assert_eq!(weak.expect_invalid(), ["new_password"]);
    for _ in 0..3 {
        client
            .post(path, &change("wrong", NEW))
            .await
            .expect_problem(422, "password_wrong");
    }
    client
        .post(path, &change(PASSWORD, NEW))
        .await
        .expect_problem(429, "too_many_requests");
    app.clock.advance(Duration::from_secs(1));
    assert_eq!(client.post(path, &change(PASSWORD, NEW)).await.status, 204);
    app.client
        .post(path, &change(PASSWORD, NEW))
        .await
        .expect_problem(401, "token_missing");
}

#[tokio::test]
async fn every_login_computes_one_hash_whatever_its_end() {
    let app = TestApp::start().await;
    kim(&app).await;
    let disabled = app.make_user("lee@maru.local", &["crew"], &[]).await;
    let owner = app.owner().await;
    let _disabled = app
        .patch(&owner, &disabled, json!({"disabled": true}))
        .await
        .expect(200);
    for (email, password, status) in [
        (KIM, PASSWORD, 200),
        (KIM, "wrong password", 401),
        ("nobody@maru.local", PASSWORD, 401),
        ("not an email", PASSWORD, 401),
        ("", "", 401),
        ("lee@maru.local", PASSWORD, 401),
        ("lee@maru.local", "wrong password", 401),
    ] {
        let before = hashes(&app).await;
        assert_eq!(app.log_in(email, password).await.status, status, "{email}");
        assert_eq!(hashes(&app).await, before + 1, "{email}");
    }
}

/// How many password hashes were computed so far.
async fn hashes(app: &TestApp) -> u64 {
    let metrics = app.client.get("/metrics").await.text;
    let mut lines = metrics.lines();
    let line = lines.find(|line| line.starts_with("user_password_hash_seconds_count"));
    let count = line.and_then(|line| line.rsplit(' ').next()?.parse().ok());
    count.expect("hashes are counted")
}
