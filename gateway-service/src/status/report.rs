//! The body of `GET /api/services/status`. Anybody may read it: it shows no more of an address than
//! host and port, and of a failure no more than the service itself tells everybody.

use common::time::Timestamp;
use serde::Serialize;

use super::board::{Board, Entry};
use super::verdict::ServiceStatus;

/// How the whole system is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SystemStatus {
    /// Every service is healthy.
    Healthy,
    /// Some service is not, or has not been checked yet.
    Degraded,
    /// No service behind the gateway works.
    Down,
}

/// One place where a service runs.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct InstanceOut {
    /// Scheme, host and port.
    url: String,
    status: ServiceStatus,
}

/// One service.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct ServiceOut {
    /// Short name, such as `order`.
    name: String,
    status: ServiceStatus,
    /// Duration of the last check, in milliseconds.
    latency_ms: Option<u64>,
    /// The version that the service gives.
    version: Option<String>,
    instances: Vec<InstanceOut>,
    /// When it was last checked.
    last_check: Option<Timestamp>,
    /// What is wrong, in general words.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

/// The state of the whole system.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct SystemOut {
    status: SystemStatus,
    checked_at: Timestamp,
    /// The gateway and every service behind it.
    services: Vec<ServiceOut>,
}

/// How each service is, as the gateway last saw it. Needs no permission.
#[utoipa::path(
    get, path = "/api/services/status", tag = "status",
    responses((status = 200, body = SystemOut, description = "Also when the system is down"))
)]
#[expect(
    dead_code,
    reason = "carries the endpoint's documentation; local.rs serves it"
)]
fn services_status() {}

/// The gateway's own part of the OpenAPI document.
#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Maru",
        description = "The API of all Maru services, behind one gateway."
    ),
    paths(services_status)
)]
pub(crate) struct OwnApi;

impl Board {
    pub(crate) fn report(&self) -> SystemOut {
        let now = self.clock.now();
        let behind: Vec<ServiceOut> = self.entries().into_iter().map(shown).collect();
        let own = self.own_address().map(|address| InstanceOut {
            url: format!("http://{address}"),
            status: ServiceStatus::Healthy,
        });
        let gateway = ServiceOut {
            name: "gateway".to_owned(),
            status: ServiceStatus::Healthy,
            latency_ms: Some(0),
            version: Some(env!("CARGO_PKG_VERSION").to_owned()),
            instances: own.into_iter().collect(),
            last_check: Some(now),
            detail: None,
        };
        SystemOut {
            status: whole(&behind),
            checked_at: now,
            services: std::iter::once(gateway).chain(behind).collect(),
        }
    }
}

fn whole(behind: &[ServiceOut]) -> SystemStatus {
    let all = |status| behind.iter().all(|service| service.status == status);
    if all(ServiceStatus::Healthy) {
        SystemStatus::Healthy
    } else if all(ServiceStatus::Unhealthy) {
        SystemStatus::Down
    } else {
        SystemStatus::Degraded
    }
}

fn shown(entry: Entry) -> ServiceOut {
    let status = entry.verdict.status();
    let instance = InstanceOut {
        url: entry.service.url(),
        status,
    };
    ServiceOut {
        name: entry.service.name().to_owned(),
        status,
        latency_ms: entry
            .latency
            .map(|latency| u64::try_from(latency.as_millis()).unwrap_or(u64::MAX)),
        version: entry.version,
        instances: vec![instance],
        last_check: entry.last_check,
        detail: entry.detail,
    }
}
