//! One place where a service runs, and what this gateway has seen of it.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use metrics::{Counter, Histogram, SharedString};
use tokio::time::Instant;

use super::address::Address;
use super::policy::Policy;
use crate::balance::{Candidate, Outlier, PeakEwma};
use crate::status::ServiceStatus;

/// The share of its traffic that a new instance starts with.
const FIRST_SHARE: f64 = 0.1;

/// An instance. Workers and lists share it, so that what is known of it survives changes of lists.
#[derive(Debug)]
pub(crate) struct Instance {
    id: Arc<str>,
    address: Address,
    label: SharedString,
    series: OnceLock<Series>,
    weight: AtomicU32,
    status: AtomicU8,
    refuses_work: AtomicBool,
    in_flight: AtomicU64,
    since: Instant,
    seen: Mutex<Seen>,
}

/// The time series that nearly every request to an instance is written to.
#[derive(Debug)]
pub(crate) struct Series {
    /// Requests that it answered.
    pub(crate) answered: Counter,
    /// How long they took until the head of the answer, in seconds.
    pub(crate) duration: Histogram,
}

#[derive(Debug)]
struct Seen {
    ewma: PeakEwma,
    outlier: Outlier,
}

impl Instance {
    pub(super) fn new(id: &str, address: Address, label: SharedString, policy: &Policy) -> Self {
        let ewma = PeakEwma::try_new(policy.ewma).expect("policies are checked when they are read");
        Self {
            id: id.into(),
            address,
            label,
            series: OnceLock::new(),
            weight: AtomicU32::new(1),
            status: AtomicU8::new(code_of(ServiceStatus::Unknown)),
            refuses_work: AtomicBool::new(false),
            in_flight: AtomicU64::new(0),
            since: Instant::now(),
            seen: Mutex::new(Seen {
                ewma,
                outlier: Outlier::default(),
            }),
        }
    }

    /// Its id, unique within the service.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// Where it listens.
    pub(crate) const fn address(&self) -> &Address {
        &self.address
    }

    /// Its name in time series.
    pub(crate) fn label(&self) -> SharedString {
        self.label.clone()
    }

    /// Its time series, as an instance of the service of this name.
    pub(crate) fn series(&self, service: impl FnOnce() -> SharedString) -> &Series {
        self.series.get_or_init(|| {
            let (service, instance) = (service(), self.label());
            Series {
                answered: metrics::counter!(
                    "gateway_instance_requests_total", "service" => service.clone(),
                    "instance" => instance.clone(), "outcome" => "answered"
                ),
                duration: metrics::histogram!(
                    "gateway_instance_duration_seconds", "service" => service, "instance" => instance
                ),
            }
        })
    }

    pub(super) fn set_weight(&self, weight: u32) {
        self.weight.store(weight.max(1), Ordering::Relaxed);
    }

    pub(super) fn weight(&self) -> u32 {
        self.weight.load(Ordering::Relaxed)
    }

    /// What the registry says.
    pub(crate) fn status(&self) -> ServiceStatus {
        status_of(self.status.load(Ordering::Relaxed))
    }

    /// Takes over what the registry says; `true` when it works again after it did not.
    pub(super) fn set_status(&self, status: ServiceStatus) -> bool {
        let before = status_of(self.status.swap(code_of(status), Ordering::Relaxed));
        let back = status == ServiceStatus::Healthy && before == ServiceStatus::Unhealthy;
        if back {
            let mut seen = self.seen();
            seen.outlier.readmit();
            seen.ewma.reset();
        }
        back
    }

    /// Whether it is unhealthy by its own word. One that does not answer in time is still tried:
    /// slow is not broken, and there may be no other instance to turn to.
    pub(crate) fn refuses_work(&self) -> bool {
        self.refuses_work.load(Ordering::Relaxed)
    }

    pub(crate) fn set_refuses_work(&self, refuses: bool) {
        self.refuses_work.store(refuses, Ordering::Relaxed);
    }

    /// Whether it may be asked.
    pub(crate) fn is_usable(&self) -> bool {
        self.is_willing() && !self.is_ejected()
    }

    /// Whether it works by its checks and its own word, whatever became of requests to it.
    pub(super) fn is_willing(&self) -> bool {
        self.status() != ServiceStatus::Unhealthy && !self.refuses_work()
    }

    /// Whether it is left alone for a while because it failed.
    pub(crate) fn is_ejected(&self) -> bool {
        let mut seen = self.seen();
        if seen.outlier.readmit_if_due() {
            // Its failures are paid for; what it does now counts.
            seen.ewma.reset();
        }
        seen.outlier.is_ejected()
    }

    pub(super) fn candidate(&self, place: usize, slow_start: Duration) -> Candidate {
        Candidate {
            place,
            millis: self.seen().ewma.current(),
            in_flight: self.in_flight(),
            share: f64::from(self.weight()) * self.started_share(slow_start),
        }
    }

    /// From a tenth to all of its share while it starts.
    fn started_share(&self, slow_start: Duration) -> f64 {
        let age = self.since.elapsed();
        match age < slow_start {
            true => (age.as_secs_f64() / slow_start.as_secs_f64()).max(FIRST_SHARE),
            false => 1.0,
        }
    }

    /// Requests under way at it.
    pub(crate) fn in_flight(&self) -> u64 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Its average answer time, in milliseconds.
    pub(crate) fn answer_millis(&self) -> f64 {
        self.seen().ewma.current()
    }

    pub(super) fn begin(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(Arc::clone(self))
    }

    pub(super) fn answered(&self, took: Duration) {
        let mut seen = self.seen();
        seen.ewma.answered(took);
        seen.outlier.succeeded();
    }

    /// An answer that says nothing of its health, such as "too many requests" of one client, and
    /// attracts nothing however quick it was.
    pub(super) fn refused(&self, retry_after: Option<Duration>) {
        self.seen().ewma.failed(retry_after);
    }

    /// A failure; `true` when it should be ejected.
    pub(super) fn failed(
        &self,
        fault: crate::balance::Fault,
        retry_after: Option<Duration>,
        policy: &Policy,
    ) -> bool {
        let mut seen = self.seen();
        seen.ewma.failed(retry_after);
        seen.outlier.failed(&policy.outlier, fault)
    }

    pub(super) fn eject(&self, policy: &Policy) -> Duration {
        self.seen().outlier.eject(&policy.outlier)
    }

    /// No code panics while it holds this; if one did, the numbers are still whole.
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request under way at an instance, until this is dropped.
#[derive(Debug)]
pub(crate) struct InFlight(Arc<Instance>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

const fn code_of(status: ServiceStatus) -> u8 {
    match status {
        ServiceStatus::Unknown => 0,
        ServiceStatus::Healthy => 1,
        ServiceStatus::Unhealthy => 2,
    }
}

const fn status_of(code: u8) -> ServiceStatus {
    match code {
        1 => ServiceStatus::Healthy,
        2 => ServiceStatus::Unhealthy,
        _ => ServiceStatus::Unknown,
    }
}
