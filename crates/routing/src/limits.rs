//! How often somebody may ask.

use std::sync::Arc;
use std::time::Duration;

use crate::file::RateKeyIn;

/// By what requests are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RateKey {
    /// The client's address; of IPv6 the network of 64 bits, which one client has as a whole.
    Address,
    /// The account that the token proves; without one the address.
    Subject,
    /// The key in `X-Api-Key`, once the route has verified it; without one the address.
    ApiKey,
    /// All requests of the route together.
    Route,
}

impl From<RateKeyIn> for RateKey {
    fn from(key: RateKeyIn) -> Self {
        match key {
            RateKeyIn::Address => Self::Address,
            RateKeyIn::Subject => Self::Subject,
            RateKeyIn::ApiKey => Self::ApiKey,
            RateKeyIn::Route => Self::Route,
        }
    }
}

/// A limit that routes can name. Routes that name the same one share its counts, except by
/// [`RateKey::Route`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// Its name; shown in `RateLimit-Policy`.
    pub name: Arc<str>,
    /// What is counted together.
    pub by: RateKey,
    /// Requests in a window.
    pub requests: u32,
    /// The window.
    pub window: Duration,
    /// Requests that may come at once.
    pub burst: u32,
}
