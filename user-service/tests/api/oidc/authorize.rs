use std::time::Duration;

use serde_json::json;

use super::application::{
    Application, CALLBACK, CHALLENGE, ISSUER, VERIFIER, expect_refused, form,
};
use super::browser::{Browser, location_of, query_of};
use crate::harness::{OWNER, OWNER_PASSWORD, PASSWORD, TestApp};

/// What the application is told about a request with these parameters, in a new browser.
async fn refusal(app: &TestApp, application: &Application, different: &[(&str, &str)]) -> String {
    let path = application.authorize_path(different);
    let reply = Browser::new(&app.client).get(&path).await;
    let back = location_of(&reply).unwrap_or_else(|| panic!("{different:?}: {reply}"));
    assert!(back.starts_with(&format!("{CALLBACK}?")), "{back}");
    let answer = query_of(&back);
    assert_eq!(answer.get("iss").map(String::as_str), Some(ISSUER));
    assert!(!answer.contains_key("code"), "{back}");
    answer["error"].clone()
}

#[tokio::test]
async fn a_request_is_answered_with_a_code_the_state_and_the_issuer() {
    let app = TestApp::start().await;
    let application = Application::register(&app).await;
    let mut browser = Browser::new(&app.client);
    let path = application.authorize_path(&[]);
    let login = browser.get(&path).await;
    assert_eq!(login.status, 200);
    assert!(login.text.contains("Stock Planner"));
    let signed_in = browser.log_in(&login, OWNER, OWNER_PASSWORD).await;
    let resume = location_of(&signed_in).unwrap();
    assert!(resume.starts_with("/oauth/continue?"), "{resume}");
    let consent = browser.get(&resume).await;
    for shown in [
        OWNER,
        "See orders",
        "Know who you are",
        "https://app.example",
    ] {
        assert!(consent.text.contains(shown), "{shown} is not in {consent}");
    }
    let allowed = browser.decide(&consent, "allow").await;
    let answer = query_of(&location_of(&allowed).unwrap());
    assert_eq!(answer["state"], "the state");
    assert_eq!(answer["iss"], ISSUER);
    assert!(answer["code"].starts_with("maru_ac_"));

    // Signed in and granted: the next time nobody is asked.
    let again = browser.get(&path).await;
    assert!(query_of(&location_of(&again).unwrap()).contains_key("code"));
}

#[tokio::test]
async fn state_and_nonce_may_be_absent_and_a_form_does_as_well_as_a_query() {
    let app = TestApp::start().await;
    let application = Application::register(&app).await;
    let path = application.authorize_path(&[("state", ""), ("nonce", "")]);
    let (target, query) = path.split_once('?').unwrap();
    let mut browser = Browser::new(&app.client);
    let pairs: Vec<(String, String)> = url::form_urlencoded::parse(query.as_bytes())
        .into_owned()
        .collect();
    let pairs: Vec<(&str, &str)> = pairs
        .iter()
        .map(|(a, b)| (a.as_str(), b.as_str()))
        .collect();
    let posted = browser.post(target, &pairs).await;
    let back = browser
        .walk(&location_of(&posted).unwrap(), OWNER, OWNER_PASSWORD)
        .await;
    let answer = query_of(&back);
    assert!(!answer.contains_key("state"));
    let tokens = application
        .token(&Application::exchange(&answer["code"]))
        .await
        .expect(200);
    let claims = super::application::claims_of(tokens["id_token"].as_str().unwrap());
    assert!(claims.get("nonce").is_none());
}

#[tokio::test]
async fn a_request_that_cannot_be_answered_is_refused_to_the_application() {
    let app = TestApp::start().await;
    let application = Application::register(&app).await;
    let long = "x".repeat(1_100);
    for (different, expected) in [
        (&[("code_challenge", "")][..], "invalid_request"),
        (
            &[
                ("code_challenge_method", "plain"),
                ("code_challenge", VERIFIER),
            ],
            "invalid_request",
        ),
        (&[("code_challenge_method", "")], "invalid_request"),
        (&[("code_challenge", "short")], "invalid_request"),
        (&[("response_type", "")], "invalid_request"),
        (&[("response_type", "token")], "unsupported_response_type"),
        (
            &[("response_type", "code id_token")],
            "unsupported_response_type",
        ),
        (&[("response_mode", "fragment")], "invalid_request"),
        (&[("scope", "")], "invalid_scope"),
        (&[("scope", "janitor")], "invalid_scope"),
        (&[("scope", "openid payments:refund")], "invalid_scope"),
        (&[("prompt", "none login")], "invalid_request"),
        (&[("prompt", "create")], "invalid_request"),
        (&[("max_age", "-1")], "invalid_request"),
        (&[("max_age", "soon")], "invalid_request"),
        (&[("state", &long)], "invalid_request"),
        (&[("state", "line\nbreak")], "invalid_request"),
        (&[("nonce", &long)], "invalid_request"),
        (&[("request", "a.b.c")], "request_not_supported"),
        (
            &[("request_uri", "https://app.example/r")],
            "request_uri_not_supported",
        ),
        (&[("registration", "{}")], "registration_not_supported"),
        (
            &[("scope", "openid"), ("scope", "profile")],
            "invalid_request",
        ),
        (&[("state", "a"), ("state", "b")], "invalid_request"),
        (&[("foreign", "a"), ("foreign", "a")], "invalid_request"),
    ] {
        let error = refusal(&app, &application, different).await;
        assert_eq!(error, expected, "{different:?}");
    }
}

#[tokio::test]
async fn the_browser_goes_nowhere_that_was_not_registered() {
    let app = TestApp::start().await;
    let loopback = json!({"redirect_uris": [CALLBACK, "http://127.0.0.1/cb"]});
    let application = Application::register_as(&app, loopback).await;
    for different in [
        &[("redirect_uri", "")][..],
        &[("redirect_uri", "https://evil.example/callback")],
        &[("redirect_uri", "https://app.example/callback/")],
        &[("redirect_uri", "https://app.example/callback/../x")],
        &[(
            "redirect_uri",
            "https://app.example/callback?next=//evil.example",
        )],
        &[("redirect_uri", "https://app.example/callback#x")],
        &[("redirect_uri", "https://app.example.evil.example/callback")],
        &[("redirect_uri", "https://app.example@evil.example/callback")],
        &[("redirect_uri", "https://user@app.example/callback")],
        &[("redirect_uri", "https://app.example:444/callback")],
        &[("redirect_uri", "HTTPS://APP.EXAMPLE/callback")],
        &[("redirect_uri", "//app.example/callback")],
        &[("redirect_uri", "javascript:alert(1)")],
        &[("redirect_uri", "http://127.0.0.1:1/cb/x")],
        &[("redirect_uri", CALLBACK), ("redirect_uri", CALLBACK)],
        &[
            ("redirect_uri", CALLBACK),
            ("redirect_uri", "https://evil.example/"),
        ],
        &[("client_id", "")],
        &[("client_id", "no-such-application")],
        &[("client_id", "0190b7a0-5a3c-7c1e-9a51-2f3a4b5c6d7e")],
        &[
            ("client_id", &application.id),
            ("client_id", &application.id),
        ],
    ] {
        let path = application.authorize_path(different);
        let reply = Browser::new(&app.client).get(&path).await;
        assert_eq!(reply.status, 400, "{different:?}: {reply}");
        assert_eq!(reply.header("location"), None);
        assert!(reply.text.contains("did not work"), "{different:?}");
    }
    // Applications on the person's own machine choose their port when they start.
    let path = application.authorize_path(&[("redirect_uri", "http://127.0.0.1:50123/cb")]);
    let back = Browser::new(&app.client)
        .walk(&path, OWNER, OWNER_PASSWORD)
        .await;
    assert!(
        back.starts_with("http://127.0.0.1:50123/cb?code="),
        "{back}"
    );
}

#[tokio::test]
async fn oversized_requests_are_refused() {
    let app = TestApp::start().await;
    let application = Application::register(&app).await;
    let path = application.authorize_path(&[("login_hint", &"x".repeat(4_100))]);
    let mut browser = Browser::new(&app.client);
    assert_eq!(browser.get(&path).await.status, 400);
    let (target, query) = path.split_once('?').unwrap();
    assert_eq!(browser.post(target, &[("x", query)]).await.status, 400);
    let long = "x".repeat(4_100);
    let reply = application.token(&[("grant_type", &long)]).await;
    expect_refused(reply, 400, "invalid_request");
}

#[tokio::test]
async fn without_a_session_prompt_none_says_that_a_login_is_required() {
    let app = TestApp::start().await;
    let application = Application::register(&app).await;
    let none = [("prompt", "none")];
    assert_eq!(refusal(&app, &application, &none).await, "login_required");

    let mut browser = Browser::new(&app.client);
    let path = application.authorize_path(&[("scope", "openid")]);
    let _code = browser.walk(&path, OWNER, OWNER_PASSWORD).await;
    let more = application.authorize_path(&[("prompt", "none"), ("scope", "openid email")]);
    let back = location_of(&browser.get(&more).await).unwrap();
    assert_eq!(query_of(&back)["error"], "consent_required");
    let same = application.authorize_path(&[("prompt", "none"), ("scope", "openid")]);
    let back = location_of(&browser.get(&same).await).unwrap();
    assert!(query_of(&back).contains_key("code"));
}

#[tokio::test]
async fn a_sign_in_that_is_too_old_is_asked_for_again() {
    let app = TestApp::start().await;
    let application = Application::register(&app).await;
    let mut browser = Browser::new(&app.client);
    let _code = application.code_in(&mut browser, &[]).await;
    app.clock.advance(Duration::from_secs(61));
    let young = application.authorize_path(&[("max_age", "120")]);
    assert_eq!(browser.get(&young).await.status, 303);
    for different in [
        &[("max_age", "60")][..],
        &[("max_age", "0")],
        &[("prompt", "login")],
    ] {
        let path = application.authorize_path(different);
        let page = browser.get(&path).await;
        assert!(
            page.text.contains("name=\"password\""),
            "{different:?}: {page}"
        );
        // Once is enough, however slowly it is done.
        app.clock.advance(Duration::from_secs(5));
        let signed_in = browser.log_in(&page, OWNER, OWNER_PASSWORD).await;
        app.clock.advance(Duration::from_secs(5));
        let done = browser.get(&location_of(&signed_in).unwrap()).await;
        let code = query_of(&location_of(&done).unwrap())["code"].clone();
        let tokens = application
            .token(&Application::exchange(&code))
            .await
            .expect(200);
        let claims = super::application::claims_of(tokens["id_token"].as_str().unwrap());
        let signed_in_at = app.clock.now().as_unix_seconds() - 5;
        assert_eq!(claims["auth_time"], signed_in_at, "{different:?}");
    }
    let none = application.authorize_path(&[("prompt", "none"), ("max_age", "1")]);
    let back = location_of(&browser.get(&none).await).unwrap();
    assert_eq!(query_of(&back)["error"], "login_required");
}

#[tokio::test]
async fn whoever_is_not_the_person_that_the_application_means_signs_in_again() {
    let app = TestApp::start().await;
    let _kim = app.make_user("kim@maru.local", &["crew"], &[]).await;
    let application = Application::register(&app).await;
    let owners = application.tokens().await;
    let hint = owners["id_token"].as_str().unwrap();
    let mut browser = Browser::new(&app.client);
    let path = application.authorize_path(&[]);
    let _kims = browser.walk(&path, "kim@maru.local", PASSWORD).await;
    let none = [("prompt", "none"), ("id_token_hint", hint)];
    let back = location_of(&browser.get(&application.authorize_path(&none)).await).unwrap();
    assert_eq!(query_of(&back)["error"], "login_required");
}

#[tokio::test]
async fn a_hint_outlives_the_key_that_signed_it_unless_that_was_withdrawn() {
    let app = TestApp::start().await;
    let application = Application::register(&app).await;
    let mut browser = Browser::new(&app.client);
    let code = application.code_in(&mut browser, &[]).await;
    let reply = application.token(&Application::exchange(&code)).await;
    let tokens = reply.expect(200);
    let hint = tokens["id_token"].as_str().unwrap();
    let rotate = async |retire: &str| {
        let body = json!({"retire": retire});
        let owner = app.owner().await;
        let reply = owner.post("/api/users/keys/rotate", &body).await;
        let _made = reply.expect(200);
    };
    let mut ask = async |different: &[(&str, &str)]| {
        browser.get(&application.authorize_path(different)).await
    };
    let silently = |hint| [("prompt", "none"), ("id_token_hint", hint)];
    rotate("when_expired").await;
    app.clock.advance(Duration::from_secs(1_000));
    rotate("when_expired").await;
    let set = app.client.get("/.well-known/jwks.json").await.expect(200);
    assert_eq!(
        set["keys"].as_array().unwrap().len(),
        2,
        "the first is gone"
    );
    let back = location_of(&ask(&silently(hint)).await).unwrap();
    assert!(query_of(&back).contains_key("code"), "{back}");

    rotate("now").await;
    for unreadable in [hint, "a.b.c"] {
        let back = location_of(&ask(&silently(unreadable)).await).unwrap();
        assert_eq!(query_of(&back)["error"], "login_required");
    }
    // Without being asked not to, the page asks, and goes on with whoever signs in there.
    let page = ask(&[("id_token_hint", hint)]).await;
    assert!(page.text.contains("name=\"password\""), "{page}");
    let path = application.authorize_path(&[("id_token_hint", hint)]);
    let back = browser.walk(&path, OWNER, OWNER_PASSWORD).await;
    assert!(query_of(&back).contains_key("code"), "{back}");
}

#[tokio::test]
async fn a_person_may_say_no_or_be_somebody_else() {
    let app = TestApp::start().await;
    let _kim = app.make_user("kim@maru.local", &["crew"], &[]).await;
    let application = Application::register(&app).await;
    let mut browser = Browser::new(&app.client);
    let login = browser.get(&application.authorize_path(&[])).await;
    let signed_in = browser.log_in(&login, OWNER, OWNER_PASSWORD).await;
    let consent = browser.get(&location_of(&signed_in).unwrap()).await;

    let denied = browser.decide(&consent, "deny").await;
    let answer = query_of(&location_of(&denied).unwrap());
    assert_eq!(answer["error"], "access_denied");
    assert_eq!(answer["state"], "the state");

    let login = browser.decide(&consent, "switch").await;
    app.clock.advance(Duration::from_secs(1));
    let signed_in = browser.log_in(&login, "kim@maru.local", PASSWORD).await;
    let kims = browser.get(&location_of(&signed_in).unwrap()).await;
    assert!(kims.text.contains("kim@maru.local"), "{kims}");
    // What the owner was asked, Kim cannot answer.
    let foreign = browser.decide(&consent, "allow").await;
    assert_eq!(foreign.status, 400);
    let nonsense = browser.decide(&kims, "maybe").await;
    assert_eq!(nonsense.status, 400);
    assert_eq!(browser.decide(&kims, "allow").await.status, 303);
}

#[tokio::test]
async fn a_program_on_the_persons_machine_is_asked_about_every_time() {
    let app = TestApp::start().await;
    let uri = "http://127.0.0.1/cb";
    let native = json!({"confidential": false, "redirect_uris": [uri, CALLBACK]});
    let application = Application::register_as(&app, native).await;
    let mut browser = Browser::new(&app.client);
    let path = application.authorize_path(&[("redirect_uri", "http://127.0.0.1:50123/cb")]);
    let _code = browser.walk(&path, OWNER, OWNER_PASSWORD).await;
    let page = browser.get(&path).await;
    assert!(page.text.contains("name=\"decision\""), "{page}");
    // At its own host over TLS nobody else can be it.
    let page = browser.get(&application.authorize_path(&[])).await;
    assert_eq!(page.status, 303, "{page}");
}

#[tokio::test]
async fn a_disabled_application_gets_nothing() {
    let app = TestApp::start().await;
    let application = Application::register(&app).await;
    let tokens = application.tokens().await;
    let code = application.code().await;
    let owner = app.owner().await;
    let path = format!("/api/users/oidc/clients/{}", application.id);
    let body = json!({"version": 1, "disabled": true});
    let request = owner.request(reqwest::Method::PATCH, &path).json(&body);
    let _disabled = owner.send(request).await.expect(200);
    let reply = Browser::new(&app.client)
        .get(&application.authorize_path(&[]))
        .await;
    assert_eq!(reply.status, 400);
    let reply = application.token(&Application::exchange(&code)).await;
    expect_refused(reply, 401, "invalid_client");
    application
        .userinfo(&tokens)
        .await
        .expect_problem(401, "session_ended");
}

#[test]
fn the_challenge_is_that_of_the_verifier() {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let hash = ring::digest::digest(&ring::digest::SHA256, VERIFIER.as_bytes());
    assert_eq!(URL_SAFE_NO_PAD.encode(hash), CHALLENGE);
    assert_eq!(form(&[("a", "b c")]), "a=b+c");
}
