//! Use-case errors, and what a client sees of them.

use std::time::Duration;

use ::store::StoreError;
use common::error::ApiError;

use crate::domain::intent::IllegalTransition;
use crate::domain::ledger::NotABooking;
use crate::domain::payment::RefundFault;
use crate::provider::ProviderError;

/// Why a use case did not happen.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UseCaseError {
    /// There is no such payment, or the caller may not know of it.
    #[error("there is no such payment")]
    NotFound,
    /// The order has a payment over another amount, store or method.
    #[error("the order is being paid on other terms")]
    OtherTerms,
    /// The refund is not possible.
    #[error(transparent)]
    Refund(#[from] RefundFault),
    /// The provider cannot be asked.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// What the provider said contradicts what is stored. Nothing is changed.
    #[error("the provider contradicts what is known of the payment")]
    Contradiction(#[from] IllegalTransition),
    /// Rows that contradict each other. Nothing is changed.
    #[error("the payment records are inconsistent: {0}")]
    Inconsistent(String),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<NotABooking> for UseCaseError {
    fn from(error: NotABooking) -> Self {
        Self::Inconsistent(error.to_string())
    }
}

impl From<UseCaseError> for ApiError {
    fn from(error: UseCaseError) -> Self {
        match error {
            UseCaseError::NotFound => Self::not_found("payment"),
            UseCaseError::OtherTerms => Self::conflict(
                "other_terms",
                "The order is being paid with another amount, store or method.",
            ),
            UseCaseError::Refund(fault) => refund_error(fault),
            UseCaseError::Provider(_) => {
                Self::unavailable("provider_unavailable", Duration::from_secs(5)).with_cause(error)
            }
            UseCaseError::Contradiction(_) | UseCaseError::Inconsistent(_) => Self::internal(error),
            UseCaseError::Store(error) => error.into(),
        }
    }
}

fn refund_error(fault: RefundFault) -> ApiError {
    match fault {
        RefundFault::NotCaptured(_) => {
            ApiError::conflict("not_captured", "The payment holds no captured money.")
        }
        RefundFault::OrderVoided => ApiError::conflict(
            "order_cancelled",
            "The order is cancelled; what is left of its money goes back on its own.",
        ),
        RefundFault::Currency => ApiError::unprocessable(
            "currency_mismatch",
            "The refund must be in the currency of the payment.",
        ),
        RefundFault::ExceedsCaptured => ApiError::unprocessable(
            "refund_exceeds_captured",
            "More than was captured cannot be refunded.",
        ),
        RefundFault::ExceedsRest { left } => ApiError::conflict(
            "refund_exceeds_rest",
            format!("Only {left} of the payment is left to refund."),
        ),
    }
}
