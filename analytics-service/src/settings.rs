//! The settings that only this service has; `config/default.toml` documents each key.

use serde::Deserialize;

/// This service's own settings.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnSettings {
    /// What may be asked.
    pub reports: Reports,
}

/// What may be asked.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reports {
    /// Longest period of one report, in days.
    pub max_days: i32,
}
