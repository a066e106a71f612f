//! The form of the routing file, as it is written; `config/gateway.toml` explains each key.

use std::collections::BTreeMap;

use common::auth::{Permission, Role};
use serde::{Deserialize, Serialize};

/// The whole file.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct FileIn {
    /// Services that are not Maru's own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<ServiceIn>,
    /// Limits that routes name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rate_limits: Vec<RateLimitIn>,
    /// Cross-origin policies that routes name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cors: Vec<CorsIn>,
    /// Who may come with a key of their own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub consumers: Vec<ConsumerIn>,
    /// The routes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<RouteIn>,
}

/// A service that is not one of Maru's own.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceIn {
    /// How routes call it.
    pub name: String,
    /// `http://host[:port]`; without it the service registers itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// By what requests are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RateKeyIn {
    /// The client's address.
    Address,
    /// The account that the token proves.
    Subject,
    /// The key in `X-Api-Key`.
    ApiKey,
    /// The route.
    Route,
}

/// A limit that routes name.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RateLimitIn {
    /// How routes call it.
    pub name: String,
    /// What is counted together.
    pub by: RateKeyIn,
    /// Requests in a window.
    pub requests: u32,
    /// The window, in seconds.
    pub window_seconds: u64,
    /// Requests that may come at once; as many as `requests` when it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burst: Option<u32>,
}

/// What pages of other origins may do.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct CorsIn {
    /// How routes call it.
    pub name: String,
    /// Origins whose pages may read answers; `*` is every origin.
    pub allowed_origins: Vec<String>,
    /// Methods that such a page may use.
    pub allowed_methods: Vec<String>,
    /// Request headers that such a page may set.
    pub allowed_headers: Vec<String>,
    /// Response headers that such a page may read.
    pub exposed_headers: Vec<String>,
    /// Whether such a page may send cookies.
    pub allow_credentials: bool,
    /// How long a browser may remember a preflight answer, in seconds.
    pub max_age_seconds: u64,
}

/// Somebody with keys.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ConsumerIn {
    /// How the services are told who it is.
    pub name: String,
    /// SHA-256 of each key, in lower-case hexadecimal: the file holds no secret.
    pub key_sha256: Vec<String>,
}

/// A condition on a header or a query parameter.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct FieldIn {
    /// Its name.
    pub name: String,
    /// It has this value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub equals: Option<String>,
    /// Its whole value matches this expression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub regex: Option<String>,
}

/// Where a route sends a share of its requests.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct BackendIn {
    /// A service.
    pub service: String,
    /// Its share of the sum of all weights.
    pub weight: u32,
}

/// Headers that a route changes.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct HeaderEditsIn {
    /// Put in the place of what stands there.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub set: BTreeMap<String, String>,
    /// Put beside what stands there.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub add: BTreeMap<String, String>,
    /// Taken away.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<String>,
}

/// How often a request is tried.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct RetriesIn {
    /// Tries of one request, the first included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u32>,
    /// Answers after which another instance is asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub statuses: Option<Vec<u16>>,
    /// No try begins later than this after the first, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub within_ms: Option<u64>,
}

/// When requests of a route stop being sent.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct BreakerIn {
    /// How far back requests count, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window_ms: Option<u64>,
    /// Fewer requests than this in the window never open it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_calls: Option<u32>,
    /// It opens at this share of failures, in percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure_percent: Option<u32>,
    /// How long it stays open before probing, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open_ms: Option<u64>,
    /// Probes that must all succeed to close it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probes: Option<u32>,
}

/// What is answered in place of a service that cannot be asked: one of three.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct FallbackIn {
    /// The status of a fixed answer; 200 when it is not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Its media type; `application/json` when it is not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// Its body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// The last good answer to the same GET, not older than this, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cached_seconds: Option<u64>,
    /// What this other service answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
}

/// Which requests are copied to another service.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct MirrorIn {
    /// The service.
    pub service: String,
    /// So many of a hundred requests; all when it is not said.
    #[serde(default = "all")]
    pub percent: u32,
}

const fn all() -> u32 {
    100
}

/// How answers are kept for others who ask the same.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct CacheIn {
    /// How long an answer is fresh that does not say it, in seconds.
    pub default_seconds: u64,
    /// How long after that it stands in for one that cannot be had, in seconds.
    pub stale_if_error_seconds: u64,
    /// Largest body that is kept, in bytes.
    pub max_body_bytes: u64,
    /// Request headers by which answers differ, beside those that their `Vary` names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub vary: Vec<String>,
}

impl Default for CacheIn {
    fn default() -> Self {
        Self {
            default_seconds: 0,
            stale_if_error_seconds: 0,
            max_body_bytes: 1_048_576,
            vary: Vec::new(),
        }
    }
}

/// Whether a caller must be known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AuthIn {
    /// The services alone look at the caller.
    #[default]
    None,
    /// A caller who comes with a token must come with a good one.
    Optional,
    /// Nobody passes without a good token.
    Required,
}

/// One route.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct RouteIn {
    /// Labels metrics and logs; the path when it is not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Hosts; all when there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
    /// This path and what lies below it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// This path alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exact: Option<String>,
    /// Segments, of which `{name}` stands for any one and a last `{*name}` for all that follow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// An expression that the whole path matches.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub regex: Option<String>,
    /// Methods; all when there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<String>,
    /// Conditions that all hold.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<FieldIn>,
    /// Conditions that all hold.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub query: Vec<FieldIn>,
    /// The service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// Several services that share the requests, instead of `service`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub backends: Vec<BackendIn>,
    /// The service does not see the route's prefix.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub strip_path: bool,
    /// What the service sees in place of the prefix, or of the whole path of other routes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rewrite: Option<String>,
    /// `service` (its own address), `client` (what the client asked for), or a host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_header: Option<String>,
    /// An escaped slash passes as it is instead of being refused.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub encoded_slashes: bool,
    /// Changes of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_headers: Option<HeaderEditsIn>,
    /// Changes of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_headers: Option<HeaderEditsIn>,
    /// Longest wait for the head of an answer, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header_timeout_ms: Option<u64>,
    /// Longest silence inside a body or a WebSocket, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_timeout_ms: Option<u64>,
    /// Largest request body, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_body_bytes: Option<u64>,
    /// Longest request target, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_target_bytes: Option<usize>,
    /// Longest sum of header names and values, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_header_bytes: Option<usize>,
    /// Whether a caller must be known.
    #[serde(skip_serializing_if = "is_default")]
    pub auth: AuthIn,
    /// A key of a consumer is as good as a token.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub api_keys: bool,
    /// What the caller must be allowed to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub permission: Option<Permission>,
    /// One of these the caller must be.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<Role>,
    /// Networks that are let in; all when there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<String>,
    /// Networks that are kept out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub deny: Vec<String>,
    /// Names of limits that all hold.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rate_limits: Vec<String>,
    /// Name of a cross-origin policy, or `off`; the settings' own when it is not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cors: Option<String>,
    /// How often a request is tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retries: Option<RetriesIn>,
    /// A breaker of the route's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub breaker: Option<BreakerIn>,
    /// What is answered in place of a service that cannot be asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fallback: Option<FallbackIn>,
    /// Requests are copied to another service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mirror: Option<MirrorIn>,
    /// Answers are kept for others who ask the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache: Option<CacheIn>,
    /// Answers are compressed when the client can read that.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub compress: bool,
    /// WebSockets are passed through.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub websocket: bool,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
