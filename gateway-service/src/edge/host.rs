//! The host a request is for (RFC 9112, section 3.2; RFC 9110, section 7.2).

use std::net::Ipv6Addr;
use std::sync::Arc;

use actix_web::HttpRequest;
use actix_web::http::header;
use actix_web::http::{StatusCode, Version};
use common::error::ApiError;

use crate::tls::Certificates;

/// The name for which a client opened its TLS connection (RFC 6066, section 3).
#[derive(Clone, Debug)]
pub(crate) struct OpenedFor {
    pub(crate) name: String,
    pub(crate) certificates: Arc<Certificates>,
}

impl OpenedFor {
    /// Whether the client may ask for this host here: for the name that it knew when it connected, or
    /// for another one of the same certificate, as browsers do that have a connection already (RFC
    /// 9113, section 9.1.1).
    fn covers(&self, authority: &str) -> bool {
        let (host, _port) = split(authority);
        let host = host.strip_suffix('.').unwrap_or(host);
        self.name.eq_ignore_ascii_case(host) || self.certificates.vouch_for(host)
    }
}

/// The authority that the client asked for: that of an absolute target, else `Host`. `None` only in
/// HTTP/1.0, which may go without.
pub(crate) fn requested_host(request: &HttpRequest) -> Result<Option<&str>, ApiError> {
    let refused = |detail| Err(ApiError::malformed("invalid_host", detail));
    if let Some(scheme) = request.uri().scheme_str()
        && !matches!(scheme, "http" | "https")
    {
        return refused("The target must be of the scheme http or https.");
    }
    // In HTTP/2 this is `:authority` (RFC 9113, section 8.3.1).
    let target = request
        .uri()
        .authority()
        .map(|authority| authority.as_str());
    let is_h1 = request.version() == Version::HTTP_11;
    let mut hosts = request.headers().get_all(header::HOST);
    let host = match (hosts.next(), hosts.next()) {
        (Some(host), None) => Some(host.to_str().unwrap_or_default()),
        (None, _) if request.version() < Version::HTTP_11 => None,
        (None, _) if !is_h1 && target.is_some() => None,
        _ => return refused("There must be exactly one Host."),
    };
    if host.is_some_and(|host| !is_authority(host)) {
        return refused("The Host is not a host with an optional port.");
    }
    if target.is_some_and(|target| !is_authority(target)) {
        return refused("The target's host is not a host with an optional port.");
    }
    // An absolute target wins over Host (RFC 9112, section 3.2.2); in HTTP/2 they are one.
    let authority = match (target, host) {
        (Some(target), Some(host))
            if request.version() > Version::HTTP_11 && !target.eq_ignore_ascii_case(host) =>
        {
            return refused("The Host and the authority differ.");
        }
        _ => target.or(host),
    };
    match (request.conn_data::<OpenedFor>(), authority) {
        (Some(opened), Some(authority)) if !opened.covers(authority) => Err(misdirected()),
        _ => Ok(authority),
    }
}

/// RFC 9110, section 15.5.20.
fn misdirected() -> ApiError {
    ApiError::new(
        StatusCode::MISDIRECTED_REQUEST,
        "misdirected_request",
        "This connection was opened for another host.",
    )
}

/// Whether a text is `host` or `host:port`, without user information.
fn is_authority(text: &str) -> bool {
    let (host, port) = split(text);
    let port_holds = port.is_none_or(|port| {
        port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok()
    });
    port_holds && (is_name(host) || is_ipv6(host))
}

/// Host and port.
fn split(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        // The colons of an IPv6 address stand in brackets.
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    }
}

fn is_name(host: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    (1..=255).contains(&host.len()) && host.bytes().all(allowed)
}

fn is_ipv6(host: &str) -> bool {
    let inner = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    inner.is_some_and(|address| address.parse::<Ipv6Addr>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_is_a_host_with_an_optional_port() {
        for text in [
            "localhost",
            "a.b:80",
            "10.0.0.1:5000",
            "[::1]",
            "[::1]:5000",
            "a_b",
        ] {
            assert!(is_authority(text), "{text}");
        }
        for text in [
            "", ":80", "a@b", "a:b@c", "a b", "a:", "a:99999", "a:+1", "a:80:80", "::1", "[::1",
            "[x]", "a/b", "a,b", "a#b",
        ] {
            assert!(!is_authority(text), "{text}");
        }
    }
}
