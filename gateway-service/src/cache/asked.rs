//! What of a request decides which kept answers are for it.

use std::fmt::Write as _;
use std::sync::Arc;

use actix_web::HttpRequest;
use actix_web::http::Method;
use actix_web::http::header::{self, HeaderMap, HeaderName};

use super::control::Directives;
use crate::edge::auth::{API_KEY_HEADER, Caller};
use crate::edge::peers::Forwarded;
use crate::edge::screen::Screened;
use crate::proxy::reaches_services;

/// Headers that make an answer a part, or no answer of this resource at all: they pass by the cache.
const BEYOND: [&str; 7] = [
    "if-match",
    "if-range",
    "if-unmodified-since",
    "range",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
];

/// Under which answers are kept: scheme, host and target, as the service is told them (RFC 9111,
/// section 2). The query counts byte for byte.
pub(crate) fn key_of(forwarded: &Forwarded, path: &str, query: Option<&str>) -> Arc<str> {
    let proto = forwarded.proto.to_str().unwrap_or_default();
    let host = forwarded.host.as_ref();
    let host = host.and_then(|host| host.to_str().ok()).unwrap_or_default();
    let mut key = String::with_capacity(proto.len() + host.len() + path.len() + 16);
    let _always = write!(key, "{proto}://{}{path}", host.to_ascii_lowercase());
    if let Some(query) = query {
        key.push('?');
        key.push_str(query);
    }
    key.into()
}

/// Where an answer came from. The same URI may lead elsewhere after a change of the routes, for
/// another method or header, or for another share of the requests.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Source {
    pub(crate) route: Arc<str>,
    pub(crate) service: String,
    pub(crate) path: String,
}

/// Why a request passes by the cache: the parameter of `Cache-Status` (RFC 9211, section 2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bypass {
    Method,
    Request,
}

/// A request that a kept answer may be given to.
pub(crate) struct Asked<'r> {
    pub(crate) key: Arc<str>,
    pub(crate) source: Source,
    pub(crate) directives: Directives,
    /// Whether it says who asks: it gets, and leaves, only what is for everybody.
    pub(crate) is_personal: bool,
    pub(crate) is_head: bool,
    headers: &'r HeaderMap,
    /// Headers that `Connection` names; the service does not see them.
    hidden: &'r [String],
}

impl<'r> Asked<'r> {
    /// # Errors
    /// With the reason why it passes by the cache.
    pub(crate) fn of(
        request: &'r HttpRequest,
        screened: &'r Screened<'_>,
        forwarded: &Forwarded,
        source: Source,
        caller: &Caller,
    ) -> Result<Self, Bypass> {
        let headers = request.headers();
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return Err(Bypass::Method);
        }
        let directives = Directives::of(headers);
        if directives.no_store || BEYOND.iter().any(|name| headers.contains_key(*name)) {
            return Err(Bypass::Request);
        }
        let credentials = [header::AUTHORIZATION.as_str(), "cookie", API_KEY_HEADER];
        let is_unknown = matches!(caller, Caller::Unknown);
        let path = screened.path.as_str();
        Ok(Self {
            key: key_of(forwarded, path, request.uri().query()),
            source,
            directives,
            is_personal: !is_unknown || credentials.iter().any(|name| headers.contains_key(*name)),
            is_head: request.method() == Method::HEAD,
            headers,
            hidden: &screened.connection_options,
        })
    }

    /// All lines of a header as the service sees them.
    pub(crate) fn value(&self, name: &HeaderName) -> Vec<u8> {
        if self.hidden.iter().any(|hidden| hidden == name.as_str()) {
            return Vec::new();
        }
        let lines: Vec<&[u8]> = self
            .headers
            .get_all(name)
            .map(|value| value.as_bytes().trim_ascii())
            .collect();
        // Cookies that come one by one are one list (RFC 9113, section 8.2.3).
        let separator = if *name == header::COOKIE { "; " } else { "," };
        lines.join(separator.as_bytes())
    }

    /// Whether the client wants an answer only if it differs from the one that it has.
    pub(crate) fn is_conditional(&self) -> bool {
        self.headers.contains_key(header::IF_NONE_MATCH)
            || self.headers.contains_key(header::IF_MODIFIED_SINCE)
    }

    /// What answers differ by, with what this request says there; `None` when one of it is written
    /// by the gateway: what the client says there is not what the service saw.
    pub(crate) fn variant(&self, names: Vec<HeaderName>) -> Option<Vec<(HeaderName, Vec<u8>)>> {
        let variant = names.into_iter().map(|name| {
            let value = self.value(&name);
            reaches_services(name.as_str()).then_some((name, value))
        });
        variant.collect()
    }

    /// The client's own conditions on an answer.
    pub(crate) const fn headers(&self) -> &'r HeaderMap {
        self.headers
    }
}
