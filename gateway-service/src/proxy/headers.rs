//! Which headers pass, in which direction, and what the gateway adds.

use std::cell::Cell;

use actix_web::HttpRequest;
use actix_web::http::header::HeaderMap as ActixHeaders;
use common::context::{REQUEST_ID_HEADER, RequestContext, TRACEPARENT_HEADER};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use http::{Method, Request, Uri};
use resilience::deadline::DEADLINE_HEADER;
use routing::{HeaderEdits, HostHeader, Route};

use super::upload::{RequestBody, Upload};
use super::upstreams::Trial;
use super::via::Via;
use crate::edge::auth::{API_KEY_HEADER, Caller};
use crate::edge::peers::{FORWARDED_FOR, FORWARDED_HOST, FORWARDED_PROTO, Forwarded};
use crate::edge::screen::Screened;

/// Tells a service that this is a repetition, and which one.
const ATTEMPT_HEADER: &str = "x-request-attempt";

const CONSUMER: HeaderName = HeaderName::from_static("x-maru-consumer");
const FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");
const ROLES: HeaderName = HeaderName::from_static("x-maru-roles");
const SUBJECT: HeaderName = HeaderName::from_static("x-maru-subject");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Headers that are added to every request, about.
const USUALLY_ADDED: usize = 8;

/// A request as the service will see it; made again when it must be sent again.
pub(crate) struct Outbound<'r> {
    method: Method,
    target: PathAndQuery,
    inbound: &'r HttpRequest,
    screened: &'r Screened<'r>,
    origin: Origin<'r>,
    /// What the route says instead of the instance's own address.
    host: Option<HeaderValue>,
    /// What is added to few requests: who asks, what was stripped, and how the body is framed.
    added: Vec<(HeaderName, HeaderValue)>,
    /// What the cache asks by, in the place of the client's own conditions.
    validators: Vec<(HeaderName, HeaderValue)>,
    /// Whether something of it was given to a connection that works.
    left: Cell<bool>,
}

/// A request whose parts cannot be written in another request.
#[derive(Debug, thiserror::Error)]
#[error("the request cannot be passed on")]
pub(crate) struct NotForwardable;

impl<'r> Outbound<'r> {
    pub(crate) fn try_new(
        inbound: &'r HttpRequest,
        screened: &'r Screened<'r>,
        path: &str,
        origin: Origin<'r>,
        upload: Option<&Upload>,
    ) -> Result<Self, NotForwardable> {
        let method = Method::from_bytes(inbound.method().as_str().as_bytes());
        let target = match inbound.uri().query() {
            // The query passes byte for byte.
            Some(query) => PathAndQuery::try_from(format!("{path}?{query}")),
            None => PathAndQuery::try_from(path),
        };
        Ok(Self {
            method: method.map_err(|_invalid| NotForwardable)?,
            target: target.map_err(|_invalid| NotForwardable)?,
            inbound,
            screened,
            origin,
            host: match origin.route.map(|route| &route.host_header) {
                None | Some(HostHeader::Service) => None,
                Some(HostHeader::Client) => origin.forwarded.host.clone(),
                Some(HostHeader::Fixed(host)) => Some(host.clone()),
            },
            added: added(inbound, origin, upload).ok_or(NotForwardable)?,
            validators: Vec::new(),
            left: Cell::new(false),
        })
    }

    /// Asks whether what is kept still holds, instead of what the client asks.
    pub(crate) fn validating(mut self, validators: Vec<(HeaderName, HeaderValue)>) -> Self {
        self.validators = validators;
        self
    }

    /// The request with this body, as it is sent in this attempt.
    pub(super) fn request(&self, body: RequestBody, trial: &Trial<'_>) -> Request<RequestBody> {
        let mut request = Request::new(body);
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = Uri::from(self.target.clone());
        let headers = request.headers_mut();
        headers.reserve(self.inbound.headers().len() + self.added.len() + USUALLY_ADDED);
        // A key that the gateway has looked at is not the service's business.
        let route = self.origin.route;
        let hides_key = route.is_some_and(|route| route.auth.api_keys);
        let mut cookies = 0_usize;
        for (name, value) in self.inbound.headers() {
            if hides_key && name.as_str() == API_KEY_HEADER {
                continue;
            }
            if !passes(name.as_str(), &self.screened.connection_options) {
                continue;
            }
            if !self.validators.is_empty() && is_condition(name.as_str()) {
                continue;
            }
            let name = HeaderName::from_bytes(name.as_str().as_bytes());
            let value = HeaderValue::from_bytes(value.as_bytes());
            if let (Ok(name), Ok(value)) = (name, value) {
                cookies += usize::from(name == header::COOKIE);
                headers.append(name, value);
            }
        }
        if cookies > 1 {
            join_cookies(headers);
        }
        if let Some(left) = self.screened.max_forwards {
            let left = HeaderValue::from(left.saturating_sub(1));
            headers.insert(header::MAX_FORWARDS, left);
        }
        if let Some(route) = route {
            edit(&route.request_headers, headers);
        }
        self.introduce(headers);
        for (name, value) in &self.added {
            headers.append(name, value.clone());
        }
        for (name, value) in &self.validators {
            headers.insert(name, value.clone());
        }
        let host = self.host.as_ref();
        let host = host.unwrap_or_else(|| trial.instance.address().host_header());
        headers.insert(header::HOST, host.clone());
        if let Some(left) = trial
            .deadline
            .and_then(|deadline| text(&deadline.to_header()))
        {
            headers.insert(DEADLINE_HEADER, left);
        }
        if trial.number > 1 {
            headers.insert(ATTEMPT_HEADER, HeaderValue::from(trial.number));
        }
        request
    }

    /// Says where the request comes from, and how it is followed.
    fn introduce(&self, headers: &mut HeaderMap) {
        let Origin {
            forwarded, context, ..
        } = self.origin;
        headers.append(
            const { HeaderName::from_static(FORWARDED_FOR) },
            forwarded.hops.clone(),
        );
        headers.append(
            const { HeaderName::from_static(FORWARDED_PROTO) },
            forwarded.proto.clone(),
        );
        if let Some(host) = &forwarded.host {
            headers.append(
                const { HeaderName::from_static(FORWARDED_HOST) },
                host.clone(),
            );
        }
        // The context has checked both.
        if let Some(request_id) = text(&context.request_id) {
            headers.append(
                const { HeaderName::from_static(REQUEST_ID_HEADER) },
                request_id,
            );
        }
        if let Some(traceparent) = text(&context.traceparent) {
            headers.append(
                const { HeaderName::from_static(TRACEPARENT_HEADER) },
                traceparent,
            );
        }
        let via = self.origin.via.to_service(self.inbound.version());
        headers.append(header::VIA, via.clone());
    }

    /// Whether it may be sent again although it may have arrived: it is idempotent, or its
    /// `Idempotency-Key` makes it so.
    pub(crate) fn is_repeatable(&self) -> bool {
        self.is_idempotent() || self.inbound.headers().contains_key("idempotency-key")
    }

    /// What was asked for.
    pub(crate) const fn screened(&self) -> &'r Screened<'r> {
        self.screened
    }

    /// What the service is told about the client.
    pub(crate) const fn forwarded(&self) -> &'r Forwarded {
        self.origin.forwarded
    }

    /// It is on its way to a service from now on, or was not after all; returns what was so before.
    pub(super) fn set_left(&self, left: bool) -> bool {
        self.left.replace(left)
    }

    /// Whether another service may do it instead: it is idempotent, or the first one cannot have
    /// seen it. An `Idempotency-Key` does not help, for it is known to the service that got it.
    pub(crate) fn may_go_elsewhere(&self) -> bool {
        self.is_idempotent() || !self.left.get()
    }

    /// Whether sending it twice means the same as once (RFC 9110, section 9.2.2).
    pub(crate) fn is_idempotent(&self) -> bool {
        self.method.is_idempotent()
    }
}

/// Where a request came from and how it is followed.
#[derive(Clone, Copy)]
pub(crate) struct Origin<'o> {
    pub(crate) forwarded: &'o Forwarded,
    pub(crate) context: &'o RequestContext,
    pub(crate) via: &'o Via,
    /// The route it took, if it took one.
    pub(crate) route: Option<&'o Route>,
    /// Who asks, as far as the gateway looked.
    pub(crate) caller: &'o Caller,
    /// Whether it asks for another protocol.
    pub(crate) upgrades: bool,
}

/// Over HTTP/2 cookies may come one by one; before HTTP/1.1 they are one list again (RFC 9113, section
/// 8.2.3), for many services read the first line alone.
fn join_cookies(headers: &mut HeaderMap) {
    let lines: Vec<&[u8]> = headers
        .get_all(header::COOKIE)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    // Parts of what is valid, and what joins them is.
    if let Ok(joined) = HeaderValue::from_bytes(&lines.join(&b"; "[..])) {
        headers.insert(header::COOKIE, joined);
    }
}

fn edit(edits: &HeaderEdits, headers: &mut HeaderMap) {
    for name in &edits.remove {
        headers.remove(name);
    }
    for (name, value) in &edits.set {
        headers.insert(name, value.clone());
    }
    for (name, value) in &edits.add {
        headers.append(name, value.clone());
    }
}

/// Who asks, for services that know nothing of Maru's tokens. A client's own headers of these names
/// have been removed.
fn identify(caller: &Caller, added: &mut Vec<(HeaderName, HeaderValue)>) -> Option<()> {
    match caller {
        Caller::Unknown => {}
        Caller::Account(account) => {
            added.push((SUBJECT, text(&account.subject)?));
            let roles: Vec<&str> = account.roles.iter().map(|role| role.as_str()).collect();
            added.push((ROLES, text(&roles.join(","))?));
        }
        Caller::Consumer(name) => {
            added.push((CONSUMER, text(name)?));
        }
    }
    Some(())
}

fn added(
    inbound: &HttpRequest,
    origin: Origin<'_>,
    upload: Option<&Upload>,
) -> Option<Vec<(HeaderName, HeaderValue)>> {
    let mut added = Vec::new();
    if let Some(prefix) = origin.route.and_then(Route::stripped_prefix) {
        added.push((FORWARDED_PREFIX, text(prefix)?));
    }
    identify(origin.caller, &mut added)?;
    // tracestate belongs to the traceparent it came with.
    let parent = inbound.headers().get(TRACEPARENT_HEADER);
    if parent.is_some_and(|parent| parent == origin.context.traceparent.as_str()) {
        for state in inbound.headers().get_all(TRACESTATE.as_str()) {
            let state = HeaderValue::from_bytes(state.as_bytes()).ok()?;
            added.push((TRACESTATE, state));
        }
    }
    if origin.upgrades {
        let upgrade = HeaderValue::from_static("upgrade");
        added.push((header::CONNECTION, upgrade));
        added.push((header::UPGRADE, HeaderValue::from_static("websocket")));
    }
    added.extend(framing(inbound.headers(), upload));
    Some(added)
}

/// Framing is written anew: it never passes as text.
fn framing(inbound: &ActixHeaders, upload: Option<&Upload>) -> Option<(HeaderName, HeaderValue)> {
    match upload.map(Upload::length) {
        Some(Some(length)) => Some((header::CONTENT_LENGTH, HeaderValue::from(length))),
        Some(None) => {
            let chunked = HeaderValue::from_static("chunked");
            Some((header::TRANSFER_ENCODING, chunked))
        }
        None if inbound.contains_key(header::CONTENT_LENGTH.as_str()) => {
            Some((header::CONTENT_LENGTH, HeaderValue::from(0_u16)))
        }
        None => None,
    }
}

fn text(value: &str) -> Option<HeaderValue> {
    HeaderValue::from_str(value).ok()
}

/// Whether a request's header passes to the service.
fn passes(name: &str, connection_options: &[String]) -> bool {
    if connection_options.iter().any(|option| option == name) {
        return false;
    }
    // Services that read headers as variables cannot tell `X_User_Id` from `X-User-Id`.
    if name.contains(['_', '.']) {
        let alias = name.replace(['_', '.'], "-");
        return !(ends_here(&alias)
            || is_identity(&alias)
            || is_owned(&alias)
            || is_sensitive(&alias));
    }
    !(ends_here(name) || is_identity(name) || is_owned(name))
}

/// Whether a service sees what a client says in this header.
pub(crate) fn reaches_services(name: &str) -> bool {
    passes(name, &[])
}

/// The conditions that a cache may put in its own place (RFC 9111, section 4.3.2).
fn is_condition(name: &str) -> bool {
    matches!(name, "if-none-match" | "if-modified-since")
}

/// Whether a header of an answer passes to the client.
pub(super) fn passes_back(name: &str, connection_options: &[String]) -> bool {
    !(ends_here(name)
        || name == "content-length"
        || name == REQUEST_ID_HEADER
        || name.starts_with("access-control-")
        || connection_options.iter().any(|option| option == name))
}

/// The headers that an answer's `Connection` names.
pub(super) fn connection_options(headers: &HeaderMap) -> Vec<String> {
    let values = headers.get_all(header::CONNECTION).iter();
    let values = values.filter_map(|value| value.to_str().ok());
    let tokens = values.flat_map(|value| value.split(','));
    tokens
        .map(|token| token.trim().to_ascii_lowercase())
        .collect()
}

/// Hop-by-hop headers (RFC 9110, section 7.6.1), and Expect, which the server has met already.
fn ends_here(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
            | "http2-settings"
            | "expect"
    )
}

/// Headers that the gateway alone writes.
fn is_owned(name: &str) -> bool {
    matches!(
        name,
        "host"
            | "content-length"
            | "forwarded"
            | "tracestate"
            | TRACEPARENT_HEADER
            | REQUEST_ID_HEADER
            | DEADLINE_HEADER
            | ATTEMPT_HEADER
    ) || name.starts_with("x-forwarded-")
}

/// Headers by which some service could be told who the client is, or what it asked for.
fn is_identity(name: &str) -> bool {
    const NAMES: [&str; 13] = [
        "x-real-ip",
        "x-client-ip",
        "client-ip",
        "true-client-ip",
        "cf-connecting-ip",
        "x-cluster-client-ip",
        "x-original-url",
        "x-original-uri",
        "x-original-host",
        "x-rewrite-url",
        "x-user",
        "x-groups",
        "x-roles",
    ];
    const PREFIXES: [&str; 7] = [
        "x-user-",
        "x-auth-",
        "x-authenticated-",
        "x-consumer-",
        "x-remote-",
        "x-maru-",
        "remote-",
    ];
    NAMES.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Headers that a service relies on, which an alias must not imitate.
fn is_sensitive(name: &str) -> bool {
    matches!(
        name,
        "authorization"
            | "cookie"
            | "idempotency-key"
            | "content-type"
            | "content-encoding"
            | "via"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_here_does_not_pass() {
        let options = ["x-priv".to_owned()];
        for name in [
            "authorization",
            "cookie",
            "accept",
            "content-type",
            "idempotency-key",
            "x_custom",
            "via",
            "x-userland",
        ] {
            assert!(passes(name, &options), "{name}");
        }
        for name in [
            "x-priv",
            "te",
            "trailer",
            "proxy-connection",
            "http2-settings",
            "host",
            "content-length",
            "transfer-encoding",
            "x-forwarded-for",
            "x-forwarded-anything",
            "forwarded",
            "x-request-id",
            "traceparent",
            "x-user-token",
            "x-user-id",
            "x_user_id",
            "x.user.id",
            "remote-user",
            "x_forwarded_for",
            "transfer_encoding",
            "content_length",
            "idempotency_key",
            "x-original-url",
            "expect",
        ] {
            assert!(!passes(name, &options), "{name}");
        }
    }

    #[test]
    fn an_answer_says_nothing_about_origins_and_framing() {
        for name in [
            "access-control-allow-origin",
            "content-length",
            "transfer-encoding",
            "x-request-id",
            "keep-alive",
            "x-priv",
        ] {
            assert!(!passes_back(name, &["x-priv".to_owned()]), "{name}");
        }
        for name in [
            "content-type",
            "set-cookie",
            "vary",
            "etag",
            "www-authenticate",
            "via",
        ] {
            assert!(passes_back(name, &[]), "{name}");
        }
    }
}
