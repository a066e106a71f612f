//! A route that can be used.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use common::auth::{Permission, Principal, Role};
use http::HeaderValue;

use crate::access::Access;
use crate::cache::CachePolicy;
use crate::cors::CorsPolicy;
use crate::failure::{BreakerTerms, Fallback, Retries};
use crate::headers::HeaderEdits;
use crate::matching::Matcher;
use crate::mirror::Mirror;
use crate::path::CanonicalPath;
use crate::rewrite::{Rewrite, RewriteError};

/// A service that the file names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// How it is called.
    pub name: Arc<str>,
    /// Where it is; `None` for Maru's own services and those that register themselves.
    pub url: Option<String>,
}

/// Where a share of a route's requests goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backend {
    /// Index into [`crate::Table::services`].
    pub service: usize,
    /// Its share of the sum of all weights.
    pub weight: u32,
}

/// Whether a caller must be known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AuthMode {
    /// The services alone look at the caller.
    #[default]
    None,
    /// A caller who comes with a token must come with a good one.
    Optional,
    /// Nobody passes without a good token.
    Required,
}

/// Who may pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Auth {
    /// Whether a caller must be known.
    pub mode: AuthMode,
    /// Whether a consumer's key is as good as a token.
    pub api_keys: bool,
    /// What the caller must be allowed to do.
    pub permission: Option<Permission>,
    /// One of these the caller must be; anybody when there are none.
    pub roles: Vec<Role>,
}

impl Auth {
    /// Whether a known caller may pass.
    #[must_use]
    pub fn admits(&self, caller: &Principal) -> bool {
        let permitted = self
            .permission
            .is_none_or(|permission| caller.allows(permission));
        let has_role = || caller.roles.iter().any(|role| self.roles.contains(role));
        permitted && (self.roles.is_empty() || has_role())
    }

    /// Whether a consumer who is no account may pass: it has no roles.
    #[must_use]
    pub fn admits_consumers(&self) -> bool {
        self.permission.is_none() && self.roles.is_empty()
    }
}

/// Whose rules hold for pages of other origins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum CorsChoice {
    /// Those of the settings.
    #[default]
    Default,
    /// No page of another origin may read answers.
    Off,
    /// These.
    Policy(Arc<CorsPolicy>),
}

/// What the service sees as `Host`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum HostHeader {
    /// Its own address.
    #[default]
    Service,
    /// What the client asked for.
    Client,
    /// This.
    Fixed(HeaderValue),
}

/// A route.
#[derive(Debug)]
pub struct Route {
    /// Labels metrics and logs.
    pub name: Arc<str>,
    /// Where its requests go; never empty.
    pub backends: Vec<Backend>,
    /// What the service sees as `Host`.
    pub host_header: HostHeader,
    /// Whether an escaped slash passes.
    pub encoded_slashes: bool,
    /// Changes of the request.
    pub request_headers: HeaderEdits,
    /// Changes of the answer.
    pub response_headers: HeaderEdits,
    /// Longest wait for the head of an answer.
    pub header_timeout: Option<Duration>,
    /// Longest silence inside a body or a WebSocket.
    pub idle_timeout: Option<Duration>,
    /// Largest request body, in bytes.
    pub max_body_bytes: Option<u64>,
    /// Longest request target, in bytes.
    pub max_target_bytes: Option<usize>,
    /// Longest sum of header names and values, in bytes.
    pub max_header_bytes: Option<usize>,
    /// Who may pass.
    pub auth: Auth,
    /// From where.
    pub access: Access,
    /// How often; indices into [`crate::Table::rate_limits`].
    pub rate_limits: Vec<usize>,
    /// Whose cross-origin rules hold.
    pub cors: CorsChoice,
    /// How often a request is tried; as the service has it when it is not said.
    pub retries: Option<Retries>,
    /// The route's own breaker in place of the service's.
    pub breaker: Option<BreakerTerms>,
    /// What is answered in place of a service that cannot be asked, instead of what the service has.
    pub fallback: Option<Fallback>,
    /// Which requests are copied, and where to.
    pub mirror: Option<Mirror>,
    /// How answers are kept; they are not when it is not said.
    pub cache: Option<CachePolicy>,
    /// Whether answers are compressed.
    pub compress: bool,
    /// Whether WebSockets pass.
    pub websocket: bool,
    pub(crate) matcher: Matcher,
    pub(crate) rewrite: Rewrite,
    pub(crate) turns: AtomicU32,
}

impl Route {
    /// The service of the next request: every backend gets its share, spread evenly over time.
    #[must_use]
    pub fn next_backend(&self) -> usize {
        let [first, rest @ ..] = self.backends.as_slice() else {
            return 0;
        };
        if rest.is_empty() {
            return first.service;
        }
        let total: u64 = self
            .backends
            .iter()
            .map(|each| u64::from(each.weight))
            .sum();
        let mut point = (u64::from(self.turn()) * total) >> 32;
        for backend in &self.backends {
            match point.checked_sub(u64::from(backend.weight)) {
                Some(beyond) => point = beyond,
                None => return backend.service,
            }
        }
        first.service
    }

    /// Multiples of the golden ratio fall evenly into any division of their range (Weyl).
    fn turn(&self) -> u32 {
        self.turns.fetch_add(0x9E37_79B9, Ordering::Relaxed)
    }

    /// The path that the service sees.
    ///
    /// # Errors
    /// When the path would lead where no route leads.
    pub fn rewritten<'p>(
        &self,
        path: &'p CanonicalPath<'_>,
    ) -> Result<std::borrow::Cow<'p, str>, RewriteError> {
        self.rewrite.apply(&self.matcher.path, path.as_str())
    }

    /// The prefix that the service does not see, for `X-Forwarded-Prefix`.
    #[must_use]
    pub fn stripped_prefix(&self) -> Option<&str> {
        self.rewrite.stripped(&self.matcher.path)
    }
}
