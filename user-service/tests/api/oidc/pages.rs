use serde_json::json;

use super::application::{Application, ISSUER};
use super::browser::{Browser, location_of, ticket_of};
use crate::harness::{OWNER, OWNER_PASSWORD, TestApp};

#[tokio::test]
async fn a_page_loads_nothing_from_elsewhere_and_is_shown_in_no_other_page() {
    let app = TestApp::start().await;
    let application = Application::register(&app).await;
    let mut browser = Browser::new(&app.client);
    let login = browser.get(&application.authorize_path(&[])).await;
    let signed_in = browser.log_in(&login, OWNER, OWNER_PASSWORD).await;
    let consent = browser.get(&location_of(&signed_in).unwrap()).await;
    let sign_out = browser.get("/oauth/end_session").await;
    let refused = browser.get("/oauth/authorize").await;
    for page in [&login, &consent, &sign_out, &refused] {
        let policy = page.header("content-security-policy").unwrap();
        for part in [
            "default-src 'none'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
        ] {
            assert!(policy.contains(part), "{part}: {policy}");
        }
        assert!(
            !policy.contains("unsafe") && !policy.contains('*'),
            "{policy}"
        );
        assert_eq!(page.header("x-frame-options"), Some("DENY"));
        assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(page.header("referrer-policy"), Some("no-referrer"));
        assert_eq!(page.header("cache-control"), Some("no-store"));
        assert_eq!(
            page.header("content-type"),
            Some("text/html; charset=utf-8")
        );
        let nonce = policy
            .split("'nonce-")
            .nth(1)
            .unwrap()
            .split('\'')
            .next()
            .unwrap();
        for tag in ["<style", "<script"] {
            let tags = page.text.matches(tag).count();
            let marked = page
                .text
                .matches(&format!("{tag} nonce=\"{nonce}\""))
                .count();
            assert_eq!(tags, marked, "{tag} in {page}");
        }
        for foreign in ["src=\"http", "href=\"http", "onclick", "javascript:"] {
            assert!(!page.text.contains(foreign), "{foreign} in {page}");
        }
    }
    assert_ne!(
        login.header("content-security-policy"),
        browser
            .get(&application.authorize_path(&[("prompt", "login")]))
            .await
            .header("content-security-policy"),
        "every page has a nonce of its own"
    );
}

#[tokio::test]
async fn what_comes_from_outside_is_escaped() {
    let app = TestApp::start().await;
    let name = "<script>alert(1)</script> & \"co\"";
    let application = Application::register_as(&app, json!({"name": name})).await;
    let path = application.authorize_path(&[("login_hint", "\"><script>alert(2)</script>")]);
    let page = Browser::new(&app.client).get(&path).await;
    assert!(!page.text.contains("<script>alert"), "{page}");
    assert!(
        page.text.contains("alert(1)") && page.text.contains("alert(2)"),
        "{page}"
    );
}

#[tokio::test]
async fn cookies_are_out_of_reach_for_scripts_and_other_sites() {
    let app = TestApp::start().await;
    let secure = TestApp::start_with(&[("MARU_PUBLIC_URL", "https://maru.example")]).await;
    for (app, is_secure) in [(&app, false), (&secure, true)] {
        let application = Application::register(app).await;
        let mut browser = Browser::new(&app.client);
        let login = browser.get(&application.authorize_path(&[])).await;
        let signed_in = browser.log_in(&login, OWNER, OWNER_PASSWORD).await;
        for reply in [&login, &signed_in] {
            let cookie = reply.header("set-cookie").unwrap();
            for part in ["HttpOnly", "SameSite=Lax", "Path=/"] {
                assert!(cookie.contains(part), "{part}: {cookie}");
            }
            assert!(!cookie.contains("Domain"), "{cookie}");
            assert_eq!(cookie.contains("; Secure"), is_secure, "{cookie}");
            assert_eq!(cookie.starts_with("__Host-"), is_secure, "{cookie}");
        }
    }
}

#[tokio::test]
async fn a_form_of_another_site_or_browser_is_refused() {
    let app = TestApp::start().await;
    let application = Application::register(&app).await;
    let mut victim = Browser::new(&app.client);
    let login = victim.get(&application.authorize_path(&[])).await;
    let mut attacker = Browser::new(&app.client);
    let theirs = attacker.get(&application.authorize_path(&[])).await;
    let credentials = [("email", OWNER), ("password", OWNER_PASSWORD)];
    // No ticket, nonsense, one of the attacker's own browser, one of another form.
    for ticket in [None, Some("x.y"), Some(ticket_of(&theirs))] {
        let mut fields = credentials.to_vec();
        fields.extend(ticket.map(|ticket| ("ticket", ticket)));
        let forged = victim.post("/oauth/login", &fields).await;
        assert_eq!(forged.status, 400, "{forged}");
        assert_eq!(forged.header("set-cookie"), None);
    }
    let signed_in = victim.log_in(&login, OWNER, OWNER_PASSWORD).await;
    let resume = location_of(&signed_in).unwrap();
    let consent = victim.get(&resume).await;
    for ticket in ["", "x.y", ticket_of(&theirs), ticket_of(&login)] {
        let fields = [("ticket", ticket), ("decision", "allow")];
        assert_eq!(victim.post("/oauth/consent", &fields).await.status, 400);
    }
    // Another browser, with what the victim's page held.
    assert_eq!(attacker.get(&resume).await.status, 400);
    assert_eq!(attacker.decide(&consent, "allow").await.status, 400);
    assert_eq!(victim.decide(&consent, "allow").await.status, 303);
}

#[tokio::test]
async fn whoever_signs_in_gets_another_cookie() {
    let app = TestApp::start().await;
    let application = Application::register(&app).await;
    let mut browser = Browser::new(&app.client);
    let login = browser.get(&application.authorize_path(&[])).await;
    let planted = "x".repeat(43);
    browser
        .cookies
        .insert("maru_signed_in".to_owned(), planted.clone());
    let _signed_in = browser.log_in(&login, OWNER, OWNER_PASSWORD).await;
    assert_ne!(browser.cookies["maru_signed_in"], planted);
}

#[tokio::test]
async fn a_page_that_lay_open_for_long_is_refused() {
    let app = TestApp::start().await;
    let application = Application::register(&app).await;
    let mut browser = Browser::new(&app.client);
    let login = browser.get(&application.authorize_path(&[])).await;
    app.clock.advance(std::time::Duration::from_secs(1_801));
    let late = browser.log_in(&login, OWNER, OWNER_PASSWORD).await;
    assert_eq!(late.status, 400);
    assert!(late.text.contains("out of date"), "{late}");
}

#[tokio::test]
async fn a_wrong_password_is_told_on_the_page_and_delayed_like_any_other() {
    let app = TestApp::start().await;
    let application = Application::register(&app).await;
    let mut browser = Browser::new(&app.client);
    let mut page = browser.get(&application.authorize_path(&[])).await;
    for email in ["nobody@maru.local", OWNER] {
        let refused = browser.log_in(&page, email, "a wrong password").await;
        assert_eq!(refused.status, 400);
        assert!(
            refused.text.contains("The email or the password is wrong."),
            "{refused}"
        );
        assert!(refused.text.contains(email) && !refused.text.contains("a wrong password"));
    }
    for _ in 0..8 {
        page = browser.log_in(&page, OWNER, "a wrong password").await;
    }
    assert_eq!(page.status, 429, "{page}");
    assert!(page.header("retry-after").is_some());
    app.log_in(OWNER, OWNER_PASSWORD)
        .await
        .expect_problem(429, "too_many_requests");
    let nonsense = [
        ("ticket", ticket_of(&page)),
        ("ceremony", "x"),
        ("passkey", "{}"),
    ];
    assert_eq!(browser.post("/oauth/login", &nonsense).await.status, 400);
}

#[tokio::test]
async fn the_discovery_document_says_what_is_offered() {
    let app = TestApp::start().await;
    for path in [
        "/.well-known/openid-configuration",
        "/.well-known/oauth-authorization-server",
    ] {
        let document = app.client.get(path).await.expect(200);
        assert_eq!(document["issuer"], ISSUER);
        assert_eq!(document["token_endpoint"], format!("{ISSUER}/oauth/token"));
        assert_eq!(document["response_types_supported"], json!(["code"]));
        assert_eq!(
            document["code_challenge_methods_supported"],
            json!(["S256"])
        );
        assert_eq!(
            document["id_token_signing_alg_values_supported"],
            json!(["EdDSA"])
        );
        let grants = json!(["authorization_code", "refresh_token", "client_credentials"]);
        assert_eq!(document["grant_types_supported"], grants);
        assert_eq!(
            document["authorization_response_iss_parameter_supported"],
            true
        );
    }
}
