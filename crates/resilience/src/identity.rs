//! How a service proves itself to its neighbours, and how it knows who calls.

use std::sync::Arc;
use std::time::Duration;

use common::auth::{RevocationFeed, ServiceTokens, TokenSource, TokenVerifier, UserServiceKeys};
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
    /// user-service of the settings, when they are first needed. Until the identity is gone, a task of
    /// the present runtime learns from there what was revoked.
    #[must_use]
    pub fn of(name: &'static str, settings: &CommonSettings, clock: &Clock) -> Self {
        let client = plain_http(CONNECT_TIMEOUT);
        let base_url = &settings.neighbours.user_url;
        let keys = UserServiceKeys::new(base_url, client.clone());
        let verifier = TokenVerifier::new(keys, clock.clone());
        let secret = settings.auth.secret_of(name);
        let tokens = ServiceTokens::new(base_url, client.clone(), name, secret, clock.clone());
        let tokens: Arc<dyn TokenSource> = Arc::new(tokens);
        let feed = RevocationFeed::new(base_url, client, Arc::clone(&tokens), clock.clone());
        tokio::spawn(feed.run(verifier.downgrade()));
        Self { verifier, tokens }
    }
}
