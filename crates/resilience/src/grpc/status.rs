//! One error type for both protocols.

use std::error::Error as _;

use common::auth::TokenSourceError;
use common::context::current_request_id;
use common::error::{ApiError, ErrorChain};
use tonic::{Code, ConnectError, Status};

use crate::breaker::CircuitOpen;
use crate::bulkhead::BulkheadFull;

/// Whether it is certain that the neighbour did not see the call that ended with this status. False
/// means that it may or may not have taken effect.
#[must_use]
pub fn is_unsent(status: &Status) -> bool {
    let mut source = status.source();
    while let Some(error) = source {
        if error.is::<CircuitOpen>()
            || error.is::<BulkheadFull>()
            || error.is::<TokenSourceError>()
            || error.is::<ConnectError>()
        {
            return true;
        }
        source = error.source();
    }
    false
}

/// The gRPC status of an error. Like over HTTP, the cause goes to the log and not to the caller; the
/// stable code and the explanation do.
#[must_use]
pub fn status_of(error: &ApiError) -> Status {
    let http = error.status().as_u16();
    if let Some(cause) = error.source().filter(|_| http >= 500) {
        tracing::error!(
            error.code = error.code(),
            error.cause = %ErrorChain(cause),
            request.id = current_request_id().unwrap_or_default(),
            "call failed"
        );
    }
    let code = match http {
        400 | 422 => Code::InvalidArgument,
        401 => Code::Unauthenticated,
        403 => Code::PermissionDenied,
        404 => Code::NotFound,
        409 => Code::FailedPrecondition,
        413 | 429 => Code::ResourceExhausted,
        503 => Code::Unavailable,
        _ => Code::Internal,
    };
    let problem = error.to_problem();
    Status::new(code, format!("{}: {}", problem.code, problem.detail))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_cause_stays_here() {
        let status = status_of(&ApiError::internal(std::io::Error::other("disk on fire")));
        assert_eq!(status.code(), Code::Internal);
        assert!(!status.message().contains("fire"));
    }

    #[test]
    fn each_kind_of_error_has_its_code() {
        for (error, code) in [
            (ApiError::malformed("x", "y"), Code::InvalidArgument),
            (ApiError::invalid(Vec::new()), Code::InvalidArgument),
            (
                ApiError::unauthenticated("token_missing"),
                Code::Unauthenticated,
            ),
            (ApiError::forbidden(), Code::PermissionDenied),
            (ApiError::not_found("order"), Code::NotFound),
            (ApiError::conflict("x", "y"), Code::FailedPrecondition),
            (
                ApiError::unavailable("x", Duration::ZERO),
                Code::Unavailable,
            ),
        ] {
            assert_eq!(status_of(&error).code(), code, "{error}");
        }
    }
}
