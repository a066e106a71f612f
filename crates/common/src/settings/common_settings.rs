//! The settings that every service has; `config/common.toml` documents each key.

use std::path::PathBuf;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use crate::auth::derive_service_secret;

/// The root secret of a development installation; production refuses it.
const DEVELOPMENT_ROOT_SECRET: &str = "maru-development-only";

/// How careful to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    /// A laptop: readable logs, default secrets allowed.
    Development,
    /// JSON logs; default secrets are refused.
    Production,
}

/// What every service can be told.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommonSettings {
    /// How careful to be.
    pub profile: Profile,
    /// Folder of databases and keys.
    pub data_dir: PathBuf,
    /// Where to listen.
    pub server: ServerSettings,
    /// The service's own database.
    pub database: DatabaseSettings,
    /// Secrets between services.
    pub auth: AuthSettings,
    /// Event delivery.
    pub events: EventsSettings,
    /// State shared between replicas.
    pub redis: RedisSettings,
    /// Logs.
    pub telemetry: TelemetrySettings,
    /// How the gateway finds this service.
    pub discovery: DiscoverySettings,
    /// Where the other services are.
    pub neighbours: Neighbours,
}

/// How the gateway finds this service.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiscoverySettings {
    /// Base URL under which it is reached; empty takes the address it listens on.
    pub advertise_url: String,
    /// The gateway forgets it after this silence, in milliseconds.
    pub ttl_ms: u64,
}

/// Where to listen.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerSettings {
    /// Address to listen on.
    pub host: String,
    /// TCP port for HTTP; 0 lets the system choose.
    pub port: u16,
    /// TCP port for gRPC; 0 lets the system choose.
    pub grpc_port: u16,
    /// Threads that serve HTTP, at least 1.
    pub workers: usize,
    /// Time given to requests under way at a stop, in milliseconds.
    pub shutdown_grace_ms: u64,
}

/// The service's own database.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatabaseSettings {
    /// `sqlite://file` or `postgres://user:password@host/database`.
    pub url: SecretString,
    /// Most connections to PostgreSQL, or readers of an SQLite file; default 4. Few are faster than
    /// many as long as writes share transactions: each is a process of the server, with plans and
    /// caches of its own, and the pool goes round all of them.
    pub max_connections: u32,
    /// Longest wait for a free connection, in milliseconds.
    pub acquire_timeout_ms: u64,
}

/// Secrets between services.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthSettings {
    /// This service's secret; empty derives it from the root secret.
    pub service_secret: SecretString,
    /// The installation's root secret.
    pub service_root_secret: SecretString,
}

impl AuthSettings {
    /// The secret with which the service `name` proves itself.
    #[must_use]
    pub fn secret_of(&self, name: &str) -> SecretString {
        if self.service_secret.expose_secret().is_empty() {
            derive_service_secret(&self.service_root_secret, name)
        } else {
            self.service_secret.clone()
        }
    }
}

/// Event delivery.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventsSettings {
    /// RabbitMQ; empty delivers over HTTP.
    pub amqp_url: SecretString,
    /// Longest time between two looks at the outbox, in milliseconds.
    pub poll_interval_ms: u64,
    /// Events handed over together at most.
    pub batch_size: u32,
    /// Tries before a failing event is parked.
    pub max_attempts: u32,
}

/// State shared between replicas.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RedisSettings {
    /// `redis://host:port`; empty keeps the state in process.
    pub url: SecretString,
}

/// Logs.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TelemetrySettings {
    /// Log filter: a level, and others for single targets, in the syntax of `tracing-subscriber`'s
    /// `Targets`.
    pub log: String,
}

/// Where the other services are.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Neighbours {
    /// The gateway; empty when there is none to register with.
    pub gateway_url: String,
    /// user-service.
    pub user_url: String,
    /// inventory-service.
    pub inventory_url: String,
    /// inventory-service, gRPC.
    pub inventory_grpc_url: String,
    /// order-service.
    pub order_url: String,
    /// analytics-service.
    pub analytics_url: String,
    /// iot-service.
    pub iot_url: String,
    /// payment-service.
    pub payment_url: String,
    /// payment-service, gRPC.
    pub payment_grpc_url: String,
}

impl Neighbours {
    /// The base URL of the service with this short name, such as `order`.
    #[must_use]
    pub fn url_of(&self, service: &str) -> Option<&str> {
        Some(match service {
            "gateway" => &self.gateway_url,
            "user" => &self.user_url,
            "inventory" => &self.inventory_url,
            "order" => &self.order_url,
            "analytics" => &self.analytics_url,
            "iot" => &self.iot_url,
            "payment" => &self.payment_url,
            _ => return None,
        })
    }
}

impl CommonSettings {
    /// The time given to requests under way at a stop.
    #[must_use]
    pub const fn shutdown_grace(&self) -> Duration {
        Duration::from_millis(self.server.shutdown_grace_ms)
    }

    /// What is unacceptable, in words.
    pub(super) fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if !(1..=64).contains(&self.server.workers) {
            faults.push("server.workers must be from 1 to 64".to_owned());
        }
        if self.database.max_connections == 0 {
            faults.push("database.max_connections must be at least 1".to_owned());
        }
        if !(1_000..=3_600_000).contains(&self.discovery.ttl_ms) {
            faults.push("discovery.ttl_ms must be from 1000 to 3600000".to_owned());
        }
        if self.events.batch_size == 0 || self.events.max_attempts == 0 {
            faults.push("events.batch_size and events.max_attempts must be at least 1".to_owned());
        }
        let derived = self.auth.service_secret.expose_secret().is_empty();
        let default_root = self.auth.service_root_secret.expose_secret() == DEVELOPMENT_ROOT_SECRET;
        if self.profile == Profile::Production && derived && default_root {
            faults.push(
                "the production profile needs MARU_SERVICE_SECRET (user-service: \
                 MARU_SERVICE_ROOT_SECRET); the development secret is known to everybody"
                    .to_owned(),
            );
        }
        faults
    }
}
