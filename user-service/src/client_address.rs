//! Where a request came from, for the delays after failed logins.
//!
//! A client says what it wants in `X-Forwarded-For`. The header is believed only when the connection
//! itself comes from a trusted network (`proxies.trusted`; by default this machine, where the
//! gateway is), and then only as far as trusted proxies wrote it: read from the right, the first
//! address that is no trusted proxy is the client.

use std::convert::Infallible;
use std::fmt;
use std::future::{Ready, ready};
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest, web};
use common::context::{Origin, RequestContext};
use serde::Deserialize;

use crate::state::AppState;

/// A network in CIDR notation, such as `10.0.0.0/8` (RFC 4632) or `fd00::/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Network {
    address: IpAddr,
    prefix_bits: u8,
}

/// A text that is no network.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a network such as 10.0.0.0/8 or fd00::/8")]
pub struct NotANetwork(String);

impl FromStr for Network {
    type Err = NotANetwork;

    fn from_str(text: &str) -> Result<Self, NotANetwork> {
        let refused = || NotANetwork(text.to_owned());
        let (address, bits) = text.split_once('/').ok_or_else(refused)?;
        let address: IpAddr = address.parse().map_err(|_malformed| refused())?;
        let prefix_bits: u8 = bits.parse().map_err(|_malformed| refused())?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        if prefix_bits > longest {
            return Err(refused());
        }
        Ok(Self {
            address,
            prefix_bits,
        })
    }
}

impl TryFrom<String> for Network {
    type Error = NotANetwork;

    fn try_from(text: String) -> Result<Self, NotANetwork> {
        text.parse()
    }
}

impl Network {
    fn contains(&self, address: IpAddr) -> bool {
        let same = |own: u128, other: u128, width: u32| {
            let host_bits = width - u32::from(self.prefix_bits);
            own.checked_shr(host_bits) == other.checked_shr(host_bits)
        };
        match (self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                same(u32::from(own).into(), u32::from(other).into(), 32)
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => same(own.into(), other.into(), 128),
            _ => false,
        }
    }
}

/// The address of the client that made a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClientAddress(IpAddr);

impl ClientAddress {
    /// What is counted as one client: an IPv4 address, or the /64 network that an IPv6 subscriber
    /// has to choose from.
    pub(crate) fn group(self) -> String {
        match self.0 {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => {
                let network = Ipv6Addr::from(u128::from(address) >> 64 << 64);
                format!("{network}/64")
            }
        }
    }

    /// The client of the request being served; `None` for work that no request over HTTP asked for.
    pub(crate) fn current(trusted: &[Network]) -> Option<Self> {
        Self::of(&RequestContext::current()?.origin, trusted)
    }

    fn of(origin: &Origin, trusted: &[Network]) -> Option<Self> {
        let forwarded: Vec<&str> = origin.forwarded_for.split(',').map(str::trim).collect();
        Some(Self(client_of(origin.peer?, &forwarded, trusted)))
    }
}

impl fmt::Display for ClientAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<T: Into<IpAddr>> From<T> for ClientAddress {
    fn from(address: T) -> Self {
        Self(address.into())
    }
}

impl FromRequest for ClientAddress {
    type Error = Infallible;
    type Future = Ready<Result<Self, Infallible>>;

    fn from_request(request: &HttpRequest, _payload: &mut Payload) -> Self::Future {
        let trusted = request
            .app_data::<web::Data<AppState>>()
            .map_or(&[] as &[Network], |state| &state.trusted_proxies);
        let peer = request.peer_addr().map(|peer| peer.ip());
        let origin = Origin::of(peer, request.headers());
        // There is no peer in actix's own unit tests only.
        let unspecified = Self(IpAddr::V6(Ipv6Addr::UNSPECIFIED));
        ready(Ok(Self::of(&origin, trusted).unwrap_or(unspecified)))
    }
}

/// Of the addresses that the request passed, the nearest that no trusted proxy vouches for.
fn client_of(peer: IpAddr, forwarded: &[&str], trusted: &[Network]) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(address));
    let mut client = peer.to_canonical();
    for hop in forwarded.iter().rev() {
        if !is_trusted(client) {
            break;
        }
        match hop.parse::<IpAddr>() {
            Ok(address) => client = address.to_canonical(),
            // Written by somebody further away than the proxy we trust.
            Err(_malformed) => break,
        }
    }
    client
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_trusted_proxies_are_believed() {
        let trusted = ["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()];
        let check = |peer: &str, forwarded: &[&str], expected: &str| {
            let client = client_of(peer.parse().unwrap(), forwarded, &trusted);
            assert_eq!(client.to_string(), expected, "{peer} {forwarded:?}");
        };
        check("127.0.0.1", &[], "127.0.0.1");
        check("127.0.0.1", &["203.0.113.7"], "203.0.113.7");
        check("::ffff:127.0.0.1", &["203.0.113.7"], "203.0.113.7");
        // A client outside may claim whatever it likes.
        check("203.0.113.7", &["198.51.100.1"], "203.0.113.7");
        check("127.0.0.1", &["198.51.100.1", "203.0.113.7"], "203.0.113.7");
        check("127.0.0.1", &["203.0.113.7", "127.0.0.2"], "203.0.113.7");
        check("127.0.0.1", &["127.0.0.3"], "127.0.0.3");
        check("127.0.0.1", &["x", "203.0.113.7"], "203.0.113.7");
        check("127.0.0.1", &["x"], "127.0.0.1");
    }

    #[test]
    fn a_network_is_parsed_and_compared_by_its_prefix() {
        let check = |network: &str, address: &str, expected: bool| {
            let network: Network = network.parse().unwrap();
            let address = address.parse().unwrap();
            assert_eq!(network.contains(address), expected, "{network:?} {address}");
        };
        check("10.0.0.0/8", "10.255.0.1", true);
        check("10.0.0.0/8", "11.0.0.1", false);
        check("0.0.0.0/0", "203.0.113.7", true);
        check("10.1.2.3/32", "10.1.2.3", true);
        check("::/0", "2001:db8::1", true);
        check("fd00::/8", "fd12::1", true);
        check("fd00::/8", "10.0.0.1", false);
        for bad in [
            "10.0.0.0",
            "10.0.0.0/33",
            "::/129",
            "x/8",
            "10.0.0.0/-1",
            "",
        ] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
    }

    #[test]
    fn an_ipv6_subscriber_is_one_client() {
        let group = |text: &str| ClientAddress(text.parse().unwrap()).group();
        assert_eq!(group("2001:db8:1:2:aaaa::1"), group("2001:db8:1:2:bbbb::2"));
        assert_ne!(group("2001:db8:1:2::1"), group("2001:db8:1:3::1"));
        assert_eq!(group("203.0.113.7"), "203.0.113.7");
    }
}
