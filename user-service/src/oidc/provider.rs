//! What the provider is told by the settings.

use std::time::Duration;

/// The provider's name, and what its pages need.
pub(crate) struct Provider {
    /// The issuer (RFC 8414, section 2): the public address of the gateway, without a slash at the
    /// end.
    pub(crate) issuer: String,
    /// Whether browsers reach it over TLS, so that cookies never travel without.
    pub(crate) is_secure: bool,
    /// How long a sign-in on its page lasts.
    pub(crate) browser_life: Duration,
}

impl Provider {
    /// The address of one of its endpoints.
    pub(crate) fn endpoint(&self, path: &str) -> String {
        format!("{}{path}", self.issuer)
    }
}
