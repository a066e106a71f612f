//! No password, token or secret is left anywhere. A flow that handles another kind of secret belongs
//! into this list.

use reqwest::Method;
use serde_json::json;
use testkit::secrets::Secrets;

use crate::harness::{OWNER, TestApp, text};

/// Longer than any password may be.
const TOO_LONG: usize = 300;

/// A service all of whose own secrets are planted.
async fn start(secrets: &mut Secrets) -> (TestApp, String) {
    let owner = secrets.plant("owner's password", 24);
    let root = secrets.plant("root secret", 40);
    let sealing = secrets.plant("sealing secret", 40);
    let app = TestApp::start_with(&[
        ("MARU_OWNER_PASSWORD", &owner),
        ("MARU_SERVICE_ROOT_SECRET", &root),
        ("USER__KEYS__ENCRYPTION_SECRET", &sealing),
    ])
    .await;
    (app, owner)
}

#[tokio::test]
async fn no_secret_is_logged_stored_shown_or_counted() {
    let mut secrets = Secrets::new();
    let (app, password) = start(&mut secrets).await;
    let login = secrets
        .watch(app.log_in(OWNER, &password).await)
        .expect(200);
    let refreshed = secrets.watch(app.refresh(text(&login, "refresh_token")).await);
    let refreshed = refreshed.expect(200);
    let owner = app.client.with_token(text(&refreshed, "access_token"));

    let made = secrets.plant("password of a new account", 24);
    let wrong = secrets.plant("wrong password", 24);
    let too_long = secrets.plant("password that is too long", TOO_LONG);
    let made_up = secrets.plant("refresh token that is made up", 43);
    let client_secret = secrets.plant("wrong secret of a service", 40);
    let user = |password: &str| {
        json!({
            "email": "kim@maru.local", "display_name": "Kim", "password": password,
            "roles": ["crew"],
        })
    };
    let odd = json!({"email": OWNER, "password": [password], "Password": wrong});
    let tokens = "/internal/tokens";
    let form = app.client.request(Method::POST, tokens);
    let form = form.form(&[
        ("client_secret", &client_secret),
        ("unknown", &client_secret),
    ]);
    let client = json!({"client_id": "order", "client_secret": client_secret});
    let last = json!({"refresh_token": text(&refreshed, "refresh_token")});
    for reply in [
        app.log_in(OWNER, &wrong).await,
        app.log_in(OWNER, &too_long).await,
        app.log_in(&wrong, &password).await,
        app.client.post("/api/auth/login", &odd).await,
        app.client.post("/api/auth/login", &json!(password)).await,
        app.refresh(&format!("maru_rt_{made_up}")).await,
        owner.post("/api/users", &user(&made)).await,
        owner.post("/api/users", &user(&made)).await,
        owner.post("/api/users", &user(&too_long)).await,
        app.log_in("kim@maru.local", &made).await,
        app.client.post(tokens, &client).await,
        app.client.send(form).await,
        app.client.with_token(&made_up).get("/api/auth/me").await,
        app.client.post("/api/auth/logout", &last).await,
        app.refresh(text(&refreshed, "refresh_token")).await,
        app.client
            .get(&format!("/api/users?cursor={made_up}"))
            .await,
    ] {
        let _ = secrets.watch(reply);
    }
    secrets.assert_unseen(&app.client, app.database()).await;
}
