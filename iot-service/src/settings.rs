//! The settings that only this service has; `config/default.toml` documents each key.

use secrecy::SecretString;
use serde::Deserialize;

/// This service's own settings.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnSettings {
    /// Where readings come from.
    pub mqtt: Mqtt,
    /// How readings are stored.
    pub ingest: Ingest,
}

/// Where readings come from.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mqtt {
    /// An outside broker; empty runs one inside this service.
    pub url: SecretString,
    /// Address that the inner broker listens on.
    pub host: String,
    /// TCP port that the inner broker listens on; 0 lets the system choose.
    pub port: u16,
    /// Most devices connected to the inner broker at a time.
    pub max_clients: usize,
    /// Name of this service's session at an outside broker.
    pub client_id: String,
}

/// How readings are stored.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ingest {
    /// Messages stored in one transaction at most.
    pub batch_size: usize,
    /// Messages waiting to be stored at most.
    pub queue_length: usize,
}
