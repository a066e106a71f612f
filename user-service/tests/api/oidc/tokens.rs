use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use store::Tx;
use uuid::Uuid;

use super::application::{
    Application, CALLBACK, ISSUER, MOMENT, VERIFIER, claims_of, expect_refused,
};
use crate::harness::{OWNER, TestApp, text};

#[tokio::test]
async fn a_code_is_exchanged_for_tokens_that_say_who_and_how_far() {
    let app = TestApp::start().await;
    let application = Application::register(&app).await;
    let code = application.code().await;
    let reply = application.token(&Application::exchange(&code)).await;
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    let tokens = reply.expect(200);
    assert_eq!(tokens["token_type"], "Bearer");
    assert_eq!(tokens["expires_in"], 600);
    assert_eq!(
        tokens["scope"],
        "email offline_access openid orders:read profile"
    );
    assert!(text(&tokens, "refresh_token").starts_with("maru_art_"));

    let now = app.clock.now().as_unix_seconds();
    let id = claims_of(text(&tokens, "id_token"));
    assert_eq!(id["iss"], ISSUER);
    assert_eq!(id["aud"], application.id);
    assert_eq!(id["azp"], application.id);
    assert_eq!(id["nonce"], "the nonce");
    assert_eq!(id["auth_time"], now);
    assert_eq!(id["iat"], now);
    assert_eq!(id["exp"], now + 600);
    assert_eq!(id["amr"], json!(["pwd"]));
    assert!(id["sid"].is_string() && id["at_hash"].is_string());

    let access = claims_of(text(&tokens, "access_token"));
    assert_eq!(access["typ"], "delegated");
    assert_eq!(access["aud"], "maru:delegated");
    assert_eq!(access["azp"], application.id);
    assert_eq!(access["scope"], tokens["scope"]);
    assert_eq!(access["sub"], id["sub"]);

    let info = application.userinfo(&tokens).await.expect(200);
    assert_eq!(info["sub"], id["sub"]);
    assert_eq!(info["email"], OWNER);
    assert!(info["name"].is_string());
}

#[tokio::test]
async fn scopes_limit_what_the_application_hears_and_does() {
    let app = TestApp::start().await;
    let application = Application::register(&app).await;
    let exchange = async |scope: &str| {
        let code = application.code_with(&[("scope", scope)]).await;
        application
            .token(&Application::exchange(&code))
            .await
            .expect(200)
    };
    let little = exchange("openid").await;
    assert!(little.get("refresh_token").is_none());
    let info = application.userinfo(&little).await.expect(200);
    assert_eq!(info.as_object().unwrap().len(), 1, "{info}");

    let no_identity = exchange("users:read").await;
    assert!(no_identity.get("id_token").is_none());
    let refused = application.userinfo(&no_identity).await;
    assert!(
        refused
            .header("www-authenticate")
            .unwrap()
            .contains("insufficient_scope")
    );
    refused.expect_problem(403, "forbidden");

    // The owner's permission, where the scope reaches it.
    let with = |tokens: &Value| app.client.with_token(text(tokens, "access_token"));
    let _users = with(&no_identity).get("/api/users").await.expect(200);
    with(&little)
        .get("/api/users")
        .await
        .expect_problem(403, "forbidden");
}

#[tokio::test]
async fn an_application_is_nobody_where_people_manage_themselves() {
    let app = TestApp::start().await;
    let application = Application::register(&app).await;
    let tokens = application.tokens().await;
    let client = app.client.with_token(text(&tokens, "access_token"));
    for path in [
        "/api/auth/me",
        "/api/auth/consents",
        "/api/auth/passkeys",
        "/api/users/oidc/clients",
    ] {
        client.get(path).await.expect_problem(403, "forbidden");
    }
    for path in ["/api/auth/logout", "/api/auth/passkeys/register/start"] {
        let request = client.request(Method::POST, path);
        client.send(request).await.expect_problem(403, "forbidden");
    }
    let account = json!({
        "email": "eve@maru.local", "display_name": "Eve", "password": "a long enough password",
        "roles": ["owner"], "stores": [],
    });
    client
        .post("/api/users", &account)
        .await
        .expect_problem(403, "forbidden");

    // Its other tokens open no other door either.
    app.refresh(text(&tokens, "refresh_token"))
        .await
        .expect_problem(401, "refresh_token_invalid");
    let disguised = text(&tokens, "refresh_token").replace("maru_art_", "maru_rt_");
    app.refresh(&disguised)
        .await
        .expect_problem(401, "refresh_token_invalid");
    let with_id_token = app.client.with_token(text(&tokens, "id_token"));
    with_id_token
        .get("/api/auth/me")
        .await
        .expect_problem(401, "token_invalid");
    let _still = application.userinfo(&tokens).await.expect(200);
}

#[tokio::test]
async fn a_code_is_good_once_and_a_second_use_takes_back_what_it_gave() {
    let app = TestApp::start().await;
    let application = Application::register(&app).await;
    let code = application.code().await;
    let tokens = application
        .token(&Application::exchange(&code))
        .await
        .expect(200);
    let _info = application.userinfo(&tokens).await.expect(200);
    let reply = application.token(&Application::exchange(&code)).await;
    expect_refused(reply, 400, "invalid_grant");
    application
        .userinfo(&tokens)
        .await
        .expect_problem(401, "session_ended");
    let reply = application.refresh(text(&tokens, "refresh_token")).await;
    expect_refused(reply, 400, "invalid_grant");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_exchanges_at_once_one_succeeds() {
    let app = TestApp::start().await;
    let application = Application::register(&app).await;
    let code = application.code().await;
    let params = Application::exchange(&code);
    let tries = (0..8).map(|_| application.token(&params));
    let replies = futures_util::future::join_all(tries).await;
    let good: Vec<_> = replies
        .into_iter()
        .filter(|reply| reply.status == 200)
        .collect();
    assert_eq!(good.len(), 1);
}

#[tokio::test]
async fn an_exchange_must_fit_its_code() {
    let app = TestApp::start().await;
    let application = Application::register(&app).await;
    let other = Application::register(&app).await;
    let code = application.code().await;
    let wrong_verifier = "x".repeat(43);
    for (name, value, error) in [
        ("code_verifier", wrong_verifier.as_str(), "invalid_grant"),
        ("code_verifier", "short", "invalid_grant"),
        ("code_verifier", "", "invalid_request"),
        ("redirect_uri", "https://app.example/other", "invalid_grant"),
        ("redirect_uri", "", "invalid_request"),
        ("code", "maru_ac_nonsense", "invalid_grant"),
        ("code", "", "invalid_request"),
        ("grant_type", "", "invalid_request"),
        ("grant_type", "password", "unsupported_grant_type"),
        ("grant_type", "implicit", "unsupported_grant_type"),
        ("grant_type", "client_credentials", "unauthorized_client"),
    ] {
        let params = Application::exchange(&code);
        let params = params.map(|(known, old)| (known, if known == name { value } else { old }));
        expect_refused(application.token(&params).await, 400, error);
    }
    let reply = other.token(&Application::exchange(&code)).await;
    expect_refused(reply, 400, "invalid_grant");
    let mut twice = Application::exchange(&code).to_vec();
    twice.push(("redirect_uri", CALLBACK));
    expect_refused(application.token(&twice).await, 400, "invalid_request");
    // None of this used the code up.
    let _tokens = application
        .token(&Application::exchange(&code))
        .await
        .expect(200);
}

#[tokio::test]
async fn a_code_expires_after_a_minute() {
    let app = TestApp::start().await;
    let application = Application::register(&app).await;
    let (first, second) = (application.code().await, application.code().await);
    app.clock.advance(Duration::from_secs(59));
    let _tokens = application
        .token(&Application::exchange(&first))
        .await
        .expect(200);
    app.clock.advance(Duration::from_secs(1));
    let reply = application.token(&Application::exchange(&second)).await;
    expect_refused(reply, 400, "invalid_grant");
}

#[tokio::test]
async fn an_application_proves_itself_in_the_one_way_it_can() {
    let app = TestApp::start().await;
    let confidential = Application::register(&app).await;
    let public = Application::register_as(&app, json!({"confidential": false})).await;
    assert!(public.secret.is_none());
    let code = confidential.code().await;
    let secret = confidential.secret.clone().unwrap();
    let send = async |basic: Option<(&str, &str)>, form: &[(&str, &str)]| {
        let mut params = Application::exchange(&code).to_vec();
        params.extend_from_slice(form);
        let mut request = app
            .client
            .request(Method::POST, "/oauth/token")
            .form(&params);
        if let Some((id, secret)) = basic {
            request = request.basic_auth(id, Some(secret));
        }
        app.client.send(request).await
    };
    let id = confidential.id.as_str();
    let refused = send(Some((id, "wrong")), &[]).await;
    assert!(
        refused
            .header("www-authenticate")
            .unwrap()
            .starts_with("Basic")
    );
    expect_refused(refused, 401, "invalid_client");
    let unknown = "0190b7a0-5a3c-7c1e-9a51-2f3a4b5c6d7e";
    for (basic, form) in [
        (None, &[][..]),
        (None, &[("client_id", id)]),
        (None, &[("client_id", id), ("client_secret", "wrong")]),
        (None, &[("client_id", unknown), ("client_secret", &secret)]),
        (None, &[("client_id", "x"), ("client_secret", &secret)]),
        (Some((id, "")), &[]),
        (Some((public.id.as_str(), &secret)), &[]),
    ] {
        expect_refused(send(basic, form).await, 401, "invalid_client");
    }
    for form in [
        &[("client_secret", secret.as_str())][..],
        &[("client_id", public.id.as_str())],
    ] {
        let reply = send(Some((id, &secret)), form).await;
        expect_refused(reply, 400, "invalid_request");
    }
    let posted = [("client_id", id), ("client_secret", secret.as_str())];
    let _tokens = send(None, &posted).await.expect(200);

    let code = public.code().await;
    let _tokens = public
        .token(&Application::exchange(&code))
        .await
        .expect(200);
}

#[tokio::test]
async fn only_forms_are_read() {
    let app = TestApp::start().await;
    let application = Application::register(&app).await;
    let code = application.code().await;
    let body = json!({"grant_type": "authorization_code", "code": code, "code_verifier": VERIFIER});
    let request = app.client.request(Method::POST, "/oauth/token").json(&body);
    expect_refused(app.client.send(request).await, 400, "invalid_request");
}

#[tokio::test]
async fn a_refresh_token_is_good_once_and_a_late_second_use_ends_everything() {
    let app = TestApp::start().await;
    let application = Application::register(&app).await;
    let other = Application::register(&app).await;
    let first = application.tokens().await;
    let old = text(&first, "refresh_token");
    expect_refused(other.refresh(old).await, 400, "invalid_grant");
    let own = app
        .log_in(OWNER, crate::harness::OWNER_PASSWORD)
        .await
        .expect(200);
    let reply = application.refresh(text(&own, "refresh_token")).await;
    expect_refused(reply, 400, "invalid_grant");

    app.clock.advance(Duration::from_secs(300));
    let second = application.refresh(old).await.expect(200);
    let (before, after) = (
        claims_of(text(&first, "id_token")),
        claims_of(text(&second, "id_token")),
    );
    for claim in ["iss", "sub", "aud", "auth_time", "sid"] {
        assert_eq!(before[claim], after[claim], "{claim}");
    }
    // An answer that was lost may be asked for again, shortly.
    let repeated = application.refresh(old).await.expect(200);
    assert_eq!(repeated["refresh_token"], second["refresh_token"]);
    app.clock.advance(Duration::from_secs(11));
    expect_refused(application.refresh(old).await, 400, "invalid_grant");
    let successor = application.refresh(text(&second, "refresh_token")).await;
    expect_refused(successor, 400, "invalid_grant");
    application
        .userinfo(&second)
        .await
        .expect_problem(401, "session_ended");
}

#[tokio::test]
async fn a_refresh_may_ask_for_less_and_never_for_more() {
    let app = TestApp::start().await;
    let application = Application::register(&app).await;
    let tokens = application.tokens().await;
    let refresh = async |token: &str, scope: &str| {
        let params = [
            ("grant_type", "refresh_token"),
            ("refresh_token", token),
            ("scope", scope),
        ];
        application.token(&params).await
    };
    let token = text(&tokens, "refresh_token");
    for scope in ["openid users:read", "janitor"] {
        expect_refused(refresh(token, scope).await, 400, "invalid_scope");
    }
    let less = refresh(token, "openid").await.expect(200);
    assert_eq!(less["scope"], "openid");
    assert_eq!(claims_of(text(&less, "access_token"))["scope"], "openid");
    let all = application
        .refresh(text(&less, "refresh_token"))
        .await
        .expect(200);
    assert_eq!(all["scope"], tokens["scope"]);
}

#[tokio::test]
async fn a_revoked_token_takes_the_whole_grant_with_it() {
    let app = TestApp::start().await;
    let application = Application::register(&app).await;
    let other = Application::register(&app).await;
    for kind in ["access_token", "refresh_token"] {
        let tokens = application.tokens().await;
        let token = text(&tokens, kind);
        // Neither a foreign application nor nonsense changes anything.
        let _ignored = other
            .post("/oauth/revoke", &[("token", token)])
            .await
            .expect(200);
        let _ignored = application
            .post("/oauth/revoke", &[("token", "x")])
            .await
            .expect(200);
        let _info = application.userinfo(&tokens).await.expect(200);
        for _ in 0..2 {
            let _done = application
                .post("/oauth/revoke", &[("token", token)])
                .await
                .expect(200);
        }
        application
            .userinfo(&tokens)
            .await
            .expect_problem(401, "session_ended");
        let reply = application.refresh(text(&tokens, "refresh_token")).await;
        expect_refused(reply, 400, "invalid_grant");
    }
    expect_refused(
        application.post("/oauth/revoke", &[]).await,
        400,
        "invalid_request",
    );
    let request = app
        .client
        .request(Method::POST, "/oauth/revoke")
        .form(&[("token", "x")]);
    expect_refused(app.client.send(request).await, 401, "invalid_client");
}

#[tokio::test]
async fn a_disabled_account_takes_its_applications_along() {
    let app = TestApp::start().await;
    let kim = app.make_user("kim@maru.local", &["crew"], &[]).await;
    let application = Application::register(&app).await;
    let path = application.authorize_path(&[]);
    let mut browser = super::browser::Browser::new(&app.client);
    let back = browser
        .walk(&path, "kim@maru.local", crate::harness::PASSWORD)
        .await;
    let code = super::browser::query_of(&back)["code"].clone();
    let tokens = application
        .token(&Application::exchange(&code))
        .await
        .expect(200);
    let again = super::browser::query_of(&browser.walk(&path, "", "").await)["code"].clone();
    let owner = app.owner().await;
    let _disabled = app
        .patch(&owner, &kim, json!({"disabled": true}))
        .await
        .expect(200);
    application
        .userinfo(&tokens)
        .await
        .expect_problem(401, "session_ended");
    let reply = application.refresh(text(&tokens, "refresh_token")).await;
    expect_refused(reply, 400, "invalid_grant");
    let reply = application.token(&Application::exchange(&again)).await;
    expect_refused(reply, 400, "invalid_grant");
    let page = browser.get(&path).await;
    assert!(page.text.contains("name=\"password\""), "{page}");
}

#[tokio::test]
async fn userinfo_refuses_whoever_shows_no_token_of_an_application() {
    let app = TestApp::start().await;
    let reply = app.client.get("/oauth/userinfo").await;
    assert!(
        reply
            .header("www-authenticate")
            .unwrap()
            .starts_with("Bearer")
    );
    reply.expect_problem(401, "token_missing");
    let owner = app.owner().await;
    owner
        .get("/oauth/userinfo")
        .await
        .expect_problem(403, "forbidden");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_application_that_is_disabled_meanwhile_gets_nothing_for_a_code() {
    gets_nothing_after(async |tx, id| {
        let sql = "UPDATE oidc_clients SET disabled = $2, version = version + 1 WHERE id = $1";
        store::execute!(tx, sql, id, true).unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_that_is_renewed_meanwhile_gets_nothing_for_a_code() {
    gets_nothing_after(async |tx, id| {
        let sql = "UPDATE oidc_clients SET secret_hash = $2, version = version + 1 WHERE id = $1";
        store::execute!(tx, sql, id, "the hash of another secret").unwrap();
    })
    .await;
}

/// Exchanges a code while somebody changes its application.
async fn gets_nothing_after(change: impl AsyncFnOnce(&mut Tx, Uuid)) {
    let app = TestApp::start().await;
    let application = Application::register(&app).await;
    let code = application.code().await;
    let params = Application::exchange(&code);
    let mut tx = app.db().await.begin().await.unwrap();
    change(&mut tx, application.id.parse().unwrap()).await;
    // Not yet committed: the application still looks as before, and proves itself.
    let mut exchange = Box::pin(application.token(&params));
    let waiting = tokio::time::timeout(MOMENT, &mut exchange).await;
    assert!(waiting.is_err(), "it waits for the change");
    tx.commit().await.unwrap();
    expect_refused(exchange.await, 401, "invalid_client");
}
