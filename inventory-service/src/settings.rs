//! The settings that only this service has; `config/default.toml` documents each key.

use std::time::Duration;

use serde::Deserialize;

/// This service's own settings.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnSettings {
    /// Stock set aside for orders.
    pub reservations: Reservations,
}

/// Stock set aside for orders.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reservations {
    /// Longest time that stock stays set aside, in seconds.
    pub max_ttl_seconds: u32,
    /// Time between two looks for reservations that ran out, in milliseconds.
    pub sweep_interval_ms: u64,
}

impl Reservations {
    /// Longest time that stock stays set aside.
    pub(crate) fn max_ttl(&self) -> Duration {
        Duration::from_secs(self.max_ttl_seconds.into())
    }

    /// Time between two looks for reservations that ran out.
    pub(crate) const fn sweep_interval(&self) -> Duration {
        Duration::from_millis(self.sweep_interval_ms)
    }
}
