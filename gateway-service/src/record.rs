//! What is written down about each request: one log line, and rate, errors and duration by route and
//! service. Labels are taken from the routing table, never from the request, so that the number of
//! time series stays bounded.

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::http::{Method, StatusCode};
use metrics::SharedString;

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

/// A request under way; written down when it is dropped.
pub(crate) struct Record {
    method: &'static str,
    route: Arc<str>,
    service: SharedString,
    request_id: String,
    status: Option<StatusCode>,
    started: Instant,
    upstream: Option<Duration>,
    bytes: u64,
    outcome: Outcome,
}

impl Record {
    pub(crate) fn start(method: &Method, request_id: String) -> Self {
        metrics::gauge!("gateway_requests_in_flight").increment(1.0);
        Self {
            method: label(method),
            route: Arc::from("unmatched"),
            service: SharedString::const_str("gateway"),
            request_id,
            status: None,
            started: Instant::now(),
            upstream: None,
            bytes: 0,
            outcome: Outcome::Aborted,
        }
    }

    /// The route it took, and whose it is.
    pub(crate) fn set_route(&mut self, route: Arc<str>, service: SharedString) {
        self.route = route;
        self.service = service;
    }

    pub(crate) fn set_status(&mut self, status: StatusCode) {
        self.status = Some(status);
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

    fn measure(&self, status: u16) {
        let route = self.route.as_ref();
        let (method, service) = (self.method, self.service.clone());
        metrics::counter!(
            "http_requests_total",
            "method" => method, "route" => route.to_owned(), "service" => service.clone(),
            "status" => status.to_string()
        )
        .increment(1);
        let elapsed = self.started.elapsed().as_secs_f64();
        metrics::histogram!(
            "http_request_duration_seconds",
            "method" => method, "route" => route.to_owned(), "service" => service.clone()
        )
        .record(elapsed);
        if let Some(upstream) = self.upstream {
            metrics::histogram!("gateway_upstream_duration_seconds", "service" => service.clone())
                .record(upstream.as_secs_f64());
        }
        if self.outcome != Outcome::Complete {
            let outcome = self.outcome.as_str();
            metrics::counter!("gateway_broken_answers_total", "service" => service, "outcome" => outcome)
                .increment(1);
        }
    }

    fn log(&self, status: u16) {
        let duration_ms = whole_millis(self.started.elapsed());
        let upstream_ms = self.upstream.map(whole_millis);
        let (route, outcome) = (self.route.as_ref(), self.outcome.as_str());
        // The levels of tracing are constants of the call site.
        macro_rules! line {
            ($level:ident) => {
                tracing::$level!(
                    http.method = self.method,
                    http.route = route,
                    http.status = status,
                    http.response_bytes = self.bytes,
                    upstream.service = &*self.service,
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
        metrics::gauge!("gateway_requests_in_flight").decrement(1.0);
        let status = self
            .status
            .map_or(CLIENT_CLOSED_REQUEST, |status| status.as_u16());
        self.measure(status);
        self.log(status);
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
