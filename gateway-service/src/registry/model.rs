//! The registry's JSON.

use std::collections::BTreeMap;
use std::time::Duration;

use common::auth::{Operator, access};
use common::error::ApiError;
use common::extract::Faults;
use common::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::entry::{
    Check, CheckKind, CheckStatus, Entry, MAX_ENTRIES, MAX_METADATA_BYTES, Registration, is_id,
    is_service_name,
};
use crate::directory::{Address, AddressGuard};
use crate::status::ServiceStatus;

/// The lease of an instance that does not ask for another one, in milliseconds.
const DEFAULT_TTL_MS: u64 = 30_000;
/// The shortest and the longest lease, in milliseconds.
const TTL_MS: std::ops::RangeInclusive<u64> = 1_000..=3_600_000;
/// The largest weight.
const MAX_WEIGHT: u32 = 100;
/// Time between two checks of an instance that registers a health URL.
const CHECK_PERIOD: Duration = Duration::from_secs(1);
/// Longest wait for the answer to one.
const CHECK_TIMEOUT: Duration = Duration::from_millis(800);

/// The id of the check that holds an instance's lease, and of the one of its health URL.
const LEASE: &str = "lease";
const HEALTH: &str = "health";

/// An instance of a service, as it is registered.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RegistrationIn {
    /// Letters, digits, `-`, `_` and `.`; at most 63.
    pub(crate) service_name: String,
    /// `http://host:port`, in an allowed network.
    base_url: String,
    /// Asked every second; without it the lease alone says that the instance works.
    health_check_url: Option<String>,
    /// An object; at most 64 entries and 8 KiB.
    #[serde(default)]
    #[schema(value_type = Object)]
    metadata: BTreeMap<String, Value>,
    /// Unique within the service; made from the host and port when it is absent.
    instance_id: Option<String>,
    /// The instance is removed when no heartbeat comes for so long: 1,000 to 3,600,000, by default
    /// 30,000.
    ttl_ms: Option<u64>,
    /// Its share of the traffic relative to the other instances: 1 to 100, by default 1.
    weight: Option<u32>,
}

impl RegistrationIn {
    /// What is registered, if all of it is acceptable.
    ///
    /// # Errors
    /// 422 with every field that is not.
    pub(crate) async fn check(self, guard: &AddressGuard) -> Result<Registration, ApiError> {
        let mut faults = Faults::default();
        faults.require(
            is_service_name(&self.service_name),
            "service_name",
            "invalid_name",
            "must be 1 to 63 letters, digits, '-', '_' or '.', beginning with a letter or digit",
        );
        let address = Address::parse(&self.base_url);
        check_address(&mut faults, "base_url", address.as_ref().ok(), guard).await;
        if let Some(url) = &self.health_check_url {
            let checked = Address::parse_with_path(url).map(|(address, _)| address);
            check_address(
                &mut faults,
                "health_check_url",
                checked.as_ref().ok(),
                guard,
            )
            .await;
        }
        check_metadata(&mut faults, "metadata", &self.metadata);
        let made = address
            .as_ref()
            .map(|address| address.authority().replace(['[', ']'], ""));
        let instance_id = self.instance_id.or(made.ok()).unwrap_or_default();
        let detail = "must be 1 to 128 letters, digits or characters of -_.:@#";
        faults.require(is_id(&instance_id), "instance_id", "invalid_id", detail);
        let ttl_ms = self.ttl_ms.unwrap_or(DEFAULT_TTL_MS);
        let detail = "must be from 1000 to 3600000";
        faults.require(TTL_MS.contains(&ttl_ms), "ttl_ms", "out_of_range", detail);
        let weight = self.weight.unwrap_or(1);
        let fits = (1..=MAX_WEIGHT).contains(&weight);
        faults.require(fits, "weight", "out_of_range", "must be from 1 to 100");
        faults.into_result()?;
        let mut checks = vec![lease(Duration::from_millis(ttl_ms))];
        checks.extend(self.health_check_url.map(health));
        Ok(Registration {
            service: self.service_name,
            instance_id,
            base_url: self.base_url.trim_end_matches('/').to_owned(),
            metadata: self.metadata,
            tags: Vec::new(),
            weight,
            checks,
        })
    }
}

/// Reports an address that is none, or that the guard does not admit. A name that stands for nothing
/// now may stand for something later: it is checked again before each connection.
pub(super) async fn check_address(
    faults: &mut Faults,
    field: &str,
    address: Option<&Address>,
    guard: &AddressGuard,
) {
    let Some(address) = address else {
        let detail = "must be an http:// URL; base_url without a path";
        return faults.add(field, "invalid_url", detail);
    };
    let refused = match guard.check(address) {
        Err(refused) => Some(refused.to_string()),
        Ok(()) => match guard.resolve(address).await {
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                Some(error.to_string())
            }
            _ => None,
        },
    };
    if let Some(detail) = refused {
        faults.add(field, "address_not_allowed", detail);
    }
}

pub(super) fn check_metadata(faults: &mut Faults, field: &str, metadata: &BTreeMap<String, Value>) {
    let bytes = serde_json::to_vec(metadata).map_or(usize::MAX, |text| text.len());
    faults.require(
        metadata.len() <= MAX_ENTRIES && bytes <= MAX_METADATA_BYTES,
        field,
        "too_large",
        "at most 64 entries and 8 KiB",
    );
    // PostgreSQL stores no NUL in a text.
    let clean = !String::from_utf8(serde_json::to_vec(metadata).unwrap_or_default())
        .unwrap_or_default()
        .contains("\\u0000");
    faults.require(clean, field, "control_character", "must not hold NUL");
}

fn lease(ttl: Duration) -> Check {
    Check {
        id: LEASE.to_owned(),
        name: "heartbeats".to_owned(),
        kind: CheckKind::Lease,
        url: None,
        period: ttl,
        timeout: None,
        remove_after: None,
        status: CheckStatus::Passing,
        output: String::new(),
        expires_at: None,
        change_index: 0,
    }
}

fn health(url: String) -> Check {
    Check {
        id: HEALTH.to_owned(),
        name: "health URL".to_owned(),
        kind: CheckKind::Http,
        url: Some(url),
        period: CHECK_PERIOD,
        timeout: Some(CHECK_TIMEOUT),
        remove_after: None,
        status: CheckStatus::Unknown,
        output: String::new(),
        expires_at: None,
        change_index: 0,
    }
}

/// A lease.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct LeaseOut {
    /// Its length from each heartbeat on, in milliseconds.
    pub(crate) ttl_ms: u64,
    /// When the instance is removed if no heartbeat comes before.
    pub(crate) expires_at: Timestamp,
}

impl LeaseOut {
    pub(crate) fn of((ttl, expires_at): (Duration, Timestamp)) -> Self {
        Self {
            ttl_ms: u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX),
            expires_at,
        }
    }
}

/// An instance.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct RegisteredOut {
    service_name: String,
    instance_id: String,
    base_url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    health_check_url: Option<String>,
    #[schema(value_type = Object)]
    metadata: BTreeMap<String, Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<String>,
    weight: u32,
    status: ServiceStatus,
    /// What the failing check said.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    registered_at: Timestamp,
    /// The name of a service, or the id of an account.
    registered_by: String,
    /// Absent for an instance that needs no heartbeats.
    #[serde(skip_serializing_if = "Option::is_none")]
    lease: Option<LeaseOut>,
    /// Grows with each change of the instance.
    revision: u64,
}

impl From<&Entry> for RegisteredOut {
    fn from(entry: &Entry) -> Self {
        let url = entry.checks.iter().find_map(|check| check.url.clone());
        let bad = entry
            .checks
            .iter()
            .filter(|check| check.status == CheckStatus::Critical);
        let details: Vec<String> = bad
            .map(|check| format!("{}: {}", check.name, check.output))
            .collect();
        let revisions = entry.checks.iter().map(|check| check.change_index);
        Self {
            service_name: entry.service.clone(),
            instance_id: entry.instance_id.clone(),
            base_url: entry.base_url.clone(),
            health_check_url: url,
            metadata: entry.metadata.clone(),
            tags: entry.tags.clone(),
            weight: entry.weight,
            status: entry.status(),
            detail: (!details.is_empty()).then(|| details.join("; ")),
            registered_at: entry.registered_at,
            registered_by: entry.registered_by.clone(),
            lease: entry.lease().map(LeaseOut::of),
            revision: revisions.fold(entry.change_index, u64::max),
        }
    }
}

/// A service and its instances.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct DiscoveredOut {
    service_name: String,
    /// HEALTHY when some instance is, UNHEALTHY when all are not.
    status: ServiceStatus,
    instances: Vec<RegisteredOut>,
}

impl DiscoveredOut {
    pub(crate) fn of(service: &str, entries: &[&Entry]) -> Self {
        Self {
            service_name: service.to_owned(),
            status: overall(entries.iter().map(|entry| entry.status())),
            instances: entries
                .iter()
                .map(|entry| RegisteredOut::from(*entry))
                .collect(),
        }
    }
}

/// Every registered service.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct DiscoveredListOut {
    pub(crate) items: Vec<DiscoveredOut>,
    /// Always null: the list is given as a whole.
    pub(crate) next_cursor: Option<String>,
    /// The number of the last change; where a watch may begin.
    pub(crate) index: u64,
}

/// How one service is.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct ServiceHealthOut {
    service_name: String,
    status: ServiceStatus,
    /// Instances that are not UNHEALTHY.
    usable: usize,
    instances: usize,
}

impl ServiceHealthOut {
    pub(crate) fn of(service: &str, entries: &[&Entry]) -> Self {
        let usable = entries
            .iter()
            .filter(|entry| entry.status() != ServiceStatus::Unhealthy);
        Self {
            service_name: service.to_owned(),
            status: overall(entries.iter().map(|entry| entry.status())),
            usable: usable.count(),
            instances: entries.len(),
        }
    }
}

/// How all registered services are.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct DiscoveryHealthOut {
    /// HEALTHY when every service is, or there is none.
    status: ServiceStatus,
    services: Vec<ServiceHealthOut>,
}

impl DiscoveryHealthOut {
    pub(crate) fn of(services: Vec<ServiceHealthOut>) -> Self {
        let worst = [ServiceStatus::Unhealthy, ServiceStatus::Unknown]
            .into_iter()
            .find(|status| services.iter().any(|service| service.status == *status));
        Self {
            status: worst.unwrap_or(ServiceStatus::Healthy),
            services,
        }
    }
}

/// The best of several.
fn overall(statuses: impl Iterator<Item = ServiceStatus>) -> ServiceStatus {
    let mut best = ServiceStatus::Unhealthy;
    for status in statuses {
        best = match (best, status) {
            (_, ServiceStatus::Healthy) | (ServiceStatus::Healthy, _) => ServiceStatus::Healthy,
            (_, ServiceStatus::Unknown) | (ServiceStatus::Unknown, _) => ServiceStatus::Unknown,
            _ => ServiceStatus::Unhealthy,
        };
    }
    best
}

/// One thing that happened, as those who watch are told.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct ChangeOut {
    pub(crate) index: u64,
    pub(crate) service_name: String,
    pub(crate) instance_id: String,
    /// The status after it; absent when the instance is gone or was just registered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) status: Option<String>,
    pub(crate) happened_at: Timestamp,
}

macro_rules! documented {
    ($($(#[$($meta:tt)*])* fn $name:ident($($guard:ty)?);)+) => {$(
        $(#[$($meta)*])*
        #[expect(dead_code, reason = "carries the endpoint's documentation; api.rs serves it")]
        fn $name($(_caller: $guard)?) {}
    )+};
}

documented! {
    /// Every registered service with its instances. Needs a service identity or `system:operate`.
    #[access(chain)]
    #[utoipa::path(get, path = "/api/discovery/services", tag = "discovery",
        responses((status = 200, body = DiscoveredListOut)))]
    fn list_services(Operator);

    /// Registers an instance. Repeating it renews the lease. Needs a service identity or
    /// `system:operate`; the names of Maru's own services belong to these.
    #[access(chain)]
    #[utoipa::path(post, path = "/api/discovery/services", tag = "discovery",
        request_body = RegistrationIn,
        responses((status = 201, body = RegisteredOut, description = "Registered"),
                  (status = 200, body = RegisteredOut, description = "Known already"),
                  (status = 409, description = "The registry is full"),
                  (status = 422, description = "Some fields are not acceptable")))]
    fn register(Operator);

    /// One service with its instances.
    #[access(chain)]
    #[utoipa::path(get, path = "/api/discovery/services/{name}", tag = "discovery",
        params(("name" = String, Path)),
        responses((status = 200, body = DiscoveredOut), (status = 404)))]
    fn get_service(Operator);

    /// Removes every instance of a service. Requests under way end as they would have.
    #[access(chain)]
    #[utoipa::path(delete, path = "/api/discovery/services/{name}", tag = "discovery",
        params(("name" = String, Path)),
        responses((status = 204), (status = 404)))]
    fn deregister_service(Operator);

    /// Removes one instance.
    #[access(chain)]
    #[utoipa::path(delete, path = "/api/discovery/services/{name}/instances/{id}",
        tag = "discovery", params(("name" = String, Path), ("id" = String, Path)),
        responses((status = 204), (status = 404)))]
    fn deregister_instance(Operator);

    /// Renews an instance's lease.
    #[access(chain)]
    #[utoipa::path(put, path = "/api/discovery/services/{name}/instances/{id}/heartbeat",
        tag = "discovery", params(("name" = String, Path), ("id" = String, Path)),
        responses((status = 200, body = LeaseOut),
                  (status = 404, description = "Not registered, or no longer")))]
    fn heartbeat(Operator);

    /// How all registered services are. Needs no permission; shows no addresses.
    #[access(public)]
    #[utoipa::path(get, path = "/api/discovery/health", tag = "discovery",
        responses((status = 200, body = DiscoveryHealthOut)))]
    fn discovery_health();

    /// What happens, as server-sent events: `registered`, `changed`, `status`, `deregistered`,
    /// `expired`, and `reset` when events were missed that are no longer kept. A client that comes
    /// back with `Last-Event-ID` misses nothing.
    #[access(chain)]
    #[utoipa::path(get, path = "/api/discovery/watch", tag = "discovery",
        responses((status = 200, body = ChangeOut, content_type = "text/event-stream")))]
    fn watch_services(Operator);
}

/// The registry's part of the OpenAPI document.
#[derive(utoipa::OpenApi)]
#[openapi(paths(
    list_services,
    register,
    get_service,
    deregister_service,
    deregister_instance,
    heartbeat,
    discovery_health,
    watch_services
))]
pub(crate) struct DiscoveryApi;
