//! A stand-in for user-service: publishes an identity's key and hands out service tokens.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use actix_web::{HttpResponse, ResponseError as _, web};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};

use common::auth::{Revocation, RevocationsPage, Revoked, derive_service_secret};
use common::error::ApiError;

use crate::fake::FakeServer;
use crate::identity::TestIdentity;

/// Root of the service secrets that the stand-in knows.
const ROOT_SECRET: &str = "maru-development-only";

/// user-service as the other services see it, on a free port, until it is dropped.
pub struct FakeUserService {
    server: FakeServer,
    state: Arc<State>,
}

struct State {
    identity: TestIdentity,
    key_requests: AtomicU32,
    token_requests: AtomicU32,
    revocations: Mutex<Vec<Revocation>>,
}

#[derive(Deserialize)]
struct Credentials {
    client_id: String,
    client_secret: String,
}

impl FakeUserService {
    /// Starts it for this identity.
    ///
    /// # Panics
    /// When no port is free.
    #[must_use]
    pub fn start(identity: &TestIdentity) -> Self {
        let state = Arc::new(State {
            identity: identity.clone(),
            key_requests: AtomicU32::new(0),
            token_requests: AtomicU32::new(0),
            revocations: Mutex::default(),
        });
        let shared = web::Data::from(Arc::clone(&state));
        let server = FakeServer::start(move |config| {
            config
                .app_data(shared.clone())
                .route("/.well-known/jwks.json", web::get().to(keys))
                .route("/internal/tokens", web::post().to(tokens))
                .route("/internal/revocations", web::get().to(revocations));
        });
        Self { server, state }
    }

    /// Its base address.
    #[must_use]
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// The root secret, for the settings of the service under test.
    #[must_use]
    pub fn root_secret(&self) -> SecretString {
        ROOT_SECRET.into()
    }

    /// How often the keys were asked for.
    #[must_use]
    pub fn key_requests(&self) -> u32 {
        self.state.key_requests.load(Ordering::SeqCst)
    }

    /// How often a service token was asked for.
    #[must_use]
    pub fn token_requests(&self) -> u32 {
        self.state.token_requests.load(Ordering::SeqCst)
    }

    /// Tells whoever asks from now on that this was revoked.
    ///
    /// # Panics
    /// Never: nobody panics while holding the list.
    pub fn revoke(&self, revoked: Revoked) {
        let at = common::clock::Clock::system().now();
        let mut revocations = self.state.revocations.lock().expect("nobody panicked");
        revocations.push(Revocation { revoked, at });
    }

    /// Stops it, as a crash would.
    pub async fn stop(&self) {
        self.server.stop().await;
    }
}

async fn keys(state: web::Data<State>) -> HttpResponse {
    state.key_requests.fetch_add(1, Ordering::SeqCst);
    HttpResponse::Ok().json(state.identity.jwks())
}

async fn revocations(state: web::Data<State>) -> HttpResponse {
    HttpResponse::Ok().json(RevocationsPage {
        cursor: String::new(),
        revocations: state.revocations.lock().expect("nobody panicked").clone(),
        keys: state.identity.jwks(),
    })
}

async fn tokens(
    state: web::Data<State>,
    asked: web::Either<web::Json<Credentials>, web::Form<Credentials>>,
) -> HttpResponse {
    state.token_requests.fetch_add(1, Ordering::SeqCst);
    let asked = match asked {
        web::Either::Left(json) => json.into_inner(),
        web::Either::Right(form) => form.into_inner(),
    };
    let secret = derive_service_secret(&ROOT_SECRET.into(), &asked.client_id);
    if asked.client_secret != secret.expose_secret() {
        return ApiError::unauthenticated("client_invalid").error_response();
    }
    let answer: Value = json!({
        "access_token": state.identity.service(&asked.client_id),
        "token_type": "Bearer",
        "expires_in": 900,
    });
    HttpResponse::Ok().json(answer)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use common::auth::{ServiceTokens, TokenSource as _, TokenVerifier, UserServiceKeys};
    use common::clock::Clock;

    use super::*;

    #[tokio::test]
    async fn its_keys_verify_the_tokens_it_hands_out() {
        let fake = FakeUserService::start(&TestIdentity::new());
        let client = || resilience::plain_http(Duration::from_secs(1));
        let secret = derive_service_secret(&fake.root_secret(), "order");
        let clock = Clock::system();
        let tokens = ServiceTokens::new(&fake.url(), client(), "order", secret, clock.clone());
        let token = tokens.token().await.unwrap();
        let keys = UserServiceKeys::new(&fake.url(), client());
        let caller = TokenVerifier::new(keys, clock)
            .verify(&token)
            .await
            .unwrap();
        assert_eq!(caller.subject, "order");
        assert_eq!((fake.key_requests(), fake.token_requests()), (1, 1));
    }

    #[tokio::test]
    async fn it_refuses_a_wrong_secret() {
        let fake = FakeUserService::start(&TestIdentity::new());
        let client = resilience::plain_http(Duration::from_secs(1));
        let tokens = ServiceTokens::new(&fake.url(), client, "order", "x".into(), Clock::system());
        assert!(tokens.token().await.is_err());
    }
}
