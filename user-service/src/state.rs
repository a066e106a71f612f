//! What every use case works with.

use std::sync::Arc;
use std::time::Duration;

use common::auth::TokenVerifier;
use common::clock::Clock;
use common::settings::Profile;
use hashing::Hasher;
use messaging::Outbox;
use secrecy::SecretString;
use store::{Batcher, Db};
use tokio::sync::Notify;

use crate::app::log_in::Admissions;
use crate::app::rotate_keys::RotationPlan;
use crate::client_address::Network;
use crate::domain::session::SessionLimits;
use crate::keys::{FactorKeys, Keyring, Mint, RefreshTokens};
use crate::oidc::provider::Provider;
use crate::passkeys::Passkeys;
use crate::revocations::RevocationList;
use crate::settings::{LinksSettings, MfaPolicy};
use crate::throttle::Throttle;
use crate::tickets::Tickets;

/// The parts of the running service.
pub(crate) struct AppState {
    pub(crate) db: Db,
    pub(crate) clock: Clock,
    pub(crate) outbox: Outbox,
    /// What a development installation shows and a production one never does.
    pub(crate) profile: Profile,
    pub(crate) links: LinksSettings,
    pub(crate) mfa: MfaPolicy,
    pub(crate) factors: FactorKeys,
    /// How long a session opened with a PIN lasts.
    pub(crate) pin_session_life: Duration,
    /// Somebody forgot a password.
    pub(crate) reset_requests: Arc<Notify>,
    pub(crate) hasher: Hasher,
    /// Opens the sessions of logins that are done hashing at the same time.
    pub(crate) admissions: Batcher<Admissions>,
    pub(crate) keyring: Keyring,
    pub(crate) revocations: RevocationList,
    pub(crate) mint: Mint,
    pub(crate) refresh_tokens: RefreshTokens,
    pub(crate) session_limits: SessionLimits,
    pub(crate) throttle: Throttle,
    pub(crate) oidc: Provider,
    pub(crate) tickets: Tickets,
    pub(crate) passkeys: Passkeys,
    pub(crate) trusted_proxies: Vec<Network>,
    pub(crate) verifier: TokenVerifier,
    pub(crate) rotation: RotationPlan,
    /// Every service's secret is derived from one of them: the present one, and the one before while
    /// it is being replaced.
    pub(crate) service_roots: Vec<SecretString>,
}
