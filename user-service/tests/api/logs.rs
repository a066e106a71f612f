//! No password, token or secret is left anywhere. A flow that handles another kind of secret belongs
//! into this list.

use reqwest::Method;
use serde_json::json;
use testkit::secrets::Secrets;

use crate::api_keys::{exchange, halves};
use crate::harness::{OWNER, OWNER_PASSWORD, PASSWORD, TestApp, log_so_far, text};
use crate::mails::{mail_to, token_of};
use crate::second_factors::enrol;

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

#[tokio::test]
async fn no_link_code_or_terminal_token_is_logged_and_no_address() {
    const KIM: &str = "kim.in.no.log@maru.local";
    const STORE: &str = "0190b7a0-5a3c-7c1e-9a51-2f3a4b5c6d0a";
    let app = TestApp::start().await;
    let owner = app.owner().await;
    let invitation = json!({
        "email": KIM, "display_name": "Kim-in-no-log", "role": "crew", "stores": [STORE],
    });
    let made = owner.post("/api/users/invitations", &invitation).await;
    let _invitation = made.expect(201);
    let invited = token_of(&mail_to(&app, KIM, "invitation").await);
    let body = json!({"token": invited, "password": PASSWORD});
    let accepted = app.client.post("/api/auth/invitations/accept", &body);
    let _account = accepted.await.expect(201);
    let forgot = json!({"email": KIM});
    let asked = app.client.post("/api/auth/password/forgot", &forgot).await;
    assert_eq!(asked.status, 202);
    let reset = token_of(&mail_to(&app, KIM, "reset_password").await);
    let new = "a new password of no log";
    let body = json!({"token": reset, "new_password": new});
    let done = app.client.post("/api/auth/password/reset", &body).await;
    assert_eq!(done.status, 204);
    let kim = app.signed_in(KIM, new).await;
    let (generator, codes) = enrol(&app, &kim, new).await;
    let waiting = app.log_in(KIM, new).await.expect(200);
    let device = json!({"store_id": STORE, "name": "Till 2"});
    let device = owner.post("/api/users/devices", &device).await.expect(201);
    let pin = json!({"password": new, "pin": "602847"});
    assert_eq!(kim.put("/api/auth/pin", &pin).await.status, 204);

    let key = json!({
        "password": OWNER_PASSWORD, "name": "till export", "scopes": ["menu:read"],
    });
    let key = owner.post("/api/users/api-keys", &key).await.expect(201);
    let (prefix, secret) = halves(&key);
    let token = exchange(&app, &(prefix, secret.clone())).await;

    let mut kept = Secrets::new();
    kept.add("secret of an API key", &secret);
    let _token = kept.watch(token).expect(200);
    kept.add("password", new);
    kept.add("generator's secret", &generator.base32());
    for code in &codes {
        kept.add("recovery code", code);
    }
    kept.add("token of a half login", text(&waiting, "mfa_token"));
    kept.add("token of a terminal", text(&device, "device_token"));
    kept.assert_unseen(&app.client, app.database()).await;

    // What stands in a mail, or is kept of a person, may stand in the database, but in no log.
    let logged = log_so_far();
    assert!(
        logged.contains("accepted an invitation"),
        "the log was captured"
    );
    for secret in [&invited, &reset, KIM, "Kim-in-no-log", "\"602847\""] {
        let line = logged.lines().find(|line| line.contains(secret));
        assert!(line.is_none(), "{secret} is logged: {line:?}");
    }
}
