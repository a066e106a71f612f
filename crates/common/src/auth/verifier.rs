//! Verifies tokens offline, with cached keys.

use std::collections::HashMap;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};

use super::crypto::install_jwt_crypto;
use super::keys::{JwkSet, KeySource};
use super::principal::{Claims, Principal};
use crate::clock::Clock;
use crate::error::ApiError;
use crate::time::Timestamp;

/// The `iss` of every token.
pub const ISSUER: &str = "maru";
/// The `aud` of every token of a person or a service.
pub const AUDIENCE: &str = "maru";
/// The `aud` of the tokens with which applications act for people.
pub const DELEGATED_AUDIENCE: &str = "maru:delegated";

/// Longest token looked at, in bytes; a larger one is refused unread.
const MAX_TOKEN_BYTES: usize = 4_096;
/// Clocks of two machines may differ by this much.
const LEEWAY_SECONDS: u64 = 5;
/// An unknown key id makes the keys be fetched again, but not more often than this.
const MIN_REFETCH_INTERVAL: Duration = Duration::from_secs(1);
/// After a failed fetch the next one waits this long, so that callers hear 503 at once instead of
/// queueing behind time-outs.
const FAILURE_MEMORY: Duration = Duration::from_millis(250);

/// Why a token was not accepted. The client sees a constant text with one of three codes.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// There is none.
    #[error("no bearer token was sent")]
    Missing,
    /// It was good once.
    #[error("the token has expired")]
    Expired,
    /// It is not one of ours.
    #[error("the token is not valid: {0}")]
    Invalid(&'static str),
    /// Nobody can tell: the keys could not be fetched.
    #[error("no signing keys are known")]
    KeysUnavailable,
}

impl From<TokenError> for ApiError {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::Missing => Self::unauthenticated("token_missing"),
            TokenError::Expired => Self::unauthenticated("token_expired"),
            TokenError::Invalid(_) => Self::unauthenticated("token_invalid").with_cause(error),
            TokenError::KeysUnavailable => {
                Self::unavailable("keys_unavailable", Duration::from_secs(1)).with_cause(error)
            }
        }
    }
}

/// Verifies EdDSA tokens with keys from a [`KeySource`].
///
/// The algorithm is pinned: `none`, HMAC and every other one are refused whatever the token's
/// header says (RFC 8725, section 3.1). `jku`, `jwk` and `x5u` in the header are ignored; `kid` only
/// looks up one of the known keys.
#[derive(Clone)]
pub struct TokenVerifier(Arc<Inner>);

struct Inner {
    source: Box<dyn KeySource>,
    clock: Clock,
    keys: RwLock<Keys>,
    /// Held while fetching; when the last fetch failed, if it did.
    fetching: tokio::sync::Mutex<Option<Timestamp>>,
}

#[derive(Default)]
struct Keys {
    by_kid: HashMap<String, Arc<DecodingKey>>,
    fetched_at: Option<Timestamp>,
}

impl TokenVerifier {
    /// Verifies with the keys of `source`, fetched when first needed.
    #[must_use]
    pub fn new(source: impl KeySource + 'static, clock: Clock) -> Self {
        install_jwt_crypto();
        Self(Arc::new(Inner {
            source: Box::new(source),
            clock,
            keys: RwLock::default(),
            fetching: tokio::sync::Mutex::default(),
        }))
    }

    /// The caller whom `token` proves.
    ///
    /// # Errors
    /// When the token is not one of ours, not valid now, or no keys are known.
    pub async fn verify(&self, token: &str) -> Result<Principal, TokenError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(TokenError::Invalid("oversized"));
        }
        let header =
            decode_header(token).map_err(|_malformed| TokenError::Invalid("malformed header"))?;
        if header.alg != Algorithm::EdDSA {
            return Err(TokenError::Invalid("algorithm"));
        }
        let kid = header.kid.ok_or(TokenError::Invalid("no key id"))?;
        let key = self.key(&kid).await?;
        self.decode(token, &key).map(Principal::from)
    }

    fn decode(&self, token: &str, key: &DecodingKey) -> Result<Claims, TokenError> {
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[AUDIENCE, DELEGATED_AUDIENCE]);
        validation.set_required_spec_claims(&["exp", "nbf", "iss", "aud", "sub"]);
        // Time is checked below, against the service's clock.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        let data = decode::<Claims>(token, key, &validation)
            .map_err(|_reason| TokenError::Invalid("signature or claims"))?;
        if data.claims.aud != data.claims.typ.audience() {
            return Err(TokenError::Invalid("audience of another kind of token"));
        }
        let now = self.0.clock.now().as_unix_seconds();
        let leeway = i64::try_from(LEEWAY_SECONDS).unwrap_or(0);
        if data.claims.exp.saturating_add(leeway) <= now {
            return Err(TokenError::Expired);
        }
        if data.claims.nbf.saturating_sub(leeway) > now {
            return Err(TokenError::Invalid("not valid yet"));
        }
        Ok(data.claims)
    }

    async fn key(&self, kid: &str) -> Result<Arc<DecodingKey>, TokenError> {
        if let Some(key) = self.known(kid) {
            return Ok(key);
        }
        // One fetch at a time; whoever waited looks again before fetching.
        let mut failed_at = self.0.fetching.lock().await;
        if let Some(key) = self.known(kid) {
            return Ok(key);
        }
        if self.fetched_lately() {
            return Err(TokenError::Invalid("unknown key id"));
        }
        let now = self.0.clock.now();
        if failed_at.is_some_and(|failed| now.since(failed) < FAILURE_MEMORY) {
            return Err(TokenError::KeysUnavailable);
        }
        match self.0.source.fetch().await {
            Ok(set) => {
                *failed_at = None;
                self.replace(&set);
            }
            Err(error) => {
                *failed_at = Some(self.0.clock.now());
                tracing::warn!(error = %crate::error::ErrorChain(&error), "signing keys could not be fetched");
                return Err(TokenError::KeysUnavailable);
            }
        }
        self.known(kid).ok_or(TokenError::Invalid("unknown key id"))
    }

    fn known(&self, kid: &str) -> Option<Arc<DecodingKey>> {
        let keys = self
            .0
            .keys
            .read()
            .expect("no code panics while holding the keys");
        keys.by_kid.get(kid).map(Arc::clone)
    }

    fn fetched_lately(&self) -> bool {
        let keys = self
            .0
            .keys
            .read()
            .expect("no code panics while holding the keys");
        let now = self.0.clock.now();
        keys.fetched_at
            .is_some_and(|fetched| now.since(fetched) < MIN_REFETCH_INTERVAL)
    }

    fn replace(&self, set: &JwkSet) {
        let usable = set
            .keys
            .iter()
            .filter(|key| key.kty == "OKP" && key.crv == "Ed25519");
        let by_kid = usable
            .filter_map(|key| Some((key.kid.clone(), Arc::new(ed25519_key(&key.x)?))))
            .collect();
        let fetched_at = Some(self.0.clock.now());
        *self
            .0
            .keys
            .write()
            .expect("no code panics while holding the keys") = Keys { by_kid, fetched_at };
    }
}

fn ed25519_key(x: &str) -> Option<DecodingKey> {
    DecodingKey::from_ed_components(x).ok()
}
