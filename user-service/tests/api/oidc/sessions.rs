use std::time::Duration;

use super::application::{AFTER_LOGOUT, Application, expect_refused, form};
use super::browser::{Browser, location_of, query_of, ticket_of};
use crate::harness::{OWNER, OWNER_PASSWORD, TestApp, text};

async fn is_signed_in(browser: &mut Browser, application: &Application) -> bool {
    browser.get(&application.authorize_path(&[])).await.status == 303
}

#[tokio::test]
async fn an_application_signs_out_the_person_it_shows_to_know() {
    let app = TestApp::start().await;
    let application = Application::register(&app).await;
    let mut browser = Browser::new(&app.client);
    let lasting = application.code_in(&mut browser, &[]).await;
    let lasting = application
        .token(&Application::exchange(&lasting))
        .await
        .expect(200);
    let passing = application
        .code_in(&mut browser, &[("scope", "openid")])
        .await;
    let passing = application
        .token(&Application::exchange(&passing))
        .await
        .expect(200);
    // An expired ID token still says who is meant.
    app.clock.advance(Duration::from_secs(3_600));
    let query = form(&[
        ("id_token_hint", text(&passing, "id_token")),
        ("post_logout_redirect_uri", AFTER_LOGOUT),
        ("state", "x y"),
    ]);
    let reply = browser.get(&format!("/oauth/end_session?{query}")).await;
    let back = location_of(&reply).unwrap();
    assert!(back.starts_with(AFTER_LOGOUT), "{back}");
    assert_eq!(query_of(&back)["state"], "x y");
    assert!(!is_signed_in(&mut browser, &application).await);
    // What was granted for while the person is away stays, the rest ends.
    let renewed = application
        .refresh(text(&lasting, "refresh_token"))
        .await
        .expect(200);
    let _info = application.userinfo(&renewed).await.expect(200);
}

#[tokio::test]
async fn what_may_be_done_only_while_signed_in_ends_at_the_sign_out() {
    let app = TestApp::start().await;
    let application = Application::register(&app).await;
    let mut browser = Browser::new(&app.client);
    let code = application
        .code_in(&mut browser, &[("scope", "openid")])
        .await;
    let tokens = application
        .token(&Application::exchange(&code))
        .await
        .expect(200);
    let unused = application
        .code_in(&mut browser, &[("scope", "openid")])
        .await;
    let page = browser.get("/oauth/end_session").await;
    let fields = [("ticket", ticket_of(&page))];
    let done = browser.post("/oauth/end_session/confirm", &fields).await;
    assert_eq!(done.status, 200);
    application
        .userinfo(&tokens)
        .await
        .expect_problem(401, "session_ended");
    let reply = application.token(&Application::exchange(&unused)).await;
    expect_refused(reply, 400, "invalid_grant");
}

#[tokio::test]
async fn nobody_is_signed_out_by_a_link_alone() {
    let app = TestApp::start().await;
    let application = Application::register(&app).await;
    let mut browser = Browser::new(&app.client);
    let _code = application.code_in(&mut browser, &[]).await;
    // Of another browser of the same person.
    let elsewhere = application.tokens().await;
    for query in [
        String::new(),
        form(&[("client_id", application.id.as_str())]),
        form(&[("id_token_hint", "a.b.c")]),
        form(&[("id_token_hint", text(&elsewhere, "id_token"))]),
        form(&[("id_token_hint", text(&elsewhere, "access_token"))]),
    ] {
        let page = browser.get(&format!("/oauth/end_session?{query}")).await;
        assert!(
            page.text.contains("Sign out?") && page.text.contains(OWNER),
            "{query}: {page}"
        );
        assert!(is_signed_in(&mut browser, &application).await, "{query}");
    }
    // A form of another site has no ticket.
    let forged = browser
        .post("/oauth/end_session/confirm", &[("ticket", "x.y")])
        .await;
    assert_eq!(forged.status, 400);
    let page = browser.get("/oauth/end_session").await;
    let mut stranger = Browser::new(&app.client);
    let stolen = stranger
        .post(
            "/oauth/end_session/confirm",
            &[("ticket", ticket_of(&page))],
        )
        .await;
    assert_eq!(stolen.status, 400);
    assert!(is_signed_in(&mut browser, &application).await);
}

#[tokio::test]
async fn a_sign_out_that_another_site_posts_finds_the_person_as_a_link_does() {
    let app = TestApp::start().await;
    let application = Application::register(&app).await;
    let mut browser = Browser::new(&app.client);
    let code = application.code_in(&mut browser, &[]).await;
    let tokens = application
        .token(&Application::exchange(&code))
        .await
        .expect(200);
    let fields = [
        ("id_token_hint", text(&tokens, "id_token")),
        ("post_logout_redirect_uri", AFTER_LOGOUT),
    ];
    // SameSite=Lax: the browser keeps its cookies to itself, and takes those that the answer sets.
    let posted = async |fields: &[(&str, &str)]| {
        let mut crossing = Browser::new(&app.client);
        crossing.post("/oauth/end_session", fields).await
    };
    let nothing_certain = posted(&[]).await;
    let asked = browser.get(&location_of(&nothing_certain).unwrap()).await;
    assert!(asked.text.contains("Sign out?"), "{asked}");
    let reply = posted(&fields).await;
    assert_eq!(reply.header("set-cookie"), None);
    let next = location_of(&reply).unwrap();
    assert!(next.starts_with("/oauth/end_session?"), "{next}");
    assert!(is_signed_in(&mut browser, &application).await);
    let back = location_of(&browser.get(&next).await);
    assert_eq!(back.as_deref(), Some(AFTER_LOGOUT));
    assert!(!is_signed_in(&mut browser, &application).await);
    // Where nobody is signed in there is nothing to forget.
    let again = Browser::new(&app.client).get("/oauth/end_session").await;
    assert_eq!((again.status, again.header("set-cookie")), (200, None));
    let too_long = "x".repeat(5_000);
    assert_eq!(posted(&[("state", &too_long)]).await.status, 400);
}

#[tokio::test]
async fn of_a_sign_out_with_an_unreadable_hint_the_person_is_asked_and_stays_here() {
    let app = TestApp::start().await;
    let application = Application::register(&app).await;
    let mut browser = Browser::new(&app.client);
    let _code = application.code_in(&mut browser, &[]).await;
    let unreadable = ("id_token_hint", "a.b.c");
    let foreign = ("post_logout_redirect_uri", "https://evil.example/");
    let query = form(&[unreadable, foreign]);
    let page = browser.get(&format!("/oauth/end_session?{query}")).await;
    assert!(page.text.contains("Sign out?"), "{page}");
    let fields = [("ticket", ticket_of(&page))];
    let done = browser.post("/oauth/end_session/confirm", &fields).await;
    assert_eq!((done.status, location_of(&done)), (200, None));
    assert!(!is_signed_in(&mut browser, &application).await);
    // Of a named application it is known where it may lead.
    let query = form(&[unreadable, foreign, ("client_id", &application.id)]);
    let refused = browser.get(&format!("/oauth/end_session?{query}")).await;
    assert_eq!(refused.status, 400);
}

#[tokio::test]
async fn a_sign_out_leads_nowhere_that_was_not_registered() {
    let app = TestApp::start().await;
    let application = Application::register(&app).await;
    let other = Application::register(&app).await;
    let tokens = application.tokens().await;
    let (own, hint) = (application.id.as_str(), text(&tokens, "id_token"));
    for pairs in [
        &[("post_logout_redirect_uri", AFTER_LOGOUT)][..],
        &[
            ("client_id", own),
            ("post_logout_redirect_uri", "https://evil.example/"),
        ],
        &[
            ("client_id", own),
            ("post_logout_redirect_uri", "https://app.example/bye/x"),
        ],
        &[("client_id", other.id.as_str()), ("id_token_hint", hint)],
        &[("client_id", own), ("client_id", own)],
    ] {
        let path = format!("/oauth/end_session?{}", form(pairs));
        let reply = Browser::new(&app.client).get(&path).await;
        assert_eq!(
            (reply.status, reply.header("location")),
            (400, None),
            "{pairs:?}"
        );
    }
    let known = [
        ("client_id", own),
        ("post_logout_redirect_uri", AFTER_LOGOUT),
    ];
    let reply = Browser::new(&app.client)
        .get(&format!("/oauth/end_session?{}", form(&known)))
        .await;
    assert_eq!(location_of(&reply).as_deref(), Some(AFTER_LOGOUT));
}

#[tokio::test]
async fn a_sign_in_on_the_page_ends_after_its_hours() {
    let app = TestApp::start_with(&[("USER__OIDC__BROWSER_HOURS", "2")]).await;
    let application = Application::register(&app).await;
    let mut browser = Browser::new(&app.client);
    let _code = application.code_in(&mut browser, &[]).await;
    app.clock.advance(Duration::from_secs(2 * 3_600));
    assert!(is_signed_in(&mut browser, &application).await);
    app.clock.advance(Duration::from_secs(1));
    assert!(!is_signed_in(&mut browser, &application).await);
}

#[tokio::test]
async fn a_consent_is_listed_and_taken_back() {
    let app = TestApp::start().await;
    let application = Application::register(&app).await;
    let mut browser = Browser::new(&app.client);
    let code = application
        .code_in(&mut browser, &[("scope", "openid offline_access")])
        .await;
    let tokens = application
        .token(&Application::exchange(&code))
        .await
        .expect(200);
    let _more = application
        .code_in(&mut browser, &[("scope", "openid orders:read")])
        .await;

    let owner = app.signed_in(OWNER, OWNER_PASSWORD).await;
    let page = owner.get("/api/auth/consents").await.expect(200);
    let [consent] = page["items"].as_array().unwrap().as_slice() else {
        panic!("{page}");
    };
    assert_eq!(consent["client_id"], application.id);
    assert_eq!(consent["client_name"], "Stock Planner");
    assert_eq!(
        consent["scopes"],
        serde_json::json!(["offline_access", "openid", "orders:read"])
    );

    let path = format!("/api/auth/consents/{}", application.id);
    let _kim = app.make_user("kim@maru.local", &["crew"], &[]).await;
    let kim = app
        .signed_in("kim@maru.local", crate::harness::PASSWORD)
        .await;
    kim.delete(&path).await.expect_problem(404, "not_found");
    let _still = application.userinfo(&tokens).await.expect(200);
    let _gone = owner.delete(&path).await.expect(204);
    owner.delete(&path).await.expect_problem(404, "not_found");
    application
        .userinfo(&tokens)
        .await
        .expect_problem(401, "session_ended");
    let reply = application.refresh(text(&tokens, "refresh_token")).await;
    expect_refused(reply, 400, "invalid_grant");
    let page = browser
        .get(&application.authorize_path(&[("scope", "openid")]))
        .await;
    assert!(page.text.contains("name=\"decision\""), "{page}");
}

#[tokio::test]
async fn a_code_gives_nothing_once_the_consent_behind_it_was_taken_back() {
    let app = TestApp::start().await;
    let application = Application::register(&app).await;
    let mut browser = Browser::new(&app.client);
    let scope = [("scope", "openid orders:read")];
    let code = application.code_in(&mut browser, &scope).await;
    let owner = app.signed_in(OWNER, OWNER_PASSWORD).await;
    let path = format!("/api/auth/consents/{}", application.id);
    let _gone = owner.delete(&path).await.expect(204);
    let reply = application.token(&Application::exchange(&code)).await;
    expect_refused(reply, 400, "invalid_grant");

    // Nor does it when less was allowed since.
    let less = application
        .code_in(&mut browser, &[("scope", "openid")])
        .await;
    let reply = application.token(&Application::exchange(&code)).await;
    expect_refused(reply, 400, "invalid_grant");
    let reply = application.token(&Application::exchange(&less)).await;
    let _tokens = reply.expect(200);
}

#[tokio::test]
async fn replicas_know_each_others_browsers_codes_and_grants() {
    let app = TestApp::start().await;
    let application = Application::register(&app).await;
    let mut browser = Browser::new(&app.client);
    let login = browser.get(&application.authorize_path(&[])).await;
    let replica = app.replica().await;
    let mut elsewhere = Browser::new(&replica.client);
    elsewhere.cookies = browser.cookies.clone();
    let signed_in = elsewhere.log_in(&login, OWNER, OWNER_PASSWORD).await;
    browser.cookies = elsewhere.cookies;
    let consent = browser.get(&location_of(&signed_in).unwrap()).await;
    let allowed = browser.decide(&consent, "allow").await;
    let code = query_of(&location_of(&allowed).unwrap())["code"].clone();
    let _tokens = application
        .token(&Application::exchange(&code))
        .await
        .expect(200);
}
