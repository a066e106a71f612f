//! What is written down about each request: one log line, and rate, errors and duration by route and
//! service. Labels are taken from the routing table, never from the request, so that the number of
//! time series stays bounded.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use actix_web::http::{Method, StatusCode};
use metrics::{Counter, Gauge, Histogram, SharedString};

/// The client went away before there was a status; only logs and metrics know this number.
const CLIENT_CLOSED_REQUEST: u16 = 499;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// The client went away.
    Aborted,
    /// The service broke off inside the body.
    Truncated,
    /// All of it was handed to the server.
    Complete,
}

impl Outcome {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Aborted => "client_aborted",
            Self::Truncated => "truncated",
            Self::Complete => "complete",
        }
    }
}

/// What requests are counted by.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Labels {
    method: &'static str,
    route: Arc<str>,
    service: SharedString,
    status: u16,
}

/// The time series of some labels. Finding them by name anew costs more than all that is written to them.
struct Series {
    requests: Counter,
    duration: Histogram,
    /// There is none as long as no service was asked.
    upstream: Option<Histogram>,
}

thread_local! {
    /// As many as there are in `/metrics`: labels are bounded.
    static SERIES: RefCell<HashMap<Labels, Series>> = RefCell::default();
    static IN_FLIGHT: Gauge = metrics::gauge!("gateway_requests_in_flight");
}

static UNMATCHED: LazyLock<Arc<str>> = LazyLock::new(|| Arc::from("unmatched"));

impl Series {
    fn of(labels: &Labels) -> Self {
        let (method, service) = (labels.method, &labels.service);
        let route = SharedString::from_shared(Arc::clone(&labels.route));
        Self {
            requests: metrics::counter!(
                "http_requests_total",
                "method" => method, "route" => route.clone(), "service" => service.clone(),
                "status" => labels.status.to_string()
            ),
            duration: metrics::histogram!(
                "http_request_duration_seconds",
                "method" => method, "route" => route, "service" => service.clone()
            ),
            upstream: None,
        }
    }
}

/// A request under way; written down when it is dropped.
pub(crate) struct Record {
    /// The status is told when it is known.
    labels: Labels,
    request_id: String,
    started: Instant,
    upstream: Option<Duration>,
    bytes: u64,
    outcome: Outcome,
}

impl Record {
    pub(crate) fn start(method: &Method, request_id: String) -> Self {
        IN_FLIGHT.with(|gauge| gauge.increment(1.0));
        Self {
            labels: Labels {
                method: label(method),
                route: Arc::clone(&UNMATCHED),
                service: SharedString::const_str("gateway"),
                status: CLIENT_CLOSED_REQUEST,
            },
            request_id,
            started: Instant::now(),
            upstream: None,
            bytes: 0,
            outcome: Outcome::Aborted,
        }
    }

    /// The route it took, and whose it is.
    pub(crate) fn set_route(&mut self, route: Arc<str>, service: SharedString) {
        self.labels.route = route;
        self.labels.service = service;
    }

    pub(crate) fn set_status(&mut self, status: StatusCode) {
        self.labels.status = status.as_u16();
    }

    /// How long the service took until the head of its answer.
    pub(crate) fn set_upstream(&mut self, duration: Duration) {
        self.upstream = Some(duration);
    }

    pub(crate) fn add_bytes(&mut self, count: usize) {
        self.bytes = self.bytes.saturating_add(count as u64);
    }

    pub(crate) fn complete(&mut self) {
        self.outcome = Outcome::Complete;
    }

    pub(crate) fn truncated(&mut self) {
        self.outcome = Outcome::Truncated;
    }

    fn measure(&self, elapsed: Duration) {
        SERIES.with_borrow_mut(|all| {
            if !all.contains_key(&self.labels) {
                all.insert(self.labels.clone(), Series::of(&self.labels));
            }
            let Some(series) = all.get_mut(&self.labels) else {
                return;
            };
            series.requests.increment(1);
            series.duration.record(elapsed.as_secs_f64());
            if let Some(upstream) = self.upstream {
                let service = || self.labels.service.clone();
                let series = series.upstream.get_or_insert_with(
                    || metrics::histogram!("gateway_upstream_duration_seconds", "service" => service()),
                );
                series.record(upstream.as_secs_f64());
            }
        });
        if self.outcome != Outcome::Complete {
            let (service, outcome) = (self.labels.service.clone(), self.outcome.as_str());
            metrics::counter!("gateway_broken_answers_total", "service" => service, "outcome" => outcome)
                .increment(1);
        }
    }

    fn log(&self, elapsed: Duration) {
        let duration_ms = whole_millis(elapsed);
        let upstream_ms = self.upstream.map(whole_millis);
        let (route, outcome) = (self.labels.route.as_ref(), self.outcome.as_str());
        // The levels of tracing are constants of the call site.
        macro_rules! line {
            ($level:ident) => {
                tracing::$level!(
                    http.method = self.labels.method,
                    http.route = route,
                    http.status = self.labels.status,
                    http.response_bytes = self.bytes,
                    upstream.service = &*self.labels.service,
                    upstream_ms,
                    duration_ms,
                    outcome,
                    request.id = self.request_id,
                    "request"
                )
            };
        }
        match route {
            "/health" | "/ready" | "/metrics" => line!(debug),
            _ => line!(info),
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        IN_FLIGHT.with(|gauge| gauge.decrement(1.0));
        let elapsed = self.started.elapsed();
        self.measure(elapsed);
        self.log(elapsed);
    }
}

fn whole_millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Methods are a client's choice; unknown ones share a label.
fn label(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}
