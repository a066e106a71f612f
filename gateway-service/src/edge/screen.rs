//! Refuses what two parsers could read differently, and what this gateway does not do, before
//! anything is forwarded.

use actix_web::HttpRequest;
use actix_web::http::header::{self, HeaderMap, HeaderName};
use actix_web::http::{Method, StatusCode, Version};
use common::error::ApiError;
use routing::path::CanonicalPath;

use super::host::requested_host;

/// A request that has passed.
#[derive(Debug)]
pub(crate) struct Screened<'r> {
    /// The path that is routed and forwarded.
    pub(crate) path: CanonicalPath<'r>,
    /// The host that the client asked for.
    pub(crate) host: Option<&'r str>,
    /// Headers that `Connection` names: they end here.
    pub(crate) connection_options: Vec<String>,
    /// Whether it asks for a WebSocket, in the way it must.
    pub(crate) upgrades: bool,
    /// How often an OPTIONS may still be passed on, if it says so.
    pub(crate) max_forwards: Option<u64>,
}

/// Checks a request that is about to be routed.
pub(crate) fn screen<'r>(request: &'r HttpRequest, via: &str) -> Result<Screened<'r>, ApiError> {
    let upgrades = asks_for_websocket(request.headers());
    if upgrades {
        check_handshake(request)?;
    }
    refuse_expectation(request)?;
    let headers = request.headers();
    if headers.get_all(header::AUTHORIZATION).count() > 1 {
        let detail = "There must be at most one Authorization.";
        return Err(ApiError::malformed("duplicate_authorization", detail));
    }
    refuse_loop(headers, via)?;
    let host = requested_host(request)?;
    let path = CanonicalPath::parse(request.uri().path());
    let path = path.map_err(|fault| bad_path(fault.0))?;
    Ok(Screened {
        path,
        host,
        connection_options: connection_options(headers)?,
        upgrades,
        max_forwards: match *request.method() {
            Method::OPTIONS => max_forwards(headers)?,
            _ => None,
        },
    })
}

/// 400 for a path that leads nowhere or to two places.
pub(crate) fn bad_path(fault: &str) -> ApiError {
    ApiError::malformed("invalid_path", format!("The path {fault}."))
}

/// TRACE echoes credentials and CONNECT opens tunnels; neither is offered.
pub(crate) fn refused_method(method: &Method) -> bool {
    matches!(*method, Method::TRACE | Method::CONNECT)
}

/// 414 for a target longer than `max_bytes`.
pub(crate) fn check_target(request: &HttpRequest, max_bytes: usize) -> Result<(), ApiError> {
    let target = request.uri().path_and_query();
    if target.is_none_or(|target| target.as_str().len() <= max_bytes) {
        return Ok(());
    }
    let detail = format!("The target may have at most {max_bytes} bytes.");
    Err(ApiError::new(
        StatusCode::URI_TOO_LONG,
        "target_too_long",
        detail,
    ))
}

/// The protocol version of RFC 6455.
pub(crate) const WEBSOCKET_VERSION: &str = "13";

/// The code of an error that names the version that is spoken.
pub(crate) const WEBSOCKET_VERSION_CODE: &str = "websocket_version";

/// Whether `Upgrade` names a WebSocket. The server's parser then reads everything that follows as
/// one endless body, so the connection cannot go on in any other way.
pub(crate) fn asks_for_websocket(headers: &HeaderMap) -> bool {
    let mut protocols = headers.get_all(header::UPGRADE);
    protocols.any(|value| {
        let name = value.as_bytes().trim_ascii();
        name.eq_ignore_ascii_case(b"websocket")
    })
}

/// What a handshake must be (RFC 6455, section 4.2.1; RFC 9110, section 7.8).
fn check_handshake(request: &HttpRequest) -> Result<(), ApiError> {
    let headers = request.headers();
    let framed = [header::CONTENT_LENGTH, header::TRANSFER_ENCODING];
    let asked = tokens(headers).any(|token| token.eq_ignore_ascii_case("upgrade"));
    if !asked
        || request.method() != Method::GET
        || request.version() != Version::HTTP_11
        || headers.get_all(header::UPGRADE).count() != 1
        || framed.iter().any(|name| headers.contains_key(name))
    {
        let detail = "An upgrade is a GET of HTTP/1.1 without a body whose Connection names it.";
        return Err(ApiError::malformed("invalid_upgrade", detail));
    }
    if single(headers, "sec-websocket-version") != Some(WEBSOCKET_VERSION) {
        let status = StatusCode::UPGRADE_REQUIRED;
        let detail = "WebSockets of version 13 are spoken here.";
        return Err(ApiError::new(status, WEBSOCKET_VERSION_CODE, detail));
    }
    let key = single(headers, "sec-websocket-key");
    if !key.is_some_and(is_websocket_key) {
        let detail = "Sec-WebSocket-Key must be 16 bytes in base64.";
        return Err(ApiError::malformed("invalid_upgrade", detail));
    }
    Ok(())
}

fn single<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let mut values = headers.get_all(name);
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok().map(str::trim),
        _ => None,
    }
}

fn is_websocket_key(text: &str) -> bool {
    use base64::Engine as _;
    let decoded = base64::engine::general_purpose::STANDARD.decode(text);
    decoded.is_ok_and(|bytes| bytes.len() == 16)
}

/// Only `100-continue` is known (RFC 9110, section 10.1.1); HTTP/1.0 has no expectations.
fn refuse_expectation(request: &HttpRequest) -> Result<(), ApiError> {
    let mut values = request.headers().get_all(header::EXPECT);
    let known = |value: &[u8]| value.trim_ascii().eq_ignore_ascii_case(b"100-continue");
    if request.version() < Version::HTTP_11 || values.all(|value| known(value.as_bytes())) {
        return Ok(());
    }
    let detail = "Only the expectation 100-continue is met here.";
    Err(ApiError::new(
        StatusCode::EXPECTATION_FAILED,
        "unknown_expectation",
        detail,
    ))
}

fn refuse_loop(headers: &HeaderMap, via: &str) -> Result<(), ApiError> {
    let mut passed = headers.get_all(header::VIA);
    if !passed.any(|value| value.to_str().is_ok_and(|value| value.contains(via))) {
        return Ok(());
    }
    let detail = "The request has passed this gateway before.";
    Err(ApiError::new(
        StatusCode::LOOP_DETECTED,
        "loop_detected",
        detail,
    ))
}

/// How often a request may still be passed on (RFC 9110, section 7.6.2). What is too large for a number
/// here becomes the largest one.
fn max_forwards(headers: &HeaderMap) -> Result<Option<u64>, ApiError> {
    if !headers.contains_key(header::MAX_FORWARDS) {
        return Ok(None);
    }
    let text = single(headers, header::MAX_FORWARDS.as_str());
    let is_number = |text: &&str| !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit());
    let Some(digits) = text.filter(is_number) else {
        let detail = "Max-Forwards must be one number.";
        return Err(ApiError::malformed("invalid_max_forwards", detail));
    };
    Ok(Some(digits.parse().unwrap_or(u64::MAX)))
}

fn tokens(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let values = headers.get_all(header::CONNECTION);
    let values = values.map(|value| value.to_str().unwrap_or("?"));
    values
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|token| !token.is_empty())
}

/// The headers that `Connection` names, in lower case. A client must not be able to remove what
/// authorization, framing or tracing rely on (RFC 9110, section 7.6.1).
fn connection_options(headers: &HeaderMap) -> Result<Vec<String>, ApiError> {
    let mut options = Vec::new();
    for token in tokens(headers) {
        let name = HeaderName::from_bytes(token.as_bytes());
        let Some(name) = name.ok().filter(|_| is_token(token)) else {
            let detail = "Connection must list header names.";
            return Err(ApiError::malformed("invalid_connection", detail));
        };
        if is_protected(name.as_str()) {
            let detail = format!("Connection must not name {name}.");
            return Err(ApiError::malformed("protected_header", detail));
        }
        if !matches!(name.as_str(), "close" | "keep-alive") {
            options.push(name.as_str().to_owned());
        }
    }
    Ok(options)
}

/// RFC 9110, section 5.6.2; the type of a header's name lets quotation marks in.
fn is_token(text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    text.bytes().all(is_part)
}

fn is_protected(name: &str) -> bool {
    const PROTECTED: [&str; 12] = [
        "authorization",
        "cookie",
        "host",
        "content-length",
        "content-type",
        "content-encoding",
        "transfer-encoding",
        "idempotency-key",
        "origin",
        "traceparent",
        "x-request-id",
        "via",
    ];
    PROTECTED.contains(&name) || name.starts_with("x-forwarded-")
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn code(request: TestRequest) -> Result<Vec<String>, &'static str> {
        let request = request
            .insert_header((header::HOST, "gateway"))
            .to_http_request();
        let screened = screen(&request, "maru-1");
        let screened = screened.map_err(|error| error.code())?;
        Ok(screened.connection_options)
    }

    #[test]
    fn what_is_ambiguous_is_refused() {
        let get = || TestRequest::get().uri("/api/orders");
        let with = |name: &'static str, value: &'static str| get().append_header((name, value));
        for (request, expected) in [
            (
                with("connection", "close, X-Priv, te"),
                Ok(vec!["x-priv", "te"]),
            ),
            (with("connection", "authorization"), Err("protected_header")),
            (
                with("connection", "X-Forwarded-For"),
                Err("protected_header"),
            ),
            (with("connection", "a b"), Err("invalid_connection")),
            (with("connection", "\"x\""), Err("invalid_connection")),
            (with("expect", "100-Continue"), Ok(vec![])),
            (with("expect", "200-ok"), Err("unknown_expectation")),
            (with("upgrade", "websocket"), Err("invalid_upgrade")),
            (with("upgrade", "h2c"), Ok(vec![])),
            (
                with("upgrade", "WebSocket").append_header(("connection", "upgrade")),
                Err("websocket_version"),
            ),
            (
                with("upgrade", "WebSocket")
                    .append_header(("connection", "upgrade"))
                    .append_header(("sec-websocket-version", "13"))
                    .append_header(("sec-websocket-key", "too short")),
                Err("invalid_upgrade"),
            ),
            (
                with("upgrade", "WebSocket")
                    .append_header(("connection", "keep-alive, Upgrade"))
                    .append_header(("sec-websocket-version", "13"))
                    .append_header(("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")),
                Ok(vec!["upgrade"]),
            ),
            (with("via", "1.1 other, 1.1 maru-1"), Err("loop_detected")),
            (with("via", "1.1 other"), Ok(vec![])),
            (
                with("authorization", "a").append_header(("authorization", "b")),
                Err("duplicate_authorization"),
            ),
            (
                TestRequest::get().uri("/api/../internal"),
                Err("invalid_path"),
            ),
        ] {
            let expected =
                expected.map(|names: Vec<&str>| names.into_iter().map(ToOwned::to_owned).collect());
            assert_eq!(code(request), expected);
        }
    }
}
