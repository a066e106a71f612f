//! The public keys that tokens are verified with: a JSON Web Key Set (RFC 7517, RFC 8037).

use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

/// One Ed25519 public key (RFC 8037, section 2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Jwk {
    /// Always `OKP`.
    pub kty: String,
    /// Always `Ed25519`.
    pub crv: String,
    /// The key's id.
    pub kid: String,
    /// The public key, base64url without padding.
    pub x: String,
    /// Always `EdDSA`.
    pub alg: String,
    /// Always `sig`.
    pub r#use: String,
}

impl Jwk {
    /// Describes an Ed25519 public key.
    #[must_use]
    pub fn ed25519(kid: impl Into<String>, public_key: &[u8]) -> Self {
        use base64::Engine as _;
        Self {
            kty: "OKP".to_owned(),
            crv: "Ed25519".to_owned(),
            kid: kid.into(),
            x: base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(public_key),
            alg: "EdDSA".to_owned(),
            r#use: "sig".to_owned(),
        }
    }
}

/// A set of public keys.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct JwkSet {
    /// The keys that tokens may be signed with now.
    pub keys: Vec<Jwk>,
}

/// Why no keys could be had.
#[derive(Debug, thiserror::Error)]
pub enum KeySourceError {
    /// user-service could not be asked.
    #[error("the signing keys could not be fetched")]
    Fetch(#[source] reqwest::Error),
}

/// Where public keys come from.
#[async_trait]
pub trait KeySource: Send + Sync {
    /// The keys that tokens may be signed with now.
    ///
    /// # Errors
    /// When the source cannot be asked.
    async fn fetch(&self) -> Result<JwkSet, KeySourceError>;
}

/// Keys fetched from user-service, `GET {base}/.well-known/jwks.json`.
pub struct UserServiceKeys {
    url: String,
    client: reqwest::Client,
}

impl UserServiceKeys {
    /// Fetches from this base URL.
    #[must_use]
    pub fn new(base_url: &str, client: reqwest::Client) -> Self {
        Self {
            url: format!("{}/.well-known/jwks.json", base_url.trim_end_matches('/')),
            client,
        }
    }
}

#[async_trait]
impl KeySource for UserServiceKeys {
    async fn fetch(&self) -> Result<JwkSet, KeySourceError> {
        let request = self.client.get(&self.url).timeout(Duration::from_secs(2));
        let response = request.send().await.map_err(KeySourceError::Fetch)?;
        let response = response.error_for_status().map_err(KeySourceError::Fetch)?;
        response.json().await.map_err(KeySourceError::Fetch)
    }
}

/// Keys known to this process already: user-service's own, or a test's.
#[derive(Default)]
pub struct StaticKeys(Mutex<JwkSet>);

impl StaticKeys {
    /// These keys.
    #[must_use]
    pub fn new(keys: JwkSet) -> Self {
        Self(Mutex::new(keys))
    }

    /// Replaces them, as a rotation does.
    pub fn replace(&self, keys: JwkSet) {
        *self
            .0
            .lock()
            .expect("no code panics while holding the keys") = keys;
    }
}

#[async_trait]
impl KeySource for StaticKeys {
    async fn fetch(&self) -> Result<JwkSet, KeySourceError> {
        Ok(self
            .0
            .lock()
            .expect("no code panics while holding the keys")
            .clone())
    }
}
