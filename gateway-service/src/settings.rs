//! The settings that only this service has; `config/default.toml` documents each key.

use std::path::PathBuf;
use std::time::Duration;

use routing::file::CorsIn;
use serde::Deserialize;

/// This service's own settings.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnSettings {
    /// The ports.
    pub listen: ListenSettings,
    /// How it stops.
    pub stop: StopSettings,
    /// Where the routes are.
    pub routing: RoutingSettings,
    /// Connections to the services.
    pub upstream: UpstreamSettings,
    /// What a client may send.
    pub limits: LimitSettings,
    /// Answers that are kept.
    pub cache: CacheSettings,
    /// Copies of requests.
    pub mirror: MirrorSettings,
    /// The HTTPS listener.
    pub tls: TlsSettings,
    /// HTTP/2 without TLS.
    pub h2c: H2cSettings,
    /// Proxies in front of this one.
    pub proxies: ProxySettings,
    /// Pages of other origins.
    pub cors: CorsSettings,
    /// The health checks.
    pub status: StatusSettings,
    /// The joined OpenAPI document.
    pub docs: DocsSettings,
    /// What may be registered.
    pub registry: RegistrySettings,
    /// How the services are treated.
    pub resilience: ResilienceSettings,
}

/// The ports.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListenSettings {
    /// Whether another process that has this set too may listen on them at the same time.
    pub reuse_port: bool,
}

/// How it stops.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StopSettings {
    /// How long everybody is still served when `/ready` says 503 already, in milliseconds.
    pub pause_ms: u64,
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
    /// What the body of a request must bring for each second of waiting beyond that, in bytes; 0 asks
    /// for nothing.
    pub body_min_bytes_per_second: u64,
    /// Longest time that a client takes nothing of what is sent to it, in milliseconds.
    pub take_timeout_ms: u64,
    /// An unused connection of a client is kept this long, in seconds.
    pub keep_alive_seconds: u64,
    /// Connections of clients that one worker holds.
    pub max_connections: usize,
    /// Those of one client among them; 0 sets no bound.
    pub max_connections_per_client: usize,
    /// Requests under way on one connection of HTTP/2; a further one is refused.
    pub max_streams_per_connection: usize,
}

/// Answers that are kept for routes with a cache.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CacheSettings {
    /// What all of them together may take, in bytes.
    pub max_bytes: u64,
}

/// Copies of requests, for routes that ask for them.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MirrorSettings {
    /// Copies that are under way at a time; a request beyond them is not copied.
    pub max_in_flight: usize,
}

/// The HTTPS listener.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsSettings {
    /// PEM file with the certificate and its chain; empty means no listener.
    pub certificate_file: PathBuf,
    /// PEM file with the certificate's key.
    pub key_file: PathBuf,
    /// TCP port; 0 lets the system choose.
    pub port: u16,
    /// PEM file with the authorities of clients' certificates; empty asks for none.
    pub client_ca_file: PathBuf,
    /// `1.2` or `1.3`.
    pub min_version: String,
}

/// HTTP/2 without TLS.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct H2cSettings {
    /// Whether clients may speak it, beginning with it.
    pub enabled: bool,
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

impl CorsSettings {
    /// In the form of the routing file. Credentials are not given: tokens travel in a header.
    pub(crate) fn input(&self) -> CorsIn {
        CorsIn {
            name: "default".to_owned(),
            allowed_origins: self.allowed_origins.clone(),
            allowed_methods: self.allowed_methods.clone(),
            allowed_headers: self.allowed_headers.clone(),
            exposed_headers: self.exposed_headers.clone(),
            allow_credentials: false,
            max_age_seconds: self.max_age_seconds,
        }
    }
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

/// What may be registered.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegistrySettings {
    /// Networks in CIDR notation in which registered instances may be.
    pub allowed_networks: Vec<String>,
    /// Ports, and ranges of ports, on which they may listen.
    pub allowed_ports: Vec<String>,
    /// Longest wait for the head of an answer of a service reached below `/proxy`, in milliseconds.
    pub header_timeout_ms: u64,
}

/// How the services are treated; a file of policies may say otherwise for single ones.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResilienceSettings {
    /// The file of policies; empty means the compiled-in one.
    pub policies_file: PathBuf,
    /// `p2c`, `round_robin`, `least_request` or `consistent_hash`.
    pub balance: String,
    /// After this time a sample of the answer time counts for about a third, in milliseconds.
    pub ewma_decay_ms: u64,
    /// The answer time assumed of an instance that has not answered yet, in milliseconds.
    pub ewma_initial_ms: u64,
    /// The answer time that a failure counts as, in milliseconds.
    pub failure_penalty_ms: u64,
    /// Failures in a row after which an instance is left alone.
    pub consecutive_failures: u32,
    /// The first time that an instance is left alone, in milliseconds.
    pub base_ejection_ms: u64,
    /// The longest time, in milliseconds.
    pub max_ejection_ms: u64,
    /// The largest share of a service's instances that is left alone at a time, in percent.
    pub max_ejected_percent: u32,
    /// How long a new instance gets less than its share, in milliseconds; 0 turns it off.
    pub slow_start_ms: u64,
    /// All instances are tried when fewer than this share works, in percent; 0 turns it off.
    pub panic_percent: u32,
    /// Tries of one request, the first included.
    pub max_attempts: u32,
    /// Retries per hundred requests.
    pub retry_percent: u32,
    /// Retries per second that are free even without requests.
    pub retry_min_per_second: u32,
    /// How far back requests count for the breaker, in milliseconds.
    pub breaker_window_ms: u64,
    /// Fewer requests than this in the window never open it.
    pub breaker_min_calls: u32,
    /// It opens at this share of failures, in percent.
    pub breaker_failure_percent: u32,
    /// How long it stays open before probing, in milliseconds.
    pub breaker_open_ms: u64,
    /// Probes that must all succeed to close it.
    pub breaker_probes: u32,
    /// Requests under way at one service at a time.
    pub max_concurrent: usize,
    /// Requests that wait for one of these places.
    pub max_waiting: usize,
    /// Longest wait for a place, in milliseconds.
    pub max_wait_ms: u64,
    /// Requests under way in the whole gateway; more are refused at once.
    pub max_in_flight: usize,
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
                limits.take_timeout_ms > 0,
                "limits.take_timeout_ms must not be zero",
            ),
            (
                limits.max_streams_per_connection > 0,
                "limits.max_streams_per_connection must not be zero",
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
            (self.cache.max_bytes > 0, "cache.max_bytes must not be zero"),
            (self.docs.timeout_ms > 0, "docs.timeout_ms must not be zero"),
            (
                self.registry.header_timeout_ms > 0,
                "registry.header_timeout_ms must not be zero",
            ),
            (
                self.resilience.max_in_flight > 0,
                "resilience.max_in_flight must not be zero",
            ),
        ];
        let broken = rules.into_iter().filter(|(holds, _)| !holds);
        broken.map(|(_, fault)| fault).collect()
    }
}

/// A duration from a setting in milliseconds.
pub(crate) const fn millis(value: u64) -> Duration {
    Duration::from_millis(value)
}
