//! The services of this workspace: their names and the ports they listen on by default.

use std::fmt;
use std::str::FromStr;

/// One service. The text form (`order`) prefixes environment variables, file names and token
/// subjects; the binary is called `order-service`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ServiceName {
    /// Edge: routing, limits, status, documentation.
    Gateway,
    /// Accounts, sessions, signing keys.
    User,
    /// Products, recipes, stock ledger, reservations.
    Inventory,
    /// Stores, menu, orders, the order saga.
    Order,
    /// Read models and reports.
    Analytics,
    /// Devices and telemetry.
    Iot,
    /// Payment intents and the money ledger.
    Payment,
}

/// Default ports of one service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// The service.
    pub service: ServiceName,
    /// TCP port of its HTTP API.
    pub http: u16,
    /// TCP port of its gRPC commands, for the services that have some.
    pub grpc: Option<u16>,
}

const fn ports(service: ServiceName, http: u16, grpc: Option<u16>) -> Ports {
    Ports {
        service,
        http,
        grpc,
    }
}

/// The default ports of every service, in the order of their ports.
pub const PORTS: [Ports; 7] = [
    ports(ServiceName::Gateway, 5000, None),
    ports(ServiceName::User, 5001, Some(5101)),
    ports(ServiceName::Inventory, 5003, Some(5103)),
    ports(ServiceName::Order, 5004, None),
    ports(ServiceName::Analytics, 5005, None),
    ports(ServiceName::Iot, 5006, None),
    ports(ServiceName::Payment, 5009, Some(5109)),
];

impl ServiceName {
    /// Every service, in the order of [`PORTS`].
    pub fn all() -> impl Iterator<Item = Self> {
        PORTS.iter().map(|ports| ports.service)
    }

    /// The short name, such as `order`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::User => "user",
            Self::Inventory => "inventory",
            Self::Order => "order",
            Self::Analytics => "analytics",
            Self::Iot => "iot",
            Self::Payment => "payment",
        }
    }

    /// The name of the binary and the package, such as `order-service`.
    #[must_use]
    pub const fn binary(self) -> &'static str {
        match self {
            Self::Gateway => "gateway-service",
            Self::User => "user-service",
            Self::Inventory => "inventory-service",
            Self::Order => "order-service",
            Self::Analytics => "analytics-service",
            Self::Iot => "iot-service",
            Self::Payment => "payment-service",
        }
    }

    /// Its default ports.
    #[must_use]
    pub fn ports(self) -> Ports {
        PORTS
            .into_iter()
            .find(|ports| ports.service == self)
            .expect("every service stands in PORTS; a test holds this")
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that names no service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownService(String);

impl fmt::Display for UnknownService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "there is no service called `{}`", self.0)
    }
}

impl std::error::Error for UnknownService {}

impl FromStr for ServiceName {
    type Err = UnknownService;

    /// Accepts the short name and the name of the binary.
    fn from_str(text: &str) -> Result<Self, UnknownService> {
        Self::all()
            .find(|service| text == service.as_str() || text == service.binary())
            .ok_or_else(|| UnknownService(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_name_reads_back_and_has_ports() {
        for service in ServiceName::all() {
            assert_eq!(service.as_str().parse(), Ok(service));
            assert_eq!(service.binary().parse(), Ok(service));
            assert_eq!(service.binary(), format!("{service}-service"));
            assert_eq!(service.ports().service, service);
        }
        assert_eq!(
            "staff".parse::<ServiceName>(),
            Err(UnknownService("staff".to_owned()))
        );
    }

    #[test]
    fn no_port_is_used_twice() {
        let ports: Vec<u16> = PORTS
            .iter()
            .flat_map(|ports| [Some(ports.http), ports.grpc])
            .flatten()
            .collect();
        let distinct: BTreeSet<u16> = ports.iter().copied().collect();
        assert_eq!(ports.len(), distinct.len());
    }
}
