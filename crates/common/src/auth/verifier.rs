//! Verifies tokens offline, with cached keys.

use std::collections::HashMap;
use std::sync::{Arc, RwLock, Weak};
use std::time::Duration;

use actix_web::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use serde::Deserialize;

use super::crypto::install_jwt_crypto;
use super::keys::{JwkSet, KeySource};
use super::principal::{Claims, Principal};
use super::revocations::Revocations;
use super::verified::{Verified, VerifiedTokens};
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
    /// It was good, but its session was ended or its account changed.
    #[error("the token was revoked")]
    Revoked,
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
            TokenError::Revoked => Self::new(
                StatusCode::UNAUTHORIZED,
                "session_ended",
                "The session has ended or the account has changed; refresh the token or sign in again.",
            ),
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
/// header says (RFC 8725, section 3.1). The header must be the one that user-service writes, with
/// nothing else in it: `jku`, `jwk`, `x5u` and `crit` are refused, and `kid` only looks up one of the
/// known keys. A signature that was right is remembered.
#[derive(Clone)]
pub struct TokenVerifier(Arc<Inner>);

struct Inner {
    source: Box<dyn KeySource>,
    clock: Clock,
    keys: RwLock<Keys>,
    verified: VerifiedTokens,
    revocations: Revocations,
    /// Held while fetching; when the last fetch failed, if it did.
    fetching: tokio::sync::Mutex<Option<Timestamp>>,
}

/// The whole header of a token (RFC 7515, section 4). Another or a repeated member makes it another
/// kind of token than ours.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenHeader {
    alg: String,
    typ: String,
    kid: String,
}

impl TokenHeader {
    fn read(token: &str) -> Option<Self> {
        let (header, _rest) = token.split_once('.')?;
        let text = URL_SAFE_NO_PAD.decode(header).ok()?;
        // A list would be read as the members in their order.
        let is_object = text.first() == Some(&b'{');
        is_object
            .then(|| serde_json::from_slice(&text).ok())
            .flatten()
    }
}

/// A public key, and the text that it was published as.
struct KnownKey {
    x: String,
    key: Arc<DecodingKey>,
}

#[derive(Default)]
struct Keys {
    by_kid: HashMap<String, KnownKey>,
    fetched_at: Option<Timestamp>,
}

/// A verifier that may be gone.
#[derive(Clone)]
pub struct WeakTokenVerifier(Weak<Inner>);

impl WeakTokenVerifier {
    /// The verifier, while somebody uses it.
    #[must_use]
    pub fn upgrade(&self) -> Option<TokenVerifier> {
        self.0.upgrade().map(TokenVerifier)
    }
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
            verified: VerifiedTokens::default(),
            revocations: Revocations::default(),
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
        let cached = self.0.verified.find(token);
        let cached = cached.filter(|cached| self.is_current(cached));
        let is_new = cached.is_none();
        let verified = match cached {
            Some(verified) => verified,
            None => Arc::new(self.verify_signature(token).await?),
        };
        verified.check_time(self.0.clock.now())?;
        let principal = verified.principal.clone();
        if is_new {
            self.0.verified.insert(token, verified);
        }
        if self.0.revocations.cover(&principal) {
            return Err(TokenError::Revoked);
        }
        Ok(principal)
    }

    /// The sessions and accounts whose tokens are refused. Clones of the verifier share them.
    #[must_use]
    pub fn revocations(&self) -> &Revocations {
        &self.0.revocations
    }

    /// Puts these keys in the place of those known, as a rotation or a withdrawal does.
    pub fn use_keys(&self, set: &JwkSet) {
        self.replace(set, None);
    }

    /// One that does not keep the verifier alive, for whoever feeds it in the background.
    #[must_use]
    pub fn downgrade(&self) -> WeakTokenVerifier {
        WeakTokenVerifier(Arc::downgrade(&self.0))
    }

    /// Whether the key under which a signature was right is still one that signs.
    fn is_current(&self, verified: &Verified) -> bool {
        let known = self.known(&verified.kid);
        known.is_some_and(|known| Arc::ptr_eq(&known, &verified.key))
    }

    async fn verify_signature(&self, token: &str) -> Result<Verified, TokenError> {
        let header = TokenHeader::read(token).ok_or(TokenError::Invalid("header"))?;
        // Checked by `decode` too; here no key is fetched for a token that is refused in any case.
        if header.alg != "EdDSA" || !header.typ.eq_ignore_ascii_case("JWT") {
            return Err(TokenError::Invalid("algorithm or type"));
        }
        let key = self.key(&header.kid).await?;
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[AUDIENCE, DELEGATED_AUDIENCE]);
        validation.set_required_spec_claims(&["exp", "nbf", "iss", "aud", "sub"]);
        // Time is checked against the service's clock, for every request.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        let data = decode::<Claims>(token, &key, &validation)
            .map_err(|_reason| TokenError::Invalid("signature or claims"))?;
        if data.claims.aud != data.claims.typ.audience() {
            return Err(TokenError::Invalid("audience of another kind of token"));
        }
        Ok(Verified::new(data.claims, header.kid, key))
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
                self.replace(&set, Some(self.0.clock.now()));
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
        keys.by_kid.get(kid).map(|known| Arc::clone(&known.key))
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

    fn replace(&self, set: &JwkSet, fetched_at: Option<Timestamp>) {
        let usable = set
            .keys
            .iter()
            .filter(|key| key.kty == "OKP" && key.crv == "Ed25519");
        let mut keys = self
            .0
            .keys
            .write()
            .expect("no code panics while holding the keys");
        // A key that stays is the same one, so that tokens verified with it stay known.
        let by_kid = usable
            .filter_map(|jwk| {
                let old = keys.by_kid.remove(&jwk.kid);
                let known = match old.filter(|old| old.x == jwk.x) {
                    Some(same) => same,
                    None => KnownKey {
                        x: jwk.x.clone(),
                        key: Arc::new(ed25519_key(&jwk.x)?),
                    },
                };
                Some((jwk.kid.clone(), known))
            })
            .collect();
        keys.by_kid = by_kid;
        keys.fetched_at = fetched_at.or(keys.fetched_at);
    }
}

fn ed25519_key(x: &str) -> Option<DecodingKey> {
    DecodingKey::from_ed_components(x).ok()
}
