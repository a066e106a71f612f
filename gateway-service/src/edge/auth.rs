//! Who asks. The services look again: this is a second lock on the same door, and the only one in
//! front of services that know nothing of Maru's tokens.

use std::sync::Arc;

use actix_web::HttpRequest;
use common::auth::{Principal, TokenError, TokenType, TokenVerifier, bearer_of};
use common::error::ApiError;
use ring::digest::{SHA256, digest};
use routing::{Auth, AuthMode};

use crate::routing::Snapshot;

/// The header of a consumer's key.
pub(crate) const API_KEY_HEADER: &str = "x-api-key";

/// Longest key that is looked at, in bytes.
const MAX_KEY_BYTES: usize = 512;

/// Who asks, as far as the route cares.
#[derive(Clone, Debug, Default)]
pub(crate) enum Caller {
    /// Nobody looked, or nobody was there.
    #[default]
    Unknown,
    /// An account.
    Account(Box<Principal>),
    /// Somebody with a key of the routing file.
    Consumer(Arc<str>),
}

/// Verifies tokens and keys.
pub(crate) struct Gatekeeper {
    /// It remembers good tokens.
    verifier: TokenVerifier,
}

impl Gatekeeper {
    pub(crate) const fn new(verifier: TokenVerifier) -> Self {
        Self { verifier }
    }

    /// Lets a request in, or not.
    ///
    /// # Errors
    /// 401 without proof of who asks where the route needs one, and for a bad one in any case; 403
    /// for somebody who may not; 503 when nobody can tell.
    pub(crate) async fn admit(
        &self,
        auth: &Auth,
        request: &HttpRequest,
        snapshot: &Snapshot,
    ) -> Result<Caller, ApiError> {
        if auth.mode == AuthMode::None {
            return Ok(Caller::Unknown);
        }
        if auth.api_keys
            && let Some(consumer) = consumer_of(request, snapshot)?
        {
            return match auth.admits_consumers() {
                true => Ok(Caller::Consumer(consumer)),
                false => Err(ApiError::forbidden()),
            };
        }
        let token = match bearer_of(request) {
            Err(TokenError::Missing) if auth.mode == AuthMode::Optional => {
                return Ok(Caller::Unknown);
            }
            token => token?,
        };
        let caller = Box::new(self.verifier.verify(&token).await?);
        match caller.token_type != TokenType::Service && auth.admits(&caller) {
            true => Ok(Caller::Account(caller)),
            false => Err(ApiError::forbidden()),
        }
    }
}

/// Whose key stands in the request; an unknown one is refused, not overlooked.
fn consumer_of(request: &HttpRequest, snapshot: &Snapshot) -> Result<Option<Arc<str>>, ApiError> {
    let mut keys = request.headers().get_all(API_KEY_HEADER);
    let Some(key) = keys.next() else {
        return Ok(None);
    };
    let key = key.as_bytes();
    if keys.next().is_some() || key.len() > MAX_KEY_BYTES {
        return Err(ApiError::unauthenticated("api_key_invalid"));
    }
    // The digest is looked up, so that the time it takes says nothing about other keys.
    match snapshot.consumer(&sha256(key)) {
        Some(consumer) => Ok(Some(Arc::clone(consumer))),
        None => Err(ApiError::unauthenticated("api_key_invalid")),
    }
}

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut output = [0; 32];
    output.copy_from_slice(digest(&SHA256, bytes).as_ref());
    output
}
