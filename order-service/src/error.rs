//! Use-case errors, and what a client sees of them.

use std::time::Duration;

use ::store::StoreError;
use common::error::{ApiError, FieldError};
use common::ids::{ItemId, OrderId, StoreId};

use crate::domain::order::IllegalTransition;
use crate::domain::pricing::LineFault;

/// Why a use case did not happen.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UseCaseError {
    /// A store that does not exist, or that is none of the caller's business.
    #[error("there is no store {0}")]
    UnknownStore(StoreId),
    /// An item that does not exist.
    #[error("there is no item {0}")]
    UnknownItem(ItemId),
    /// An order that does not exist, or that is none of the caller's business.
    #[error("there is no order {0}")]
    UnknownOrder(OrderId),
    /// Lines that cannot be sold, by their index.
    #[error("{} lines cannot be sold", .0.len())]
    Lines(Vec<(usize, LineFault)>),
    /// A store with this id and other content exists.
    #[error("store {0} exists with other content")]
    StoreDiffers(StoreId),
    /// Another item has the SKU.
    #[error("another item has the SKU")]
    SkuTaken,
    /// The order is still being placed.
    #[error("the order is still being placed")]
    StillPending,
    /// The order was sold by another system.
    #[error("an imported order has neither money nor stock to give back")]
    Imported,
    /// The saga of the order has nothing to do.
    #[error("the saga of order {0} has ended")]
    SagaEnded(OrderId),
    /// The request with the same key is being answered.
    #[error("the first request with this key is in flight")]
    InFlight,
    /// The key was used with another body, or another problem with it.
    #[error("the idempotency key cannot be used")]
    Idempotency(ApiError),
    /// A change of state that does not exist; a fault of the program.
    #[error(transparent)]
    Transition(#[from] IllegalTransition),
    /// Rows that contradict each other. Nothing is changed.
    #[error("the order records are inconsistent: {0}")]
    Inconsistent(String),
    /// The request cannot be JSON; a fault of the program.
    #[error("the request cannot be hashed")]
    Unhashable(#[source] serde_json::Error),
    /// A task of this process ended early: it is stopping.
    #[error("the service is stopping")]
    Stopping,
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl UseCaseError {
    pub(crate) fn corrupt(what: &str, id: impl std::fmt::Display) -> Self {
        Self::Inconsistent(format!("{what} of {id} cannot be read"))
    }
}

impl From<UseCaseError> for ApiError {
    fn from(error: UseCaseError) -> Self {
        match error {
            UseCaseError::UnknownStore(_) => Self::not_found("store"),
            UseCaseError::UnknownItem(_) => Self::not_found("item"),
            UseCaseError::UnknownOrder(_) => Self::not_found("order"),
            UseCaseError::Lines(faults) => {
                Self::invalid(faults.into_iter().map(line_error).collect())
            }
            UseCaseError::StoreDiffers(_) => Self::conflict(
                "store_differs",
                "A store with this id exists, and its content is another.",
            ),
            UseCaseError::SkuTaken => Self::conflict("sku_taken", "Another item has this SKU."),
            UseCaseError::StillPending => {
                let detail = "The order is still being placed; cancel it when that has ended.";
                Self::conflict("order_pending", detail).with_retry_after(Duration::from_secs(1))
            }
            UseCaseError::Imported => Self::conflict(
                "order_imported",
                "An imported order has neither money nor stock to give back.",
            ),
            UseCaseError::SagaEnded(_) => {
                Self::conflict("saga_ended", "Nothing is left to be done for this order.")
            }
            UseCaseError::InFlight => Self::conflict(
                "idempotency_key_in_flight",
                "The first request with this Idempotency-Key is still being worked on.",
            )
            .with_retry_after(Duration::from_secs(1)),
            UseCaseError::Idempotency(error) => error,
            UseCaseError::Stopping => {
                Self::unavailable("stopping", Duration::from_secs(1)).with_cause(error)
            }
            UseCaseError::Transition(_)
            | UseCaseError::Inconsistent(_)
            | UseCaseError::Unhashable(_) => Self::internal(error),
            UseCaseError::Store(error) => error.into(),
        }
    }
}

fn line_error((index, fault): (usize, LineFault)) -> FieldError {
    let (code, detail) = fault.describe();
    let field = match fault {
        LineFault::TooLarge => format!("lines[{index}].quantity"),
        _ => format!("lines[{index}].item_id"),
    };
    FieldError {
        field,
        code: code.to_owned(),
        detail: detail.to_owned(),
    }
}
