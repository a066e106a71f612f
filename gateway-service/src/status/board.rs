//! What is known of each service: written by its checker, read by everybody.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use common::clock::Clock;
use common::time::Timestamp;
use tokio::sync::watch;

use super::verdict::{ServiceStatus, Verdict, VerdictParams};
use crate::directory::{Directory, Service};

/// What one check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Finding {
    /// It works; `detail` says what works only in part.
    Good {
        version: String,
        uptime_s: u64,
        detail: Option<String>,
    },
    /// It said itself that it cannot work.
    Refuses { detail: String },
    /// It did not say anything usable.
    Silent { detail: String },
}

#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) service: Arc<Service>,
    pub(super) verdict: Verdict,
    pub(super) version: Option<String>,
    pub(super) latency: Option<Duration>,
    pub(super) last_check: Option<Timestamp>,
    pub(super) detail: Option<String>,
    uptime_s: u64,
    /// Grows when the service comes, comes back or was started again.
    incarnation: u64,
}

/// All services and how they are.
pub(crate) struct Board {
    pub(super) clock: Clock,
    pub(super) directory: Directory,
    entries: Vec<Mutex<Entry>>,
    changes: watch::Sender<u64>,
    own_address: OnceLock<SocketAddr>,
}

impl Board {
    pub(crate) fn new(directory: &Directory, params: VerdictParams, clock: Clock) -> Self {
        let entry = |service: &Arc<Service>| {
            Mutex::new(Entry {
                service: Arc::clone(service),
                verdict: Verdict::new(params),
                version: None,
                latency: None,
                last_check: None,
                detail: None,
                uptime_s: 0,
                incarnation: 0,
            })
        };
        Self {
            clock,
            directory: directory.clone(),
            entries: directory.fixed().map(entry).collect(),
            changes: watch::Sender::new(0),
            own_address: OnceLock::new(),
        }
    }

    /// Says where the gateway itself listens; only the first time counts.
    pub(crate) fn set_own_address(&self, address: SocketAddr) {
        let _known = self.own_address.set(address);
    }

    pub(super) fn own_address(&self) -> Option<SocketAddr> {
        self.own_address.get().copied()
    }

    /// Counts the comings and goings of services.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// The services that work, each with its incarnation.
    pub(crate) fn healthy(&self) -> Vec<(Arc<Service>, u64)> {
        let entries = self.entries().into_iter();
        let healthy = entries.filter(|entry| entry.verdict.status() == ServiceStatus::Healthy);
        healthy
            .map(|entry| (entry.service, entry.incarnation))
            .collect()
    }

    pub(super) fn entries(&self) -> Vec<Entry> {
        self.entries
            .iter()
            .map(|entry| lock(entry).clone())
            .collect()
    }

    /// Writes down what a check of the service found, and gives the status it has now.
    pub(super) fn write(
        &self,
        service: &Service,
        finding: Finding,
        latency: Duration,
    ) -> ServiceStatus {
        let found = self
            .entries
            .iter()
            .find(|entry| lock(entry).service.name() == service.name());
        let Some(mut entry) = found.map(lock) else {
            return ServiceStatus::Unknown;
        };
        let good = matches!(finding, Finding::Good { .. });
        entry.latency = Some(latency);
        entry.last_check = Some(self.clock.now());
        let mut restarted = false;
        match finding {
            Finding::Good {
                version,
                uptime_s,
                detail,
            } => {
                restarted = uptime_s < entry.uptime_s || entry.version.as_ref() != Some(&version);
                entry.version = Some(version);
                entry.uptime_s = uptime_s;
                entry.detail = detail;
            }
            Finding::Refuses { detail } | Finding::Silent { detail } => {
                entry.detail = Some(detail);
            }
        }
        let turned = entry.verdict.observe(good);
        let status = entry.verdict.status();
        if turned && good {
            service.breaker.probe_now();
        }
        if turned || restarted {
            entry.incarnation += 1;
            tracing::info!(service = service.name(), status = ?status, detail = entry.detail, "service status");
        }
        drop(entry);
        let up = if status == ServiceStatus::Healthy {
            1.0
        } else {
            0.0
        };
        metrics::gauge!("gateway_service_healthy", "service" => service.label()).set(up);
        if turned || restarted {
            self.changes.send_modify(|count| *count += 1);
        }
        status
    }
}

/// No code panics while it holds an entry; if one did, the entry is still whole.
fn lock(entry: &Mutex<Entry>) -> MutexGuard<'_, Entry> {
    entry.lock().unwrap_or_else(PoisonError::into_inner)
}
