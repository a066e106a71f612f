//! The settings that only this service has; `config/default.toml` documents each key.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

/// This service's own settings.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnSettings {
    /// Where the routes are.
    pub routing: RoutingSettings,
    /// Connections to the services.
    pub upstream: UpstreamSettings,
    /// What a client may send.
    pub limits: LimitSettings,
    /// Proxies in front of this one.
    pub proxies: ProxySettings,
    /// Pages of other origins.
    pub cors: CorsSettings,
    /// The health checks.
    pub status: StatusSettings,
    /// The joined OpenAPI document.
    pub docs: DocsSettings,
}

/// Where the routes are.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoutingSettings {
    /// The file; empty means the compiled-in one.
    pub file: PathBuf,
}

/// Connections to the services.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpstreamSettings {
    /// Longest wait for a connection, in milliseconds.
    pub connect_timeout_ms: u64,
    /// Longest wait for the head of an answer, in milliseconds.
    pub header_timeout_ms: u64,
    /// Longest silence inside the body of an answer, in milliseconds.
    pub body_idle_timeout_ms: u64,
    /// An unused connection is kept this long, in milliseconds.
    pub idle_connection_ms: u64,
    /// Unused connections kept for one service by one worker.
    pub max_idle_connections: usize,
    /// A connection is not used again after this age, in seconds.
    pub max_connection_age_seconds: u64,
}

/// What a client may send.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitSettings {
    /// Largest request body, in bytes.
    pub max_body_bytes: u64,
    /// Longest request target, in bytes.
    pub max_target_bytes: usize,
    /// Longest wait for the head of a request, in milliseconds.
    pub head_timeout_ms: u64,
    /// Longest silence inside the body of a request, in milliseconds.
    pub body_idle_timeout_ms: u64,
    /// An unused connection of a client is kept this long, in seconds.
    pub keep_alive_seconds: u64,
    /// Connections of clients that one worker holds.
    pub max_connections: usize,
}

/// Proxies in front of this one.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProxySettings {
    /// Networks in CIDR notation whose forwarding headers are believed.
    pub trusted: Vec<String>,
}

/// Pages of other origins.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CorsSettings {
    /// Origins whose pages may read answers.
    pub allowed_origins: Vec<String>,
    /// Methods that such a page may use.
    pub allowed_methods: Vec<String>,
    /// Request headers that such a page may set.
    pub allowed_headers: Vec<String>,
    /// Response headers that such a page may read.
    pub exposed_headers: Vec<String>,
    /// How long a browser may remember a preflight answer, in seconds.
    pub max_age_seconds: u64,
}

/// The health checks.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatusSettings {
    /// Time between two checks of a service, in milliseconds.
    pub interval_ms: u64,
    /// Longest wait for a health answer, in milliseconds.
    pub timeout_ms: u64,
    /// Good answers in a row that make an unhealthy service healthy.
    pub rise: u32,
    /// Bad answers in a row that make a healthy service unhealthy.
    pub fall: u32,
    /// Largest health answer that is read, in bytes.
    pub max_body_bytes: usize,
}

/// The joined OpenAPI document.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DocsSettings {
    /// Longest wait for a service's document, in milliseconds.
    pub timeout_ms: u64,
    /// Largest document that is read, in bytes.
    pub max_body_bytes: usize,
}

impl OwnSettings {
    /// What is unacceptable, in words.
    pub(crate) fn faults(&self) -> Vec<&'static str> {
        let (upstream, limits, status) = (&self.upstream, &self.limits, &self.status);
        let rules = [
            (
                upstream.connect_timeout_ms > 0 && upstream.header_timeout_ms > 0,
                "upstream.connect_timeout_ms and upstream.header_timeout_ms must not be zero",
            ),
            (
                upstream.body_idle_timeout_ms > 0 && limits.body_idle_timeout_ms > 0,
                "body_idle_timeout_ms must not be zero",
            ),
            (
                limits.max_target_bytes > 0 && limits.max_connections > 0,
                "limits.max_target_bytes and limits.max_connections must not be zero",
            ),
            (
                0 < status.timeout_ms && status.timeout_ms < status.interval_ms,
                "status.timeout_ms must be from 1 to less than status.interval_ms",
            ),
            (
                status.rise > 0 && status.fall > 0,
                "status.rise and status.fall must be at least 1",
            ),
            (self.docs.timeout_ms > 0, "docs.timeout_ms must not be zero"),
        ];
        let broken = rules.into_iter().filter(|(holds, _)| !holds);
        broken.map(|(_, fault)| fault).collect()
    }
}

/// A duration from a setting in milliseconds.
pub(crate) const fn millis(value: u64) -> Duration {
    Duration::from_millis(value)
}
