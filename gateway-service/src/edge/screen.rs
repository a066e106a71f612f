//! Refuses what two parsers could read differently, and what this gateway does not do, before
//! anything is forwarded.

use actix_web::HttpRequest;
use actix_web::http::header::{self, HeaderMap, HeaderName};
use actix_web::http::{Method, StatusCode, Version};
use common::error::ApiError;

use super::host::requested_host;
use super::path::CanonicalPath;

/// A request that has passed.
#[derive(Debug)]
pub(crate) struct Screened {
    /// The path that is routed and forwarded.
    pub(crate) path: CanonicalPath,
    /// The host that the client asked for.
    pub(crate) host: Option<String>,
    /// Headers that `Connection` names: they end here.
    pub(crate) connection_options: Vec<String>,
}

/// Checks a request that is about to be routed.
pub(crate) fn screen(request: &HttpRequest, via: &str) -> Result<Screened, ApiError> {
    refuse_upgrade(request)?;
    refuse_expectation(request)?;
    let headers = request.headers();
    if headers.get_all(header::AUTHORIZATION).count() > 1 {
        let detail = "There must be at most one Authorization.";
        return Err(ApiError::malformed("duplicate_authorization", detail));
    }
    refuse_loop(headers, via)?;
    let host = requested_host(request)?;
    let path = CanonicalPath::parse(request.uri().path())
        .map_err(|fault| ApiError::malformed("invalid_path", format!("The path {fault}.")))?;
    Ok(Screened {
        path,
        host,
        connection_options: connection_options(headers)?,
    })
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

/// The server's parser reads everything after `Upgrade: websocket` as one endless body, so the
/// connection must end here whatever the request asks for.
fn refuse_upgrade(request: &HttpRequest) -> Result<(), ApiError> {
    let mut protocols = request.headers().get_all(header::UPGRADE);
    if !protocols.any(|value| {
        value
            .as_bytes()
            .trim_ascii()
            .eq_ignore_ascii_case(b"websocket")
    }) {
        return Ok(());
    }
    let headers = request.headers();
    let framed = [header::CONTENT_LENGTH, header::TRANSFER_ENCODING];
    let asked = tokens(headers).any(|token| token.eq_ignore_ascii_case("upgrade"));
    if !asked
        || request.method() != Method::GET
        || framed.iter().any(|name| headers.contains_key(name))
    {
        let detail = "An upgrade is a GET without a body whose Connection names it.";
        return Err(ApiError::malformed("invalid_upgrade", detail));
    }
    let detail = "WebSockets are not offered here.";
    Err(ApiError::new(
        StatusCode::NOT_IMPLEMENTED,
        "upgrade_not_offered",
        detail,
    ))
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
        let Ok(name) = HeaderName::from_bytes(token.as_bytes()) else {
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
            (with("expect", "100-Continue"), Ok(vec![])),
            (with("expect", "200-ok"), Err("unknown_expectation")),
            (with("upgrade", "websocket"), Err("invalid_upgrade")),
            (with("upgrade", "h2c"), Ok(vec![])),
            (
                with("upgrade", "WebSocket").append_header(("connection", "upgrade")),
                Err("upgrade_not_offered"),
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
