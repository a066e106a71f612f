//! A service's own identity towards other services.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use ring::hmac;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use crate::clock::Clock;
use crate::time::Timestamp;

/// Renew a token this long before it expires.
const RENEW_BEFORE: Duration = Duration::from_secs(60);

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenSourceError {
    /// user-service could not be asked, or refused.
    #[error("no service token could be had")]
    Fetch(#[source] reqwest::Error),
    /// user-service could not sign its own.
    #[error("no service token could be signed")]
    Sign(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Gives the bearer token to send with a call to another service.
#[async_trait]
pub trait TokenSource: Send + Sync {
    /// A token that is valid now.
    ///
    /// # Errors
    /// When none can be had.
    async fn token(&self) -> Result<Arc<str>, TokenSourceError>;

    /// The token was refused though it has not expired, as after its key was withdrawn: the next one is
    /// a new one.
    async fn refused(&self) {}
}

/// What user-service is asked at `POST /internal/tokens`
/// (the client credentials grant, RFC 6749, section 4.4).
#[derive(Serialize, Deserialize)]
pub struct ServiceTokenIn {
    /// The service's name.
    pub client_id: String,
    /// Its secret.
    pub client_secret: String,
}

/// What it answers (RFC 6749, section 5.1).
#[derive(Serialize, Deserialize)]
pub struct ServiceTokenOut {
    /// The token.
    pub access_token: String,
    /// Always `Bearer`.
    pub token_type: String,
    /// Seconds until it expires.
    pub expires_in: u64,
}

/// The secret of one service, derived from the installation's root: hex of
/// HMAC-SHA256(root, `maru-service:<name>`), so that one service's secret says nothing of another's.
#[must_use]
pub fn derive_service_secret(root: &SecretString, service: &str) -> SecretString {
    use std::fmt::Write as _;
    let key = hmac::Key::new(hmac::HMAC_SHA256, root.expose_secret().as_bytes());
    let tag = hmac::sign(&key, format!("maru-service:{service}").as_bytes());
    let hex = tag
        .as_ref()
        .iter()
        .fold(String::with_capacity(64), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        });
    SecretString::from(hex)
}

/// Tokens fetched from user-service with this service's secret, kept until shortly before they
/// expire.
pub struct ServiceTokens {
    url: String,
    client: reqwest::Client,
    name: &'static str,
    secret: SecretString,
    clock: Clock,
    cached: tokio::sync::Mutex<Option<(Arc<str>, Timestamp)>>,
}

impl ServiceTokens {
    /// Tokens for the service `name`, from user-service at `base_url`.
    #[must_use]
    pub fn new(
        base_url: &str,
        client: reqwest::Client,
        name: &'static str,
        secret: SecretString,
        clock: Clock,
    ) -> Self {
        let url = format!("{}/internal/tokens", base_url.trim_end_matches('/'));
        Self {
            url,
            client,
            name,
            secret,
            clock,
            cached: tokio::sync::Mutex::default(),
        }
    }

    async fn fetch(&self) -> Result<ServiceTokenOut, reqwest::Error> {
        let body = ServiceTokenIn {
            client_id: self.name.to_owned(),
            client_secret: self.secret.expose_secret().to_owned(),
        };
        let request = self
            .client
            .post(&self.url)
            .timeout(Duration::from_secs(2))
            .json(&body);
        request.send().await?.error_for_status()?.json().await
    }
}

#[async_trait]
impl TokenSource for ServiceTokens {
    async fn token(&self) -> Result<Arc<str>, TokenSourceError> {
        let mut cached = self.cached.lock().await;
        let now = self.clock.now();
        match &*cached {
            Some((token, renew_at)) if now < *renew_at => return Ok(Arc::clone(token)),
            _ => {}
        }
        let answer = self.fetch().await.map_err(TokenSourceError::Fetch)?;
        let token: Arc<str> = answer.access_token.into();
        let lifetime = Duration::from_secs(answer.expires_in);
        let renew_at = now.plus(lifetime.saturating_sub(RENEW_BEFORE));
        *cached = Some((Arc::clone(&token), renew_at));
        Ok(token)
    }

    async fn refused(&self) {
        *self.cached.lock().await = None;
    }
}
