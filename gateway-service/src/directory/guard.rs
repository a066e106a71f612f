//! Which addresses may be registered and connected to. Whoever may register a service could
//! otherwise make the gateway ask anything that it can reach (server-side request forgery).

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;

use super::address::Address;
use crate::settings::RegistrySettings;
use ipnet::IpNet;

/// Where clouds answer with credentials, or act on their hosts, outside the link-local network.
const METADATA: [IpAddr; 4] = [
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254)),
];

/// Decides about addresses.
#[derive(Clone, Debug)]
pub(crate) struct AddressGuard {
    networks: Vec<IpNet>,
    ports: Vec<RangeInclusive<u16>>,
    loopback: Loopback,
}

/// Whether this machine's own addresses may be registered although no setting names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loopback {
    /// The services run beside the gateway.
    Allowed,
    /// They run elsewhere.
    Refused,
}

/// A setting that is no network or no range of ports.
#[derive(Debug, thiserror::Error)]
#[error("{key}: `{text}` is not {expected}")]
pub(crate) struct BadGuard {
    key: &'static str,
    text: String,
    expected: &'static str,
}

/// An address that may not be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    /// The port is not one of those allowed.
    #[error("the port is not allowed")]
    Port,
    /// The host is, or stands for, an address outside the networks allowed.
    #[error("the host is not in an allowed network")]
    Network,
}

impl AddressGuard {
    pub(crate) fn try_new(
        settings: &RegistrySettings,
        loopback: Loopback,
    ) -> Result<Self, BadGuard> {
        let network = |text: &String| {
            text.parse().map_err(|_malformed| BadGuard {
                key: "registry.allowed_networks",
                text: text.clone(),
                expected: "a network such as 10.0.0.0/8 or fd00::/8",
            })
        };
        let ports = |text: &String| {
            parse_ports(text).ok_or_else(|| BadGuard {
                key: "registry.allowed_ports",
                text: text.clone(),
                expected: "a port or a range such as 1024-65535",
            })
        };
        Ok(Self {
            networks: settings
                .allowed_networks
                .iter()
                .map(network)
                .collect::<Result<_, _>>()?,
            ports: settings
                .allowed_ports
                .iter()
                .map(ports)
                .collect::<Result<_, _>>()?,
            loopback,
        })
    }

    /// Whether one may connect to this address.
    pub(crate) fn admits(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        if is_never_allowed(address) {
            return false;
        }
        (address.is_loopback() && self.loopback == Loopback::Allowed)
            || self
                .networks
                .iter()
                .any(|network| network.contains(&address))
    }

    /// Checks what can be known without asking anybody: the port, and a host that is an address.
    pub(crate) fn check(&self, address: &Address) -> Result<(), Refused> {
        let (host, port) = address.socket_name();
        if !self.ports.iter().any(|range| range.contains(&port)) {
            return Err(Refused::Port);
        }
        match host.parse::<IpAddr>() {
            Ok(ip) if !self.admits(ip) => Err(Refused::Network),
            _ => Ok(()),
        }
    }

    /// The addresses that the host stands for now, without those that may not be used. Asked before
    /// each connection: a name that stood for a harmless address at its registration may stand for
    /// another one later.
    pub(crate) async fn resolve(&self, address: &Address) -> io::Result<Vec<SocketAddr>> {
        let forbidden = |refused: Refused| io::Error::new(io::ErrorKind::PermissionDenied, refused);
        self.check(address).map_err(forbidden)?;
        let admitted: Vec<SocketAddr> = address
            .lookup()
            .await?
            .into_iter()
            .filter(|one| self.admits(one.ip()))
            .collect();
        match admitted.is_empty() {
            true => Err(forbidden(Refused::Network)),
            false => Ok(admitted),
        }
    }
}

/// Networks in which no service can be: nobody, everybody, and what answers on every link.
fn is_never_allowed(address: IpAddr) -> bool {
    let by_kind = match address {
        IpAddr::V4(v4) => v4.is_link_local() || v4.is_broadcast() || v4.octets()[0] == 0,
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    by_kind || address.is_unspecified() || address.is_multicast() || METADATA.contains(&address)
}

fn parse_ports(text: &str) -> Option<RangeInclusive<u16>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (0 < first && first <= last).then_some(first..=last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(networks: &[&str], loopback: Loopback) -> AddressGuard {
        let settings = RegistrySettings {
            allowed_networks: networks.iter().map(ToString::to_string).collect(),
            allowed_ports: vec!["80".to_owned(), "1024-65535".to_owned()],
            header_timeout_ms: 1,
        };
        AddressGuard::try_new(&settings, loopback).unwrap()
    }

    #[test]
    fn no_address_outside_the_allowed_networks_is_admitted() {
        let everything = guard(&["0.0.0.0/0", "::/0"], Loopback::Refused);
        let private = guard(&["10.0.0.0/8", "fd00::/8"], Loopback::Refused);
        for (address, by_everything, by_private) in [
            ("10.1.2.3", true, true),
            ("::ffff:10.1.2.3", true, true),
            ("fd12::1", true, true),
            ("192.168.1.1", true, false),
            ("93.184.216.34", true, false),
            ("127.0.0.1", true, false),
            ("::1", true, false),
            ("::ffff:127.0.0.1", true, false),
            ("169.254.169.254", false, false),
            ("::ffff:169.254.169.254", false, false),
            ("fd00:ec2::254", false, false),
            ("100.100.100.200", false, false),
            ("168.63.129.16", false, false),
            ("fe80::1", false, false),
            ("0.0.0.0", false, false),
            ("0.1.2.3", false, false),
            ("::", false, false),
            ("224.0.0.1", false, false),
            ("ff02::1", false, false),
            ("255.255.255.255", false, false),
        ] {
            let address = address.parse().unwrap();
            assert_eq!(everything.admits(address), by_everything, "{address}");
            assert_eq!(private.admits(address), by_private, "{address}");
        }
    }

    #[test]
    fn loopback_is_admitted_where_the_services_run_beside_the_gateway() {
        let beside = guard(&[], Loopback::Allowed);
        for address in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
            assert!(beside.admits(address.parse().unwrap()), "{address}");
        }
        assert!(!beside.admits("10.0.0.1".parse().unwrap()));
        assert!(!beside.admits("0.0.0.0".parse().unwrap()));
    }

    #[test]
    fn ports_and_literal_hosts_are_checked_without_asking() {
        let guard = guard(&["10.0.0.0/8"], Loopback::Refused);
        for (url, expected) in [
            ("http://10.0.0.1:8080", Ok(())),
            ("http://10.0.0.1", Ok(())),
            ("http://some-name:8080", Ok(())),
            ("http://10.0.0.1:22", Err(Refused::Port)),
            ("http://127.0.0.1:8080", Err(Refused::Network)),
            ("http://[::1]:8080", Err(Refused::Network)),
        ] {
            assert_eq!(
                guard.check(&Address::parse(url).unwrap()),
                expected,
                "{url}"
            );
        }
    }

    /// A name in the resolver's own file stands for what a rebound name would stand for.
    #[tokio::test]
    async fn a_name_that_stands_for_a_forbidden_address_is_not_connected_to() {
        let guard = guard(&["10.0.0.0/8"], Loopback::Refused);
        let name = Address::parse("http://localhost:8080").unwrap();
        assert_eq!(guard.check(&name), Ok(()));
        let refused = guard.resolve(&name).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied);
    }

    #[test]
    fn settings_are_checked() {
        for (networks, ports) in [
            ("10.0.0.0/33", "80"),
            ("10.0.0.0/8", "0"),
            ("::/0", "9-8"),
            ("::/0", "x"),
        ] {
            let settings = RegistrySettings {
                allowed_networks: vec![networks.to_owned()],
                allowed_ports: vec![ports.to_owned()],
                header_timeout_ms: 1,
            };
            assert!(AddressGuard::try_new(&settings, Loopback::Allowed).is_err());
        }
    }
}
