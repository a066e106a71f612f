//! The errors that are answered here, and what a client is told of those behind the gateway.

use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use common::error::ApiError;

use crate::answer::{Content, Draft, close_after, problem, proxy_status, set};
use crate::directory::Service;
use crate::edge::screen::{WEBSOCKET_VERSION, WEBSOCKET_VERSION_CODE};
use crate::proxy::{BadAnswer, NoAnswer, NotForwardable, SendError, Truncated, UploadFault};

/// When to come back to a service that is away: the launcher and the checks need about this long.
pub(crate) const RETRY_AFTER: Duration = Duration::from_secs(1);

/// An error that is answered here.
pub(crate) struct Refusal {
    pub(crate) error: ApiError,
    /// The connection cannot be used again: its next bytes mean nothing.
    pub(crate) closes: bool,
    /// The methods that are offered, for a 405.
    pub(crate) allow: Option<&'static str>,
}

impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Self {
        Self {
            error,
            closes: false,
            allow: None,
        }
    }
}

impl From<Box<Refusal>> for Refusal {
    fn from(refusal: Box<Refusal>) -> Self {
        *refusal
    }
}

impl Refusal {
    pub(crate) fn closing(error: ApiError) -> Self {
        Self {
            closes: true,
            ..error.into()
        }
    }

    pub(crate) fn method_not_allowed(allow: &'static str) -> Self {
        let detail = "This method is not offered here.";
        let status = StatusCode::METHOD_NOT_ALLOWED;
        Self {
            allow: Some(allow),
            ..ApiError::new(status, "method_not_allowed", detail).into()
        }
    }

    /// The answer. Must run inside the request's context.
    pub(crate) fn into_draft(self) -> Draft {
        let mut draft = problem(&self.error);
        let status = proxy_status(self.error.status(), self.error.code());
        set(&mut draft, "proxy-status", status);
        if let Some(allow) = self.allow {
            set(&mut draft, "allow", allow);
        }
        if self.error.code() == WEBSOCKET_VERSION_CODE {
            set(&mut draft, "sec-websocket-version", WEBSOCKET_VERSION);
            set(&mut draft, "upgrade", "websocket");
        }
        if self.closes {
            close_after(&mut draft);
        }
        draft
    }
}

/// Why there is nothing to pass on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoDraft {
    #[error(transparent)]
    NoAnswer(#[from] NoAnswer),
    #[error(transparent)]
    BadAnswer(#[from] BadAnswer),
    #[error(transparent)]
    Truncated(#[from] Truncated),
}

/// 400 for a request that cannot be written anew.
pub(crate) fn not_forwardable(fault: NotForwardable) -> Refusal {
    let detail = "The request cannot be passed on as it is.";
    Refusal::closing(ApiError::malformed("not_forwardable", detail).with_cause(fault))
}

/// 503 for a stream beyond what its connection may have. It has no body, which would have to wait for a
/// client that takes nothing.
pub(crate) fn too_many_streams() -> Draft {
    let status = StatusCode::SERVICE_UNAVAILABLE;
    let mut draft = HttpResponse::with_body(status, Content::Empty);
    set(&mut draft, "retry-after", "1");
    set(
        &mut draft,
        "proxy-status",
        "maru; error=connection_limit_reached",
    );
    draft
}

/// 413.
pub(crate) fn too_large(max_bytes: u64) -> Refusal {
    Refusal::closing(ApiError::too_large(
        usize::try_from(max_bytes).unwrap_or(usize::MAX),
    ))
}

fn count_failure(service: &Service, kind: &'static str) {
    metrics::counter!("gateway_upstream_failures_total", "service" => service.label(), "kind" => kind)
        .increment(1);
}

/// 502.
pub(crate) fn bad_gateway(
    cause: impl std::error::Error + Send + Sync + 'static,
    service: &Service,
) -> Refusal {
    count_failure(service, "bad_answer");
    let detail = "The service broke off or gave an answer that cannot be passed on.";
    let error = ApiError::new(StatusCode::BAD_GATEWAY, "bad_gateway", detail);
    error.with_cause(cause).into()
}

/// What a client is told when its request has no answer.
pub(crate) fn refusal_of(error: NoDraft, service: &Service) -> Refusal {
    let error = match error {
        NoDraft::NoAnswer(error) => error,
        NoDraft::BadAnswer(fault) => return bad_gateway(fault, service),
        NoDraft::Truncated(fault) => return bad_gateway(fault, service),
    };
    let unavailable = |kind, code, after| {
        count_failure(service, kind);
        ApiError::unavailable(code, after)
    };
    match error {
        NoAnswer::NoInstance => unavailable("no_instance", "service_unhealthy", RETRY_AFTER).into(),
        NoAnswer::CircuitOpen(left) => unavailable("circuit_open", "circuit_open", left).into(),
        NoAnswer::Overloaded => unavailable("overloaded", "service_overloaded", RETRY_AFTER).into(),
        NoAnswer::DeadlinePassed => {
            count_failure(service, "deadline");
            let detail = "The deadline of the request passed before there was an answer.";
            ApiError::new(StatusCode::GATEWAY_TIMEOUT, "deadline_exceeded", detail).into()
        }
        NoAnswer::Send(error @ SendError::Unreachable(_)) => {
            let error =
                unavailable("unreachable", "service_unavailable", RETRY_AFTER).with_cause(error);
            error.into()
        }
        NoAnswer::Send(error @ SendError::TimedOut(_)) => {
            count_failure(service, "timeout");
            let detail = "The service did not answer in time; what it did is not known.";
            let status = StatusCode::GATEWAY_TIMEOUT;
            ApiError::new(status, "gateway_timeout", detail)
                .with_cause(error)
                .into()
        }
        NoAnswer::Send(error @ SendError::Broken(_)) => bad_gateway(error, service),
        NoAnswer::Send(SendError::Upload(fault)) => upload_refusal(fault),
        NoAnswer::Tunnel(fault) => bad_gateway(fault, service),
    }
}

/// What a client is told whose request's body did not arrive.
pub(crate) fn upload_refusal(fault: UploadFault) -> Refusal {
    match fault {
        UploadFault::TooLarge(max_bytes) => too_large(max_bytes),
        UploadFault::Stalled => {
            let detail = "The body did not arrive in time.";
            let status = StatusCode::REQUEST_TIMEOUT;
            Refusal::closing(ApiError::new(status, "body_timeout", detail))
        }
        UploadFault::Malformed | UploadFault::Disconnected => {
            let detail = "The body ends early or its encoding is broken.";
            Refusal::closing(ApiError::malformed("broken_body", detail))
        }
    }
}
