//! What every use case works with.

use common::clock::Clock;
use messaging::Outbox;
use secrecy::SecretString;
use store::Db;

use crate::client_address::Network;
use crate::domain::session::SessionLimits;
use crate::hashing::Hasher;
use crate::keys::{Keyring, Mint, RefreshTokens};
use crate::revocations::RevocationList;
use crate::throttle::Throttle;

/// The parts of the running service.
pub(crate) struct AppState {
    pub(crate) db: Db,
    pub(crate) clock: Clock,
    pub(crate) outbox: Outbox,
    pub(crate) hasher: Hasher,
    pub(crate) keyring: Keyring,
    pub(crate) revocations: RevocationList,
    pub(crate) mint: Mint,
    pub(crate) refresh_tokens: RefreshTokens,
    pub(crate) session_limits: SessionLimits,
    pub(crate) throttle: Throttle,
    pub(crate) trusted_proxies: Vec<Network>,
    /// Every service's secret is derived from it.
    pub(crate) service_root: SecretString,
}
