//! Whom to believe about where a request came from.

use std::net::IpAddr;

use actix_web::HttpRequest;
use actix_web::http::header::HeaderMap;
use http::HeaderValue;
use ipnet::IpNet;

pub(crate) const FORWARDED_FOR: &str = "x-forwarded-for";
pub(crate) const FORWARDED_PROTO: &str = "x-forwarded-proto";
pub(crate) const FORWARDED_HOST: &str = "x-forwarded-host";

/// How clients come to a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    Http,
    Https,
}

/// The proxies in front of this one whose word counts.
#[derive(Clone, Debug)]
pub(crate) struct TrustedPeers(Vec<IpNet>);

/// A text that is no network.
#[derive(Debug, thiserror::Error)]
#[error("proxies.trusted: `{0}` is not a network such as 10.0.0.0/8 or fd00::/8")]
pub(crate) struct NotANetwork(String);

/// What a service is told about the client.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Forwarded {
    /// The addresses that the request passed, the nearest last.
    pub(crate) hops: HeaderValue,
    /// The scheme that the client used.
    pub(crate) proto: HeaderValue,
    /// The host that the client asked for.
    pub(crate) host: Option<HeaderValue>,
}

impl TrustedPeers {
    pub(crate) fn try_new(networks: &[String]) -> Result<Self, NotANetwork> {
        let parse = |text: &String| text.parse().map_err(|_malformed| NotANetwork(text.clone()));
        Ok(Self(networks.iter().map(parse).collect::<Result<_, _>>()?))
    }

    /// Whether this is one of them.
    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }

    /// The client's address, for limits: that of the last hop that is no trusted proxy. What stands
    /// before it may be the client's own invention.
    pub(crate) fn client(&self, request: &HttpRequest) -> IpAddr {
        let Some(peer) = request.peer_addr().map(|peer| peer.ip().to_canonical()) else {
            return IpAddr::from([0, 0, 0, 0]);
        };
        if self.0.is_empty() || !self.contains(peer) {
            return peer;
        }
        let mut client = peer;
        let values: Vec<_> = request.headers().get_all(FORWARDED_FOR).collect();
        let lines = values.iter().rev();
        let lines = lines.map(|value| value.to_str().unwrap_or("?"));
        for hop in lines.flat_map(|line| line.rsplit(',')) {
            match address_of(hop.trim()) {
                Some(address) => client = address,
                None => return client,
            }
            if !self.contains(client) {
                return client;
            }
        }
        client
    }

    /// What the service is told. The client's own claims count only when the connection itself comes
    /// from a trusted network; then this peer is added to what it says.
    pub(crate) fn forwarded(&self, request: &HttpRequest, host: Option<&str>) -> Forwarded {
        let peer = request.peer_addr().map(|peer| peer.ip().to_canonical());
        let trusted = peer.is_some_and(|peer| self.contains(peer));
        let claims = trusted.then(|| request.headers());
        let peer = peer.map_or_else(|| "unknown".to_owned(), |peer| peer.to_string());
        let hops = match claims.map(|headers| joined(headers, FORWARDED_FOR)) {
            Some(earlier) if !earlier.is_empty() => format!("{earlier}, {peer}"),
            _ => peer,
        };
        let proto = match claims.and_then(|headers| single(headers, FORWARDED_PROTO)) {
            Some("https") => "https",
            Some("http") => "http",
            _ => match request.app_data::<Scheme>() {
                Some(Scheme::Https) => "https",
                Some(Scheme::Http) | None => "http",
            },
        };
        let host = claims
            .and_then(|headers| single(headers, FORWARDED_HOST))
            .or(host);
        Forwarded {
            hops: HeaderValue::from_str(&hops)
                .unwrap_or_else(|_invalid| HeaderValue::from_static("unknown")),
            proto: HeaderValue::from_static(proto),
            host: host.and_then(|host| HeaderValue::from_str(host).ok()),
        }
    }
}

/// An address, with or without a port (as some proxies write it).
fn address_of(hop: &str) -> Option<IpAddr> {
    let bare = hop.trim_start_matches('[').trim_end_matches(']');
    let address = bare.parse().ok();
    let with_port = || hop.parse::<std::net::SocketAddr>().ok().map(|it| it.ip());
    address
        .or_else(with_port)
        .map(|it: IpAddr| it.to_canonical())
}

fn single<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

fn joined(headers: &HeaderMap, name: &str) -> String {
    let values = headers.get_all(name);
    let texts: Vec<&str> = values.filter_map(|value| value.to_str().ok()).collect();
    texts.join(", ")
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn told(peer: &str, trusted: &[&str]) -> (String, String, String) {
        let networks: Vec<String> = trusted.iter().map(ToString::to_string).collect();
        let request = TestRequest::get()
            .peer_addr(peer.parse().unwrap())
            .append_header((FORWARDED_FOR, "203.0.113.7"))
            .append_header((FORWARDED_FOR, "198.51.100.1"))
            .append_header((FORWARDED_PROTO, "https"))
            .append_header((FORWARDED_HOST, "shop.example"))
            .to_http_request();
        let peers = TrustedPeers::try_new(&networks).unwrap();
        let forwarded = peers.forwarded(&request, Some("gateway:5000"));
        let text = |value: &HeaderValue| value.to_str().unwrap().to_owned();
        let host = forwarded.host.as_ref().map(text).unwrap();
        (text(&forwarded.hops), text(&forwarded.proto), host)
    }

    #[test]
    fn a_client_is_not_believed_and_a_trusted_proxy_is() {
        let owned = |a: &str, b: &str, c: &str| (a.to_owned(), b.to_owned(), c.to_owned());
        let untrusted = owned("192.0.2.9", "http", "gateway:5000");
        assert_eq!(told("192.0.2.9:1", &[]), untrusted);
        assert_eq!(told("192.0.2.9:1", &["10.0.0.0/8"]), untrusted);
        let trusted = owned(
            "203.0.113.7, 198.51.100.1, 10.1.2.3",
            "https",
            "shop.example",
        );
        assert_eq!(told("10.1.2.3:1", &["10.0.0.0/8"]), trusted);
        assert_eq!(told("[::ffff:10.1.2.3]:1", &["10.0.0.0/8"]), trusted);
    }

    #[test]
    fn the_client_is_the_last_hop_that_is_no_trusted_proxy() {
        let networks = ["10.0.0.0/8".to_owned()];
        let peers = TrustedPeers::try_new(&networks).unwrap();
        for (peer, hops, expected) in [
            ("192.0.2.9:1", "203.0.113.7", "192.0.2.9"),
            ("10.0.0.1:1", "203.0.113.7", "203.0.113.7"),
            (
                "10.0.0.1:1",
                "1.1.1.1, 203.0.113.7, 10.0.0.2",
                "203.0.113.7",
            ),
            ("10.0.0.1:1", "203.0.113.7:4711", "203.0.113.7"),
            ("10.0.0.1:1", "[2001:db8::1]:4711", "2001:db8::1"),
            ("10.0.0.1:1", "1.1.1.1, nonsense", "10.0.0.1"),
            ("10.0.0.1:1", "10.0.0.3", "10.0.0.3"),
            ("10.0.0.1:1", "", "10.0.0.1"),
        ] {
            let request = TestRequest::get()
                .peer_addr(peer.parse().unwrap())
                .append_header((FORWARDED_FOR, hops))
                .to_http_request();
            assert_eq!(
                peers.client(&request).to_string(),
                expected,
                "{peer} {hops}"
            );
        }
    }

    #[test]
    fn a_network_must_be_one() {
        assert!(TrustedPeers::try_new(&["10.0.0.0/33".to_owned()]).is_err());
    }
}
