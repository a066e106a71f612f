use std::collections::BTreeSet;

use common::auth::{AUDIENCE, ISSUER};
use serde_json::{Value, json};

use crate::harness::{OWNER, OWNER_PASSWORD, PASSWORD, TestApp, text};
use crate::second_factors::enrol;

#[tokio::test]
async fn a_login_gives_tokens_that_may_not_be_cached() {
    let app = TestApp::start().await;
    let reply = app.log_in(OWNER, OWNER_PASSWORD).await;
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    let tokens = reply.expect(200);
    assert_eq!(tokens["token_type"], "Bearer");
    assert_eq!(tokens["expires_in"], 600);
    assert!(text(&tokens, "refresh_token").starts_with("maru_rt_"));
    let owner = app.client.with_token(text(&tokens, "access_token"));
    let me = owner.get("/api/auth/me").await.expect(200);
    assert_eq!(me["email"], OWNER);
    assert_eq!(me["roles"], json!(["owner"]));
    assert_eq!(me["stores"], json!([]));
    assert_eq!(me["disabled"], false);
}

#[tokio::test]
async fn an_access_token_has_exactly_the_agreed_claims() {
    let app = TestApp::start().await;
    let store = "0190b7a0-5a3c-7c1e-9a51-2f3a4b5c6d7e";
    let user = app.make_user("kim@maru.local", &["crew"], &[store]).await;
    let tokens = app.log_in("kim@maru.local", PASSWORD).await.expect(200);
    let claims = claims_of(text(&tokens, "access_token"));
    let now = app.clock.now().as_unix_seconds();
    assert_eq!(claims["iss"], ISSUER);
    assert_eq!(claims["aud"], AUDIENCE);
    assert_eq!(claims["sub"], user["id"]);
    assert_eq!(claims["iat"], now);
    assert_eq!(claims["nbf"], now);
    assert_eq!(claims["exp"], now + 600);
    assert_eq!(claims["typ"], "access");
    assert_eq!(claims["roles"], json!(["crew"]));
    assert_eq!(claims["stores"], json!([store]));
    let mut names: Vec<&String> = claims.as_object().unwrap().keys().collect();
    names.sort();
    let expected = [
        "aud", "exp", "iat", "iss", "jti", "nbf", "roles", "sid", "stores", "sub", "typ", "ver",
    ];
    assert_eq!(names, expected);
    let owner = app.log_in(OWNER, OWNER_PASSWORD).await.expect(200);
    assert_eq!(claims_of(text(&owner, "access_token"))["stores"], "*");
}

/// What a login of Kim's comes to if `change` happens while it waits for its hash.
async fn log_in_during(
    app: &TestApp,
    change: impl AsyncFnOnce(&testkit::ApiClient, &Value),
) -> testkit::Reply {
    let owner = app.owner().await;
    let user = app.make_user("kim@maru.local", &["crew"], &[]).await;
    let before = app.log_in(OWNER, OWNER_PASSWORD);
    let log_in = app.log_in("kim@maru.local", PASSWORD);
    let change = async {
        // By then the login, which was sent before, has read the account and stands in line. On a busy
        // machine a single request may overtake it.
        for _ in 0..20 {
            owner.get("/api/auth/me").await.expect(200);
        }
        change(&owner, &user).await;
    };
    let (before, reply, ()) = tokio::join!(before, log_in, change);
    before.expect(200);
    reply
}

/// So slow that others come in between.
const ONE_SLOW_HASH: [(&str, &str); 2] = [
    ("USER__HASHING__PARALLEL", "1"),
    ("USER__HASHING__PASSES", "40"),
];

#[tokio::test]
async fn roles_that_change_while_a_login_waits_for_its_hash_are_in_its_token() {
    let app = TestApp::start_with(&ONE_SLOW_HASH).await;
    let reply = log_in_during(&app, async |owner, user| {
        let change = json!({"roles": ["kiosk"]});
        app.patch(owner, user, change).await.expect(200);
    });
    let claims = claims_of(text(&reply.await.expect(200), "access_token"));
    assert_eq!(
        (&claims["ver"], &claims["roles"]),
        (&json!(2), &json!(["kiosk"]))
    );
}

#[tokio::test]
async fn whoever_is_disabled_while_a_login_waits_for_its_hash_gets_no_session() {
    let app = TestApp::start_with(&ONE_SLOW_HASH).await;
    let reply = log_in_during(&app, async |owner, user| {
        let change = json!({"disabled": true});
        app.patch(owner, user, change).await.expect(200);
    });
    // It was in force when its turn was prepared, so another try has to tell.
    refused_for_now(reply.await);
    app.log_in("kim@maru.local", PASSWORD)
        .await
        .expect_problem(401, "credentials_invalid");
}

#[tokio::test]
async fn a_password_that_is_replaced_while_a_login_waits_for_its_hash_opens_nothing() {
    let app = TestApp::start_with(&ONE_SLOW_HASH).await;
    let reply = log_in_during(&app, async |_owner, _user| {
        // Another instance of the service did it, with a hash in the time of this one's.
        let mut tx = app.db().await.begin().await.unwrap();
        let sql = "UPDATE users SET password_hash =
                       (SELECT password_hash FROM users WHERE email_key = $1)
                   WHERE email_key = 'kim@maru.local'";
        store::execute!(tx, sql, OWNER).unwrap();
        tx.commit().await.unwrap();
    });
    refused_for_now(reply.await);
    app.log_in("kim@maru.local", OWNER_PASSWORD)
        .await
        .expect(200);
}

fn refused_for_now(reply: testkit::Reply) {
    assert!(reply.header("retry-after").is_some());
    reply.expect_problem(503, "busy");
}

#[tokio::test]
async fn the_email_is_taken_in_any_case() {
    let app = TestApp::start().await;
    let _tokens = app
        .log_in("OWNER@Maru.LOCAL", OWNER_PASSWORD)
        .await
        .expect(200);
}

#[tokio::test]
async fn whoever_may_not_sign_in_learns_nothing_of_why() {
    let app = TestApp::start().await;
    let user = app.make_user("kim@maru.local", &["crew"], &[]).await;
    let owner = app.owner().await;
    let _changed = app
        .patch(&owner, &user, json!({"disabled": true}))
        .await
        .expect(200);
    let mut answers = Vec::new();
    for (email, password) in [
        (OWNER, "wrong"),
        (OWNER, ""),
        ("nobody@maru.local", OWNER_PASSWORD),
        ("not an email", OWNER_PASSWORD),
        ("owner\0@maru.local", OWNER_PASSWORD),
        ("", ""),
        ("kim@maru.local", PASSWORD),
        ("kim@maru.local", "wrong"),
    ] {
        let reply = app.log_in(email, password).await;
        assert!(reply.header("www-authenticate").is_some());
        let mut problem = reply.expect_problem(401, "credentials_invalid");
        problem.request_id = None;
        answers.push(serde_json::to_value(problem).unwrap());
    }
    let (first, others) = answers.split_first().unwrap();
    assert!(others.iter().all(|other| other == first), "{answers:?}");
}

#[tokio::test]
async fn what_cannot_be_a_login_is_refused_unread() {
    let app = TestApp::start().await;
    let post = async |body: Value| app.client.post("/api/auth/login", &body).await;
    post(json!({"email": OWNER}))
        .await
        .expect_problem(400, "missing_field");
    post(json!({"email": OWNER, "password": "x", "role": "owner"}))
        .await
        .expect_problem(400, "unknown_field");
    post(json!({"email": OWNER, "password": 1}))
        .await
        .expect_problem(400, "invalid_type");
    let too_long = post(json!({"email": "e".repeat(255), "password": "p".repeat(129)})).await;
    assert_eq!(too_long.expect_invalid(), ["email", "password"]);
}

#[tokio::test]
async fn a_hash_with_old_parameters_is_replaced_at_the_next_login() {
    let app = TestApp::start().await;
    let hash = async |app: &TestApp| {
        let mut tx = app.db().await.read().await.unwrap();
        let sql = "SELECT password_hash FROM users WHERE email_key = $1";
        let (hash,) = store::fetch_one!(tx, (String,), sql, OWNER).unwrap();
        hash
    };
    let before = hash(&app).await;
    assert!(
        before.starts_with("$argon2id$v=19$m=8192,t=1,p=1$"),
        "{before}"
    );
    let _tokens = app.log_in(OWNER, OWNER_PASSWORD).await.expect(200);
    assert_eq!(hash(&app).await, before, "up to date, so it stays");

    let mut stopped = app.stop().await;
    stopped.set("USER__HASHING__MEMORY_KIB", "19456");
    stopped.set("USER__HASHING__PASSES", "2");
    let app = stopped.start().await;
    app.log_in(OWNER, "wrong")
        .await
        .expect_problem(401, "credentials_invalid");
    assert_eq!(hash(&app).await, before, "a failed login changes nothing");
    let _tokens = app.log_in(OWNER, OWNER_PASSWORD).await.expect(200);
    let after = hash(&app).await;
    assert!(
        after.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
        "{after}"
    );
    let _tokens = app.log_in(OWNER, OWNER_PASSWORD).await.expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logins_beyond_the_queue_are_told_to_come_back() {
    let app = TestApp::start_with(&[
        ("USER__HASHING__PARALLEL", "1"),
        ("USER__HASHING__QUEUE", "1"),
    ])
    .await;
    let logins = (0..40).map(|_| app.log_in(OWNER, OWNER_PASSWORD));
    let replies = futures_util::future::join_all(logins).await;
    let served = replies.iter().filter(|reply| reply.status == 200).count();
    assert!(served >= 1);
    for reply in replies.into_iter().filter(|reply| reply.status != 200) {
        assert!(reply.header("retry-after").is_some());
        // Nor do they keep a connection until then.
        assert_eq!(reply.header("connection"), Some("close"));
        reply.expect_problem(503, "busy");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logins_that_come_together_are_each_answered_as_if_alone() {
    let app = TestApp::start_with(&[("USER__HASHING__PARALLEL", "1")]).await;
    let names = ["kim", "lee", "moon"].map(|name| format!("{name}@maru.local"));
    let [kim, lee, moon] = &names;
    for name in [kim, lee, moon] {
        app.make_user(name, &["crew"], &[]).await;
    }
    let lees = app.log_in(lee, PASSWORD).await.expect(200);
    let client = app.client.with_token(text(&lees, "access_token"));
    enrol(&app, &client, PASSWORD).await;

    let wishes = [
        (kim.as_str(), PASSWORD),
        (lee, PASSWORD),
        (moon, "another password"),
        (kim, PASSWORD),
        ("nobody@maru.local", PASSWORD),
        (OWNER, OWNER_PASSWORD),
        (moon, PASSWORD),
    ];
    let logins = wishes.map(|(email, password)| app.log_in(email, password));
    let replies = futures_util::future::join_all(logins).await;
    let mut sessions = BTreeSet::new();
    for ((email, password), reply) in wishes.into_iter().zip(replies) {
        if email == lee {
            assert_eq!(reply.expect(200)["mfa_required"], true, "{email}");
        } else if password == "another password" || email.starts_with("nobody") {
            reply.expect_problem(401, "credentials_invalid");
        } else {
            let tokens = reply.expect(200);
            let client = app.client.with_token(text(&tokens, "access_token"));
            let me = client.get("/api/auth/me").await.expect(200);
            assert_eq!(me["email"], email);
            sessions.insert(text(&me["session"], "id").to_owned());
            let refresh = json!({"refresh_token": text(&tokens, "refresh_token")});
            app.client
                .post("/api/auth/refresh", &refresh)
                .await
                .expect(200);
        }
    }
    assert_eq!(sessions.len(), 4, "each has a session of its own");
}

/// The claims of a token, unverified.
pub(crate) fn claims_of(token: &str) -> Value {
    use base64::Engine as _;
    let payload = token.split('.').nth(1).unwrap();
    let json = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload);
    serde_json::from_slice(&json.unwrap()).unwrap()
}
