//! The body of `GET /api/services/status`. Anybody may read it: it shows no more of an address than
//! host and port, and of a failure no more than the service itself tells everybody.

use common::auth::access;
use common::time::Timestamp;
use resilience::BreakerState;
use serde::Serialize;

use super::board::{Board, Entry};
use super::verdict::ServiceStatus;
use crate::directory::{Instance, SEED_ID, Service};

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
    /// Unique within the service; `settings` for the address of the settings.
    id: String,
    /// Scheme, host and port.
    url: String,
    status: ServiceStatus,
    /// Whether this gateway leaves it alone for a while because it failed.
    ejected: bool,
    /// Requests of this gateway under way at it.
    in_flight: u64,
    /// Its recent answer time as this gateway sees it, in milliseconds; failures count as slow.
    answer_ms: u64,
}

/// What the breaker of a service does.
#[derive(Clone, Copy, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum BreakerOut {
    /// Requests pass.
    Closed,
    /// Some requests pass, as probes.
    HalfOpen,
    /// No request passes.
    Open,
}

impl From<BreakerState> for BreakerOut {
    fn from(state: BreakerState) -> Self {
        match state {
            BreakerState::Closed => Self::Closed,
            BreakerState::HalfOpen => Self::HalfOpen,
            BreakerState::Open => Self::Open,
        }
    }
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
    /// Absent for the gateway itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    breaker: Option<BreakerOut>,
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
#[access(public)]
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
        let fixed = self.entries().into_iter().map(shown);
        let registered = self.directory.registered().into_iter();
        let behind: Vec<ServiceOut> = fixed.chain(registered.map(|one| found(&one))).collect();
        let own = self.own_address().map(|address| InstanceOut {
            id: SEED_ID.to_owned(),
            url: format!("http://{address}"),
            status: ServiceStatus::Healthy,
            ejected: false,
            in_flight: 0,
            answer_ms: 0,
        });
        let gateway = ServiceOut {
            name: "gateway".to_owned(),
            status: ServiceStatus::Healthy,
            latency_ms: Some(0),
            version: Some(env!("CARGO_PKG_VERSION").to_owned()),
            instances: own.into_iter().collect(),
            breaker: None,
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
    let instances = entry.service.instances();
    let instances = instances.iter().map(|instance| match instance.status() {
        _ if instance.refuses_work() => instance_out(instance, ServiceStatus::Unhealthy),
        // The registry knows nothing of it: what the checks say holds.
        ServiceStatus::Unknown => instance_out(instance, status),
        known => instance_out(instance, known),
    });
    let instances = instances.collect();
    ServiceOut {
        name: entry.service.name().to_owned(),
        status,
        latency_ms: entry
            .latency
            .map(|latency| u64::try_from(latency.as_millis()).unwrap_or(u64::MAX)),
        version: entry.version,
        instances,
        breaker: Some(entry.service.breaker.state().into()),
        last_check: entry.last_check,
        detail: entry.detail,
    }
}

/// A service that is known from the registry alone.
fn found(service: &Service) -> ServiceOut {
    let instances = service.instances();
    let has = |status| instances.iter().any(|instance| instance.status() == status);
    let status = [ServiceStatus::Healthy, ServiceStatus::Unknown]
        .into_iter()
        .find(|one| has(*one));
    let shown = instances
        .iter()
        .map(|instance| instance_out(instance, instance.status()));
    ServiceOut {
        name: service.name().to_owned(),
        status: status.unwrap_or(ServiceStatus::Unhealthy),
        latency_ms: None,
        version: None,
        instances: shown.collect(),
        breaker: Some(service.breaker.state().into()),
        last_check: None,
        detail: None,
    }
}

fn instance_out(instance: &Instance, status: ServiceStatus) -> InstanceOut {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an answer time is not negative, and a float's cast saturates"
    )]
    let answer_ms = instance.answer_millis().round() as u64;
    InstanceOut {
        id: instance.id().to_owned(),
        url: instance.address().url(),
        status,
        ejected: instance.is_ejected(),
        in_flight: instance.in_flight(),
        answer_ms,
    }
}
