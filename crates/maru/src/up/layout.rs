//! Which service listens where and keeps its data where: worked out once from the environment
//! and the command line, so that the launcher and every service agree.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use contracts::services::{PORTS, ServiceName};

use super::database::{DatabasePlan, SchemaPolicy, describe_url};
use super::preflight::Folders;
use super::report::SystemFile;
use super::variables::Variables;

/// The data folder when `MARU_DATA` is not set, relative to the working folder.
const DEFAULT_DATA: &str = "./data";
/// The port of the embedded MQTT broker.
const DEFAULT_MQTT_PORT: u16 = 1883;
/// The port that the defaults of all services count from.
const DEFAULT_BASE: u16 = 5000;
/// Where the MQTT broker stands in a block of ports that `--port-base` chose.
const MQTT_OFFSET: u16 = 200;

/// What decides the layout besides the environment.
#[derive(Clone, Debug)]
pub struct LayoutOptions {
    /// Count all ports from here: HTTP at +0 to +10, gRPC at +101 to +110, MQTT at +200. It wins
    /// over ports from the environment.
    pub port_base: Option<u16>,
    /// Whether one PostgreSQL URL is divided into schemas.
    pub schemas: SchemaPolicy,
}

/// The whole system's addresses and folders.
#[derive(Clone, Debug)]
pub struct Layout {
    /// The data folder, absolute.
    pub data: PathBuf,
    /// The address that services bind to, such as `127.0.0.1`.
    pub bind: String,
    /// `development` or `production`.
    pub profile: String,
    /// Every service, in the order of their default ports.
    pub placements: Vec<Placement>,
    /// Port of the embedded MQTT broker; `None` when an outside broker is used.
    pub mqtt_port: Option<u16>,
    /// How the databases are divided.
    pub databases: DatabasePlan,
    /// How events travel.
    pub events: EventTransport,
}

/// One service's place.
#[derive(Clone, Debug)]
pub struct Placement {
    /// Which service.
    pub service: ServiceName,
    /// Port of its HTTP API.
    pub http_port: u16,
    /// Port of its gRPC commands.
    pub grpc_port: Option<u16>,
}

/// How events travel between services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventTransport {
    /// Outbox rows are delivered over HTTP.
    Embedded,
    /// Through `AMQP_URL`.
    RabbitMq,
}

impl EventTransport {
    /// The word the tables show.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::RabbitMq => "rabbitmq",
        }
    }
}

impl Layout {
    /// Works the layout out.
    ///
    /// # Errors
    /// When a port is no port, the data folder's name is no path, or `DATABASE_URL` would make
    /// services share tables.
    pub fn resolve(variables: &Variables, options: &LayoutOptions) -> Result<Self> {
        let data = variables.get("MARU_DATA").unwrap_or(DEFAULT_DATA);
        let data = std::path::absolute(data)
            .with_context(|| format!("MARU_DATA is not a folder name: {data}"))?;
        let placements = PORTS
            .iter()
            .map(|ports| {
                let service = ports.service;
                let port = |key, default| port_of(variables, options, service, key, default);
                Ok(Placement {
                    service,
                    http_port: port("SERVER__PORT", ports.http)?,
                    grpc_port: match ports.grpc {
                        Some(default) => Some(port(GRPC_PORT_KEY, default)?),
                        None => None,
                    },
                })
            })
            .collect::<Result<_>>()?;
        Ok(Self {
            data,
            bind: variables.get("MARU_BIND").unwrap_or("127.0.0.1").to_owned(),
            profile: variables
                .get("MARU_PROFILE")
                .unwrap_or("development")
                .to_owned(),
            placements,
            mqtt_port: mqtt_port(variables, options)?,
            databases: DatabasePlan::parse(variables.get("DATABASE_URL"), options.schemas)?,
            events: match variables.get("AMQP_URL") {
                Some(_) => EventTransport::RabbitMq,
                None => EventTransport::Embedded,
            },
        })
    }

    /// Takes over the ports of a system that `maru up` keeps running on this data folder, should it
    /// have been started with others than the environment says.
    ///
    /// # Errors
    /// When the file that the launcher left there cannot be read.
    pub fn adopt_running(&mut self) -> Result<()> {
        let Some(system) = SystemFile::read(&Folders::below(&self.data))? else {
            return Ok(());
        };
        for service in system.services {
            let placement = self
                .placements
                .iter_mut()
                .find(|placement| placement.service.as_str() == service.name);
            if let Some(placement) = placement {
                placement.http_port = service.port;
                placement.grpc_port = service.grpc_port;
            }
        }
        Ok(())
    }

    /// The host at which this machine reaches what binds to [`Layout::bind`].
    #[must_use]
    pub fn local_host(&self) -> &str {
        match self.bind.as_str() {
            "0.0.0.0" | "::" | "[::]" | "localhost" => "127.0.0.1",
            other => other,
        }
    }

    /// Where a service stands.
    #[must_use]
    pub fn placement(&self, service: ServiceName) -> &Placement {
        self.placements
            .iter()
            .find(|placement| placement.service == service)
            .expect("the layout places every service")
    }

    /// `http://host:port` of a service's HTTP API, without a slash at the end.
    #[must_use]
    pub fn http_url(&self, service: ServiceName) -> String {
        let port = self.placement(service).http_port;
        format!("http://{}:{port}", self.local_host())
    }

    /// `http://host:port` of a service's gRPC commands, for the services that have some.
    #[must_use]
    pub fn grpc_url(&self, service: ServiceName) -> Option<String> {
        let port = self.placement(service).grpc_port?;
        Some(format!("http://{}:{port}", self.local_host()))
    }

    /// The `DATABASE_URL` a service ends up with, its own default included.
    #[must_use]
    pub fn database_url(&self, service: ServiceName) -> String {
        self.databases.url_of(service).unwrap_or_else(|| {
            let file = self.data.join(format!("{service}.db"));
            format!("sqlite://{}?mode=rwc", file.display())
        })
    }

    /// A service's database in words, without credentials.
    #[must_use]
    pub fn describe_database(&self, service: ServiceName) -> String {
        let described = describe_url(&self.database_url(service));
        match &self.databases {
            DatabasePlan::Embedded => format!("sqlite {service}.db"),
            DatabasePlan::PerService(_) => described,
            DatabasePlan::Schemas(_) => format!("{described} schema {service}"),
        }
    }
}

/// The settings key of a service's gRPC port, as it stands in environment variables.
const GRPC_PORT_KEY: &str = "SERVER__GRPC_PORT";

/// The environment variable of one setting of a service: `ORDER__SERVER__PORT`.
fn variable_name(service: ServiceName, key: &str) -> String {
    format!("{}__{key}", service.as_str().to_uppercase())
}

fn port_of(
    variables: &Variables,
    options: &LayoutOptions,
    service: ServiceName,
    key: &str,
    default: u16,
) -> Result<u16> {
    match options.port_base {
        Some(base) => based(base, default - DEFAULT_BASE),
        None => port_from(variables, &variable_name(service, key), default),
    }
}

fn based(base: u16, offset: u16) -> Result<u16> {
    base.checked_add(offset)
        .with_context(|| format!("--port-base {base} leaves no room for {offset} more ports"))
}

fn port_from(variables: &Variables, name: &str, default: u16) -> Result<u16> {
    match variables.get(name).map(str::parse) {
        None => Ok(default),
        Some(Ok(port)) if port > 0 => Ok(port),
        Some(_) => bail!("{name} must be a port from 1 to 65535"),
    }
}

fn mqtt_port(variables: &Variables, options: &LayoutOptions) -> Result<Option<u16>> {
    if variables.get("MQTT_URL").is_some() {
        return Ok(None);
    }
    let port = match options.port_base {
        Some(base) => based(base, MQTT_OFFSET)?,
        None => port_from(
            variables,
            &variable_name(ServiceName::Iot, MQTT_PORT_KEY),
            DEFAULT_MQTT_PORT,
        )?,
    };
    Ok(Some(port))
}

/// The settings key of the embedded broker's port, as it stands in environment variables.
const MQTT_PORT_KEY: &str = "MQTT__PORT";
/// The settings key of the address that the broker listens on.
const MQTT_HOST_KEY: &str = "MQTT__HOST";

/// The variables that put a service where this layout says and tell it where the others are.
pub(super) fn address_variables(layout: &Layout, service: ServiceName) -> Vec<(String, String)> {
    let own = layout.placement(service);
    let mut variables = vec![
        ("MARU_DATA".to_owned(), layout.data.display().to_string()),
        ("MARU_BIND".to_owned(), layout.bind.clone()),
        (
            variable_name(service, "SERVER__PORT"),
            own.http_port.to_string(),
        ),
    ];
    if let Some(port) = own.grpc_port {
        variables.push((variable_name(service, GRPC_PORT_KEY), port.to_string()));
    }
    if let (ServiceName::Iot, Some(port)) = (service, layout.mqtt_port) {
        variables.push((variable_name(service, MQTT_PORT_KEY), port.to_string()));
        variables.push((variable_name(service, MQTT_HOST_KEY), layout.bind.clone()));
    }
    for other in ServiceName::all() {
        let prefix = other.as_str().to_uppercase();
        variables.push((format!("{prefix}_URL"), layout.http_url(other)));
        if let Some(url) = layout.grpc_url(other) {
            variables.push((format!("{prefix}_GRPC_URL"), url));
        }
    }
    variables
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(pairs: &[(&str, &str)], port_base: Option<u16>) -> Result<Layout> {
        let pairs = pairs.iter().map(|&(k, v)| (k.to_owned(), v.to_owned()));
        let options = LayoutOptions {
            port_base,
            schemas: SchemaPolicy::Refuse,
        };
        Layout::resolve(&Variables::from_pairs(pairs), &options)
    }

    #[test]
    fn without_settings_every_service_stands_at_its_default() {
        let layout = resolve(&[], None).expect("resolves");
        let inventory = layout.placement(ServiceName::Inventory);
        assert_eq!(
            (inventory.http_port, inventory.grpc_port),
            (5003, Some(5103))
        );
        assert_eq!(layout.mqtt_port, Some(1883));
        assert_eq!(layout.events, EventTransport::Embedded);
        assert_eq!(
            layout.describe_database(ServiceName::Order),
            "sqlite order.db"
        );
    }

    #[test]
    fn a_port_base_moves_every_port_and_wins_over_the_environment() {
        let layout = resolve(&[("GATEWAY__SERVER__PORT", "8080")], Some(21_000)).expect("resolves");
        let ports: Vec<u16> = layout.placements.iter().map(|p| p.http_port).collect();
        assert_eq!(
            ports,
            [21_000, 21_001, 21_003, 21_004, 21_005, 21_006, 21_009]
        );
        assert_eq!(
            layout.grpc_url(ServiceName::Payment).as_deref(),
            Some("http://127.0.0.1:21109")
        );
        assert_eq!(layout.mqtt_port, Some(21_200));
        assert!(resolve(&[], Some(65_500)).is_err());
    }

    #[test]
    fn ports_come_from_the_environment_and_are_checked() {
        let layout = resolve(&[("GATEWAY__SERVER__PORT", "8080")], None).expect("resolves");
        assert_eq!(
            layout.http_url(ServiceName::Gateway),
            "http://127.0.0.1:8080"
        );
        for nonsense in ["0", "x", "70000"] {
            assert!(resolve(&[("ORDER__SERVER__PORT", nonsense)], None).is_err());
        }
    }

    #[test]
    fn an_outside_broker_takes_no_port() {
        let layout = resolve(
            &[
                ("MQTT_URL", "mqtt://broker:1883"),
                ("AMQP_URL", "amqp://mq"),
            ],
            None,
        )
        .expect("resolves");
        assert_eq!(layout.mqtt_port, None);
        assert_eq!(layout.events, EventTransport::RabbitMq);
    }
}
