//! The settings that only this service has; `config/default.toml` documents each key.

use std::num::{NonZeroU32, NonZeroU64};
use std::time::Duration;

use serde::Deserialize;

use crate::domain::policy::Policy;

/// This service's own settings.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnSettings {
    /// How the payment provider is dealt with.
    pub provider: ProviderSettings,
    /// Commands and requests.
    pub calls: CallSettings,
    /// Operations whose outcome is not known.
    pub resolver: ResolverSettings,
    /// The sandbox provider.
    pub sandbox: SandboxSettings,
}

/// How the payment provider is dealt with.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProviderSettings {
    /// Longest wait for one answer, in milliseconds.
    pub timeout_ms: NonZeroU64,
    /// Time in which an unanswered request may still take effect, in milliseconds.
    pub late_effect_ms: u64,
    /// Times that one authorization is sent to an unreachable provider before it is declined.
    pub max_sends: NonZeroU32,
}

/// Commands and requests.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallSettings {
    /// Longest time spent on one, in milliseconds.
    pub max_duration_ms: NonZeroU64,
}

/// Operations whose outcome is not known.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResolverSettings {
    /// Time between two looks for them, in milliseconds.
    pub poll_interval_ms: NonZeroU64,
    /// Longest time between two questions about one, in milliseconds.
    pub max_backoff_ms: NonZeroU64,
    /// How many are taken up at a time.
    pub batch_size: NonZeroU32,
    /// One that stays unknown for longer makes the service degraded, in seconds.
    pub alert_after_s: u64,
}

/// The sandbox provider.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SandboxSettings {
    /// How long it takes for `tok_slow`, in milliseconds.
    pub slow_ms: u64,
}

impl OwnSettings {
    /// The rules by which operations are sent, asked about and given up.
    pub(crate) fn policy(&self) -> Policy {
        Policy {
            provider_timeout: Duration::from_millis(self.provider.timeout_ms.get()),
            late_effect: Duration::from_millis(self.provider.late_effect_ms),
            max_sends: i64::from(self.provider.max_sends.get()),
            max_backoff: Duration::from_millis(self.resolver.max_backoff_ms.get()),
        }
    }
}
