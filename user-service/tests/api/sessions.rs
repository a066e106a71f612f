use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;

use crate::harness::{OWNER, OWNER_PASSWORD, PASSWORD, TestApp, text};
use crate::logins::claims_of;

const DAY: Duration = Duration::from_secs(24 * 3_600);

async fn count(app: &TestApp, sql: &'static str) -> i64 {
    let mut tx = app.db().await.read().await.unwrap();
    let (count,) = store::fetch_one!(tx, (i64,), sql).unwrap();
    count
}

async fn first_refresh_token(app: &TestApp) -> String {
    let tokens = app.log_in(OWNER, OWNER_PASSWORD).await.expect(200);
    text(&tokens, "refresh_token").to_owned()
}

#[tokio::test]
async fn a_refresh_gives_new_tokens_of_the_same_session() {
    let app = TestApp::start().await;
    let first = app.log_in(OWNER, OWNER_PASSWORD).await.expect(200);
    app.clock.advance(Duration::from_secs(700));
    let reply = app.refresh(text(&first, "refresh_token")).await;
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    let second = reply.expect(200);
    assert_ne!(first["refresh_token"], second["refresh_token"]);
    let old = claims_of(text(&first, "access_token"));
    let new = claims_of(text(&second, "access_token"));
    assert_eq!((&old["sid"], &old["sub"]), (&new["sid"], &new["sub"]));
    assert_ne!(old["jti"], new["jti"]);
    let me = async |tokens| {
        let client = app.client.with_token(text(tokens, "access_token"));
        client.get("/api/auth/me").await
    };
    me(&first).await.expect_problem(401, "token_expired");
    let _me = me(&second).await.expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_refreshes_at_once_make_one_family_and_one_successor() {
    let app = TestApp::start().await;
    let token = first_refresh_token(&app).await;
    let refreshes = (0..50).map(|_| app.refresh(&token));
    let replies = futures_util::future::join_all(refreshes).await;
    let successors: BTreeSet<String> = replies
        .into_iter()
        .map(|reply| text(&reply.expect(200), "refresh_token").to_owned())
        .collect();
    assert_eq!(successors.len(), 1);
    assert_eq!(count(&app, "SELECT count(*) FROM sessions").await, 1);
    assert_eq!(count(&app, "SELECT count(*) FROM refresh_tokens").await, 2);
    let revoked = "SELECT count(*) FROM sessions WHERE revoked_at IS NOT NULL";
    assert_eq!(count(&app, revoked).await, 0);
    let successor = successors.first().unwrap();
    let _tokens = app.refresh(successor).await.expect(200);
}

#[tokio::test]
async fn a_lost_answer_can_be_asked_for_again_within_the_grace() {
    let app = TestApp::start().await;
    let token = first_refresh_token(&app).await;
    let lost = app.refresh(&token).await.expect(200);
    app.clock.advance(Duration::from_secs(10));
    let repeated = app.refresh(&token).await.expect(200);
    assert_eq!(lost["refresh_token"], repeated["refresh_token"]);
}

#[tokio::test]
async fn a_token_used_again_after_the_grace_ends_the_session_for_everybody() {
    let app = TestApp::start().await;
    let stolen = first_refresh_token(&app).await;
    let current = app.refresh(&stolen).await.expect(200);
    app.clock.advance(Duration::from_millis(10_001));
    app.refresh(&stolen)
        .await
        .expect_problem(401, "refresh_token_reused");
    for token in [&stolen, text(&current, "refresh_token")] {
        app.refresh(token)
            .await
            .expect_problem(401, "refresh_token_invalid");
    }
    let client = app.client.with_token(text(&current, "access_token"));
    client
        .get("/api/auth/me")
        .await
        .expect_problem(401, "session_ended");
    let reason = "SELECT count(*) FROM sessions WHERE revoke_reason = 'reuse'";
    assert_eq!(count(&app, reason).await, 1);
    let _other_sessions_go_on = app.owner().await;
    // Whoever reads the trail learns of it.
    let [entry] = &crate::audit::entries(&app, "refresh_token.reused").await[..] else {
        panic!("one entry");
    };
    assert_eq!(entry["target_kind"], "session");
}

#[tokio::test]
async fn what_is_no_refresh_token_of_ours_is_refused() {
    let app = TestApp::start().await;
    let tokens = app.log_in(OWNER, OWNER_PASSWORD).await.expect(200);
    let unknown = format!("maru_rt_{}", "A".repeat(43));
    for token in ["", "x", "maru_rt_", &unknown, text(&tokens, "access_token")] {
        app.refresh(token)
            .await
            .expect_problem(401, "refresh_token_invalid");
    }
    let client = app.client.with_token(text(&tokens, "refresh_token"));
    client
        .get("/api/auth/me")
        .await
        .expect_problem(401, "token_invalid");
}

#[tokio::test]
async fn a_session_ends_by_rest_and_by_age() {
    let app = TestApp::start().await;
    let rested = first_refresh_token(&app).await;
    let mut used = first_refresh_token(&app).await;
    app.clock.advance(7 * DAY);
    let tokens = app.refresh(&used).await.expect(200);
    text(&tokens, "refresh_token").clone_into(&mut used);
    app.clock.advance(Duration::from_secs(1));
    app.refresh(&rested)
        .await
        .expect_problem(401, "refresh_token_invalid");
    for _ in 0..3 {
        app.clock.advance(6 * DAY);
        let tokens = app.refresh(&used).await.expect(200);
        text(&tokens, "refresh_token").clone_into(&mut used);
    }
    app.clock.advance(6 * DAY);
    app.refresh(&used)
        .await
        .expect_problem(401, "refresh_token_invalid");
}

#[tokio::test]
async fn signing_out_ends_the_session_and_may_be_repeated() {
    let app = TestApp::start().await;
    for by_body in [true, false] {
        let tokens = app.log_in(OWNER, OWNER_PASSWORD).await.expect(200);
        let refresh_token = text(&tokens, "refresh_token");
        let client = app.client.with_token(text(&tokens, "access_token"));
        let newer = app.refresh(refresh_token).await.expect(200);
        let sign_out = async || {
            if by_body {
                let body = json!({"refresh_token": refresh_token});
                return app.client.post("/api/auth/logout", &body).await;
            }
            let request = client.request(reqwest::Method::POST, "/api/auth/logout");
            client.send(request).await
        };
        let _nothing = sign_out().await.expect(204);
        // Once everybody knows that the session has ended, its access token says nothing any more.
        let repeated = sign_out().await;
        if by_body || repeated.status == 204 {
            let _nothing = repeated.expect(204);
        } else {
            repeated.expect_problem(401, "session_ended");
        }
        app.refresh(text(&newer, "refresh_token"))
            .await
            .expect_problem(401, "refresh_token_invalid");
        client
            .get("/api/auth/me")
            .await
            .expect_problem(401, "session_ended");
    }
    let _another_session = app.owner().await;
}

#[tokio::test]
async fn signing_out_needs_one_of_the_tokens() {
    let app = TestApp::start().await;
    let request = app
        .client
        .request(reqwest::Method::POST, "/api/auth/logout");
    app.client
        .send(request)
        .await
        .expect_problem(401, "token_missing");
    let body = json!({"refresh_token": "unknown"});
    let reply = app.client.post("/api/auth/logout", &body).await;
    let _nothing = reply.expect(204);
}

#[tokio::test]
async fn disabling_an_account_ends_its_sessions() {
    let app = TestApp::start().await;
    let user = app.make_user("kim@maru.local", &["crew"], &[]).await;
    let tokens = app.log_in("kim@maru.local", PASSWORD).await.expect(200);
    let owner = app.owner().await;
    let disabled = app
        .patch(&owner, &user, json!({"disabled": true}))
        .await
        .expect(200);
    app.refresh(text(&tokens, "refresh_token"))
        .await
        .expect_problem(401, "refresh_token_invalid");
    let client = app.client.with_token(text(&tokens, "access_token"));
    client
        .get("/api/auth/me")
        .await
        .expect_problem(401, "session_ended");
    // Enabled again, the account signs in anew; the old session stays over.
    let _enabled = app
        .patch(&owner, &disabled, json!({"disabled": false}))
        .await
        .expect(200);
    app.refresh(text(&tokens, "refresh_token"))
        .await
        .expect_problem(401, "refresh_token_invalid");
    let _client = app.signed_in("kim@maru.local", PASSWORD).await;
}

#[tokio::test]
async fn a_refresh_takes_over_new_roles_and_stores() {
    let app = TestApp::start().await;
    let store = "0190b7a0-5a3c-7c1e-9a51-2f3a4b5c6d7e";
    let user = app.make_user("kim@maru.local", &["crew"], &[]).await;
    let tokens = app.log_in("kim@maru.local", PASSWORD).await.expect(200);
    let change = json!({"roles": ["store_manager"], "stores": [store]});
    let owner = app.owner().await;
    let _changed = app.patch(&owner, &user, change).await.expect(200);
    let tokens = app
        .refresh(text(&tokens, "refresh_token"))
        .await
        .expect(200);
    let claims = claims_of(text(&tokens, "access_token"));
    assert_eq!(claims["roles"], json!(["store_manager"]));
    assert_eq!(claims["stores"], json!([store]));
}

#[tokio::test]
async fn the_person_of_a_reused_token_is_told() {
    // Nobody listens on the discard port of this machine, so what is told stays in the outbox.
    let app = TestApp::start_with(&[("AMQP_URL", "amqp://127.0.0.1:9/%2f")]).await;
    let stolen = first_refresh_token(&app).await;
    let _current = app.refresh(&stolen).await.expect(200);
    let mails = "SELECT count(*) FROM outbox WHERE type = 'mail.requested.v1'
                     AND body LIKE '%session_reused%' AND body LIKE '%owner@maru.local%'";
    assert_eq!(count(&app, mails).await, 0);
    app.clock.advance(Duration::from_secs(11));
    for code in ["refresh_token_reused", "refresh_token_invalid"] {
        app.refresh(&stolen).await.expect_problem(401, code);
    }
    assert_eq!(count(&app, mails).await, 1);
}
