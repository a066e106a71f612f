//! The login page and what applications get, where the password is not enough.

use serde_json::{Value, json};
use store::Db;
use testkit::Reply;

use super::application::{Application, claims_of};
use super::browser::{Browser, location_of, query_of, ticket_of};
use crate::harness::{OWNER, OWNER_PASSWORD, PASSWORD, TestApp, text};
use crate::second_factors::enrol;

const KIM: &str = "kim@maru.local";

/// The login that the page's form waits with.
pub(super) fn waiting_of(page: &Reply) -> &str {
    let parts = page.text.split_once("name=\"waiting\" value=\"");
    let (_, rest) = parts.unwrap_or_else(|| panic!("no second step in {page}"));
    rest.split('"').next().unwrap()
}

pub(super) async fn type_code(browser: &mut Browser, page: &Reply, code: &str) -> Reply {
    let fields = [
        ("ticket", ticket_of(page)),
        ("waiting", waiting_of(page)),
        ("code", code),
    ];
    browser.post("/oauth/login", &fields).await
}

/// Gives an account a passkey that no test can use: only that it is there counts.
async fn plant_passkey(db: &Db, user: &Value) {
    let mut tx = db.begin().await.unwrap();
    let id = uuid::Uuid::new_v4();
    let user: uuid::Uuid = text(user, "id").parse().unwrap();
    let now = common::time::Timestamp::from_unix_seconds(1_800_000_000);
    store::execute!(
        tx,
        "INSERT INTO passkeys (id, credential_id, user_id, name, credential, counter, backed_up,
                               created_at)
         VALUES ($1, 'AAAA', $2, 'Phone', $3, 0, false, $4)",
        id,
        user,
        &store::json(&json!({})),
        now
    )
    .unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn the_page_asks_for_a_code_where_the_account_has_a_generator() {
    let app = TestApp::start().await;
    let application = Application::register(&app).await;
    let (generator, recovery) = enrol(&app, &app.owner().await, OWNER_PASSWORD).await;

    let mut browser = Browser::new(&app.client);
    let login = browser.get(&application.authorize_path(&[])).await;
    let second = browser.log_in(&login, OWNER, OWNER_PASSWORD).await;
    assert_eq!(second.status, 200, "{second}");
    assert!(second.header("set-cookie").is_none(), "nobody is signed in");
    let again = browser.get(&application.authorize_path(&[])).await;
    assert!(again.text.contains("name=\"password\""), "{again}");

    let wrong = type_code(&mut browser, &second, "000000").await;
    assert_eq!(wrong.status, 400, "{wrong}");
    assert!(wrong.text.contains("The code is wrong"), "{wrong}");
    assert!(!wrong.text.contains("000000"), "{wrong}");
    let long = type_code(&mut browser, &wrong, &"1".repeat(5_000)).await;
    assert_eq!(long.status, 400, "{long}");
    let signed_in = type_code(&mut browser, &wrong, &generator.code(&app)).await;
    let consent = browser.get(&location_of(&signed_in).unwrap()).await;
    let back = browser.decide(&consent, "allow").await;
    let code = query_of(&location_of(&back).unwrap())["code"].clone();
    let tokens = application.token(&Application::exchange(&code)).await;
    let claims = claims_of(text(&tokens.expect(200), "id_token"));
    assert_eq!(claims["amr"], json!(["mfa", "otp", "pwd"]));

    // A recovery code does as well, once.
    for (expected, code) in [(303, &recovery[0]), (400, &recovery[0])] {
        let mut browser = Browser::new(&app.client);
        let login = browser.get(&application.authorize_path(&[])).await;
        let second = browser.log_in(&login, OWNER, OWNER_PASSWORD).await;
        let answer = type_code(&mut browser, &second, code).await;
        assert_eq!(answer.status, expected, "{answer}");
    }
}

#[tokio::test]
async fn too_many_wrong_codes_lead_back_to_the_beginning() {
    let app = TestApp::start().await;
    let application = Application::register(&app).await;
    let (generator, _codes) = enrol(&app, &app.owner().await, OWNER_PASSWORD).await;
    let mut browser = Browser::new(&app.client);
    let login = browser.get(&application.authorize_path(&[])).await;
    let second = browser.log_in(&login, OWNER, OWNER_PASSWORD).await;
    for _ in 0..5 {
        let _wrong = type_code(&mut browser, &second, "000000").await;
    }
    // Past the delay that further tries meet.
    app.clock.advance(std::time::Duration::from_secs(60));
    let over = type_code(&mut browser, &second, &generator.code(&app)).await;
    assert_eq!(over.status, 400, "{over}");
    assert!(over.text.contains("Sign in again."), "{over}");
    assert!(over.text.contains("name=\"password\""), "{over}");
}

#[tokio::test]
async fn a_password_alone_signs_nobody_in_who_has_a_passkey() {
    let app = TestApp::start().await;
    let application = Application::register(&app).await;
    let kim = app.make_user(KIM, &["crew"], &[]).await;
    plant_passkey(&app.db().await, &kim).await;
    let half = app.log_in(KIM, PASSWORD).await.expect(200);
    assert_eq!(half["methods"], json!(["passkey"]));
    assert!(half.get("access_token").is_none());
    let mut browser = Browser::new(&app.client);
    let login = browser.get(&application.authorize_path(&[])).await;
    let page = browser.log_in(&login, KIM, PASSWORD).await;
    assert_eq!(page.status, 400, "{page}");
    assert!(page.text.contains("signs in with a passkey"), "{page}");
    assert!(page.header("set-cookie").is_none());
}

#[tokio::test]
async fn an_application_of_a_manager_without_the_second_factor_may_do_nothing() {
    let app = TestApp::start().await;
    let application = Application::register(&app).await;
    let tokens = application.tokens().await;
    assert_eq!(
        claims_of(text(&tokens, "access_token"))["roles"],
        json!(["owner"])
    );
    let mut stopped = app.stop().await;
    stopped.set("USER__MFA__REQUIRE_FOR_MANAGERS", "always");
    let app = stopped.start().await;
    let application = application.at(&app);
    let renewed = application.refresh(text(&tokens, "refresh_token")).await;
    let renewed = renewed.expect(200);
    assert_eq!(
        claims_of(text(&renewed, "access_token"))["roles"],
        json!([])
    );
    let fresh = application.tokens().await;
    assert_eq!(claims_of(text(&fresh, "access_token"))["roles"], json!([]));
}

#[tokio::test]
async fn an_erased_person_leaves_no_passkey_and_no_consent() {
    let app = TestApp::start().await;
    let application = Application::register(&app).await;
    let kim = app.make_user(KIM, &["crew"], &[]).await;
    let path = application.authorize_path(&[]);
    let back = Browser::new(&app.client).walk(&path, KIM, PASSWORD).await;
    let code = query_of(&back)["code"].clone();
    let exchanged = application.token(&Application::exchange(&code)).await;
    let _tokens = exchanged.expect(200);
    let db = app.db().await;
    plant_passkey(&db, &kim).await;
    let owner = app.owner().await;
    let export = async || {
        let path = format!("/api/users/{}/export", text(&kim, "id"));
        owner.get(&path).await.expect(200)
    };
    let held = export().await;
    assert_eq!(held["passkeys"][0]["name"], "Phone");
    assert_eq!(held["consents"][0]["application"], "Stock Planner");
    let erase = format!("/api/users/{}/erase", text(&kim, "id"));
    assert_eq!(owner.post(&erase, &json!({})).await.status, 204);
    let left = export().await;
    assert_eq!(left["passkeys"], json!([]));
    assert_eq!(left["consents"], json!([]));
    let mut tx = db.read().await.unwrap();
    for sql in [
        "SELECT count(*) FROM oidc_codes",
        "SELECT count(*) FROM oidc_browsers",
        "SELECT count(*) FROM oidc_grants",
    ] {
        let (count,) = store::fetch_one!(tx, (i64,), sql).unwrap();
        assert_eq!(count, 0, "{sql}");
    }
}
