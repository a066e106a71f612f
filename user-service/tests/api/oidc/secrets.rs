//! What an application and a browser hold is left nowhere, neither where it was taken nor where it was
//! refused.

use testkit::secrets::Secrets;

use super::application::{Application, VERIFIER};
use super::browser::Browser;
use crate::harness::{OWNER, OWNER_PASSWORD, TestApp, text};
use crate::second_factors::enrol;

#[tokio::test]
async fn no_code_token_cookie_or_secret_of_an_application_is_left_anywhere() {
    let app = TestApp::start().await;
    let mut secrets = Secrets::new();
    let application = Application::register(&app).await;
    let secret = application.secret.as_deref().unwrap();
    secrets.add("secret of an application", secret);
    secrets.add("verifier", VERIFIER);
    let mut browser = Browser::new(&app.client);
    let code = application.code_in(&mut browser, &[]).await;
    secrets.add("code", &code);
    for cookie in browser.cookies.values() {
        secrets.add("cookie", cookie);
    }
    let tokens = application.token(&Application::exchange(&code)).await;
    let tokens = secrets.watch(tokens).expect(200);
    let first = text(&tokens, "refresh_token");
    let renewed = secrets.watch(application.refresh(first).await).expect(200);
    let _info = application.userinfo(&renewed).await.expect(200);

    // Refused: used before, by a stranger, in the wrong place.
    let mut stranger = application.clone();
    stranger.secret = Some(secrets.plant("wrong secret", 43));
    let misplaced = secrets.plant("password in the wrong place", 24);
    let nonsense = [
        ("grant_type", misplaced.as_str()),
        ("code", misplaced.as_str()),
    ];
    for refused in [
        application.token(&Application::exchange(&code)).await,
        application.refresh(first).await,
        stranger.token(&Application::exchange(&code)).await,
        application.token(&nonsense).await,
        browser.get(&format!("/oauth/continue?ticket={code}")).await,
    ] {
        assert!((400..500).contains(&refused.status), "{refused}");
        let _ = secrets.watch(refused);
    }

    // The login that waits for its second factor, on the page.
    let (generator, recovery) = enrol(&app, &app.owner().await, OWNER_PASSWORD).await;
    secrets.add("generator's secret", &generator.base32());
    secrets.add("recovery code", &recovery[0]);
    let mut browser = Browser::new(&app.client);
    let login = browser.get(&application.authorize_path(&[])).await;
    let second = browser.log_in(&login, OWNER, OWNER_PASSWORD).await;
    let waiting = super::second_factors::waiting_of(&second).to_owned();
    secrets.add("token of a half login", &waiting);
    let signed_in = super::second_factors::type_code(&mut browser, &second, &recovery[0]).await;
    assert_eq!(signed_in.status, 303, "{signed_in}");
    for cookie in browser.cookies.values() {
        secrets.add("cookie", cookie);
    }
    secrets.assert_unseen(&app.client, app.database()).await;
}
