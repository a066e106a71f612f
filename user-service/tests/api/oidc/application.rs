//! An application that people let act for them, as a test plays it.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::Method;
use serde_json::{Value, json};
use testkit::{ApiClient, Reply};

use super::browser::{Browser, query_of};
use crate::harness::{OWNER, OWNER_PASSWORD, TestApp, text};

pub(super) const CALLBACK: &str = "https://app.example/callback";
pub(super) const AFTER_LOGOUT: &str = "https://app.example/bye";
pub(super) const ISSUER: &str = "http://localhost:5000";
/// The example of RFC 7636, appendix B.
pub(super) const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
pub(super) const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// Long enough for a request to arrive where another transaction stands in its way.
pub(super) const MOMENT: Duration = Duration::from_millis(300);

/// A registered application.
#[derive(Clone)]
pub(crate) struct Application {
    pub(super) id: String,
    pub(super) secret: Option<String>,
    client: ApiClient,
}

impl Application {
    /// One that can keep a secret, for every scope that the tests use.
    pub(crate) async fn register(app: &TestApp) -> Self {
        Self::register_as(app, json!({})).await
    }

    /// One that differs in some fields.
    pub(super) async fn register_as(app: &TestApp, different: Value) -> Self {
        let mut body = json!({
            "name": "Stock Planner",
            "confidential": true,
            "redirect_uris": [CALLBACK],
            "post_logout_redirect_uris": [AFTER_LOGOUT],
            "scopes": ["openid", "profile", "email", "offline_access", "orders:read", "users:read"],
        });
        let fields = body.as_object_mut().unwrap();
        fields.extend(different.as_object().unwrap().clone());
        let owner = app.owner().await;
        let made = owner
            .post("/api/users/oidc/clients", &body)
            .await
            .expect(201);
        Self {
            id: text(&made, "id").to_owned(),
            secret: made["client_secret"].as_str().map(ToOwned::to_owned),
            client: app.client.clone(),
        }
    }

    /// The same application at a service that was started anew.
    pub(super) fn at(&self, app: &TestApp) -> Self {
        Self {
            client: app.client.clone(),
            ..self.clone()
        }
    }

    /// The path of an authorization request with these parameters in the place of the usual ones; an
    /// empty one is left out.
    pub(super) fn authorize_path(&self, different: &[(&str, &str)]) -> String {
        let usual = [
            ("response_type", "code"),
            ("client_id", &self.id),
            ("redirect_uri", CALLBACK),
            ("scope", "openid profile email offline_access orders:read"),
            ("state", "the state"),
            ("nonce", "the nonce"),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
        ];
        let replaced = |name: &str| different.iter().any(|(other, _)| *other == name);
        let kept = usual.into_iter().filter(|(name, _)| !replaced(name));
        let added = different
            .iter()
            .copied()
            .filter(|(_, value)| !value.is_empty());
        let pairs: Vec<(&str, &str)> = kept.chain(added).collect();
        format!("/oauth/authorize?{}", form(&pairs))
    }

    /// A code, for the owner in a new browser.
    pub(super) async fn code(&self) -> String {
        self.code_with(&[]).await
    }

    /// The same for a request with these parameters.
    pub(super) async fn code_with(&self, different: &[(&str, &str)]) -> String {
        let mut browser = Browser::new(&self.client);
        self.code_in(&mut browser, different).await
    }

    /// The same in this browser.
    pub(super) async fn code_in(
        &self,
        browser: &mut Browser,
        different: &[(&str, &str)],
    ) -> String {
        let path = self.authorize_path(different);
        self.code_of(browser, &path, (OWNER, OWNER_PASSWORD)).await
    }

    async fn code_of(
        &self,
        browser: &mut Browser,
        path: &str,
        (email, password): (&str, &str),
    ) -> String {
        let back = browser.walk(path, email, password).await;
        let answer = query_of(&back);
        answer
            .get("code")
            .unwrap_or_else(|| panic!("no code in {back}"))
            .clone()
    }

    /// The usual parameters of an exchange.
    pub(super) fn exchange(code: &str) -> [(&str, &str); 4] {
        [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", CALLBACK),
            ("code_verifier", VERIFIER),
        ]
    }

    /// Tokens for the owner.
    pub(super) async fn tokens(&self) -> Value {
        let code = self.code().await;
        self.token(&Self::exchange(&code)).await.expect(200)
    }

    /// Tokens for somebody, within this scope.
    pub(crate) async fn tokens_of(&self, email: &str, password: &str, scope: &str) -> Value {
        let path = self.authorize_path(&[("scope", scope)]);
        let mut browser = Browser::new(&self.client);
        let code = self.code_of(&mut browser, &path, (email, password)).await;
        self.token(&Self::exchange(&code)).await.expect(200)
    }

    /// A request to the token endpoint, proved as the application does.
    pub(super) async fn token(&self, params: &[(&str, &str)]) -> Reply {
        self.post("/oauth/token", params).await
    }

    pub(super) async fn refresh(&self, refresh_token: &str) -> Reply {
        let params = [
            ("grant_type", "refresh_token"),
            ("refresh_token", refresh_token),
        ];
        self.token(&params).await
    }

    pub(super) async fn post(&self, path: &str, params: &[(&str, &str)]) -> Reply {
        let request = self.client.request(Method::POST, path);
        match &self.secret {
            Some(secret) => {
                let request = request.basic_auth(&self.id, Some(secret)).form(params);
                self.client.send(request).await
            }
            None => {
                let mut params = params.to_vec();
                params.push(("client_id", &self.id));
                self.client.send(request.form(&params)).await
            }
        }
    }

    /// What the tokens' person is, as the provider tells it.
    pub(super) async fn userinfo(&self, tokens: &Value) -> Reply {
        let client = self.client.with_token(text(tokens, "access_token"));
        client.get("/oauth/userinfo").await
    }
}

/// Refused in the form of RFC 6749, section 5.2.
#[track_caller]
pub(super) fn expect_refused(reply: Reply, status: u16, code: &str) {
    let refusal = reply.clone().expect(status);
    assert_eq!(refusal["error"], code, "{reply}");
    assert_eq!(reply.header("cache-control"), Some("no-store"));
}

/// The claims of a token, unverified.
pub(super) fn claims_of(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

/// Form-encoded.
pub(super) fn form(pairs: &[(&str, &str)]) -> String {
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    form.extend_pairs(pairs);
    form.finish()
}
