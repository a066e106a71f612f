use reqwest::Method;
use serde_json::json;

use crate::harness::{TestApp, log_so_far, text};

/// Stands in every secret of this test and in nothing else.
const MARKER: &str = "marker-7f3a9c";

#[tokio::test]
async fn no_secret_is_logged_shown_or_counted() {
    let owner_password = format!("owner {MARKER}");
    let root = format!("root secret of at least 32 characters {MARKER}");
    let sealing = format!("sealing secret of at least 32 characters {MARKER}");
    let app = TestApp::start_with(&[
        ("MARU_OWNER_PASSWORD", &owner_password),
        ("MARU_SERVICE_ROOT_SECRET", &root),
        ("USER__KEYS__ENCRYPTION_SECRET", &sealing),
    ])
    .await;
    let mut shown = String::new();
    let mut tokens = Vec::new();

    let login = app
        .log_in("owner@maru.local", &owner_password)
        .await
        .expect(200);
    let refreshed = app.refresh(text(&login, "refresh_token")).await.expect(200);
    for answer in [&login, &refreshed] {
        tokens.push(text(answer, "access_token").to_owned());
        tokens.push(text(answer, "refresh_token").to_owned());
    }
    let owner = app.client.with_token(text(&refreshed, "access_token"));
    let user = |password: String| {
        json!({
            "email": "kim@maru.local", "display_name": "Kim", "password": password,
            "roles": ["crew"],
        })
    };
    let wrong = format!("wrong {MARKER}");
    for reply in [
        app.log_in("owner@maru.local", &wrong).await,
        app.log_in("owner@maru.local", &format!("{wrong}{}", "x".repeat(200)))
            .await,
        app.refresh(&format!("maru_rt_{MARKER}")).await,
        owner.post("/api/users", &user(wrong.clone())).await,
        owner.post("/api/users", &user(wrong.clone())).await,
        owner
            .post("/api/users", &user(format!("{MARKER}{}", "x".repeat(200))))
            .await,
        app.client
            .post(
                "/internal/tokens",
                &json!({"client_id": "order", "client_secret": MARKER}),
            )
            .await,
        app.client
            .send(
                app.client
                    .request(Method::POST, "/internal/tokens")
                    .form(&[("client_secret", MARKER), ("unknown", MARKER)]),
            )
            .await,
        app.client.with_token(MARKER).get("/api/auth/me").await,
        app.client
            .post("/api/auth/logout", &json!({"refresh_token": tokens[1]}))
            .await,
        app.client.get("/metrics").await,
        app.client.get("/health").await,
    ] {
        shown.push_str(&reply.text);
    }
    let _stopped = app.stop().await;
    let logged = log_so_far();
    assert!(logged.contains("signed in"), "the log was captured");
    for (what, text) in [("answers", &shown), ("log", &logged)] {
        assert!(!text.contains(MARKER), "a secret stands in the {what}");
        for token in &tokens {
            let signature = token.rsplit('.').next().unwrap();
            assert!(!text.contains(signature), "a token stands in the {what}");
        }
    }
}
