//! How a service proves itself to its neighbours, and how it knows who calls.

use std::sync::Arc;
use std::time::Duration;

use common::auth::{ServiceTokens, TokenSource, TokenVerifier, UserServiceKeys};
use common::clock::Clock;
use common::settings::CommonSettings;

use crate::http_client::plain_http;

/// Longest wait for a connection to user-service.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Both directions of trust, with user-service as the anchor.
#[derive(Clone)]
pub struct Identity {
    /// Verifies the tokens of callers.
    pub verifier: TokenVerifier,
    /// This service's own tokens.
    pub tokens: Arc<dyn TokenSource>,
}

impl Identity {
    /// The identity of the service `name` (such as `order`): keys and tokens come from the
    /// user-service of the settings, when they are first needed.
    #[must_use]
    pub fn of(name: &'static str, settings: &CommonSettings, clock: &Clock) -> Self {
        let client = plain_http(CONNECT_TIMEOUT);
        let base_url = &settings.neighbours.user_url;
        let keys = UserServiceKeys::new(base_url, client.clone());
        let secret = settings.auth.secret_of(name);
        Self {
            verifier: TokenVerifier::new(keys, clock.clone()),
            tokens: Arc::new(ServiceTokens::new(
                base_url,
                client,
                name,
                secret,
                clock.clone(),
            )),
        }
    }
}
