//! What a call ends with.

use std::time::Duration;

use bytes::Bytes;
use common::auth::TokenSourceError;
use common::error::{ApiError, Problem};
use reqwest::StatusCode;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use serde::de::DeserializeOwned;

use crate::breaker::CircuitOpen;
use crate::bulkhead::BulkheadFull;
use crate::deadline::DeadlineExceeded;

/// What clients are told to wait when a neighbour does not say how long.
const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(1);

/// A whole answer, whatever its status.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Answer {
    /// Reads the body as JSON.
    ///
    /// # Errors
    /// When the body is something else.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, CallError> {
        serde_json::from_slice(&self.body).map_err(CallError::Unreadable)
    }

    /// This answer, if its status is a 2xx.
    ///
    /// # Errors
    /// [`CallError::Refused`] otherwise, with the problem that the body describes, if it does.
    pub fn success(self) -> Result<Self, CallError> {
        if self.status.is_success() {
            return Ok(self);
        }
        Err(CallError::Refused {
            status: self.status,
            problem: serde_json::from_slice(&self.body).ok(),
            retry_after: self.retry_after(),
        })
    }

    /// `Retry-After` in its form of whole seconds (RFC 9110, section 10.2.3).
    pub(super) fn retry_after(&self) -> Option<Duration> {
        let text = self.headers.get(RETRY_AFTER)?.to_str().ok()?;
        text.trim().parse().ok().map(Duration::from_secs)
    }
}

/// Why there is no usable answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The call cannot be made as it was described.
    #[error("the call is malformed")]
    Malformed(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The neighbour has been failing; nothing was sent.
    #[error("the neighbour has been failing")]
    CircuitOpen(#[from] CircuitOpen),
    /// Too many calls to this neighbour are under way; nothing was sent.
    #[error("too many calls to the neighbour are under way")]
    Overloaded(#[from] BulkheadFull),
    /// No service token could be had; nothing was sent.
    #[error("no token for the call")]
    Token(#[from] TokenSourceError),
    /// There was no connection; nothing was sent.
    #[error("the neighbour cannot be reached")]
    Unreachable(#[source] reqwest::Error),
    /// The exchange broke off; whether the call took effect is unknown.
    #[error("the exchange with the neighbour broke off")]
    Interrupted(#[source] reqwest::Error),
    /// The time was up; whether the call took effect is unknown.
    #[error("the neighbour did not answer in time")]
    TimedOut(#[from] DeadlineExceeded),
    /// The answer is larger than allowed.
    #[error("the answer exceeds {max_bytes} bytes")]
    AnswerTooLarge {
        /// What is allowed.
        max_bytes: usize,
    },
    /// The answer is not what was expected.
    #[error("the answer cannot be read")]
    Unreadable(#[source] serde_json::Error),
    /// The neighbour answered with an error status.
    #[error("the neighbour answered {status}")]
    Refused {
        /// The status.
        status: StatusCode,
        /// What the body says, if it is a problem.
        problem: Option<Box<Problem>>,
        /// When it wants to be asked again.
        retry_after: Option<Duration>,
    },
}

impl CallError {
    /// Whether it is certain that the neighbour did not see the call.
    #[must_use]
    pub const fn is_unsent(&self) -> bool {
        matches!(
            self,
            Self::Malformed(_)
                | Self::CircuitOpen(_)
                | Self::Overloaded(_)
                | Self::Token(_)
                | Self::Unreachable(_)
        )
    }

    /// The status of a refusal.
    #[must_use]
    pub const fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// The stable code of a refusal.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Refused { problem, .. } => problem.as_ref().map(|problem| problem.code.as_str()),
            _ => None,
        }
    }
}

/// For callers to whom every failure is the same: 503, or 500 when we asked wrongly. The cause goes
/// to the log.
impl From<CallError> for ApiError {
    fn from(error: CallError) -> Self {
        let retry_after = match &error {
            CallError::Malformed(_) | CallError::Unreadable(_) => return Self::internal(error),
            CallError::Refused { status, .. }
                if status.is_client_error() && *status != StatusCode::TOO_MANY_REQUESTS =>
            {
                return Self::internal(error);
            }
            CallError::Refused { retry_after, .. } => retry_after.unwrap_or(DEFAULT_RETRY_AFTER),
            CallError::CircuitOpen(open) => open.retry_after,
            _ => DEFAULT_RETRY_AFTER,
        };
        Self::unavailable("dependency_unavailable", retry_after).with_cause(error)
    }
}
