//! What this service does about events of others, one file for each.

use std::sync::Arc;

use ::store::StoreError;
use common::clock::Clock;
use messaging::{ConsumeError, Consumer};

use crate::error::UseCaseError;

mod inventory_restocked;
mod payment_refunded;

/// Every consumer of the service.
pub(crate) fn all(clock: &Clock) -> Vec<Arc<dyn Consumer>> {
    vec![
        Arc::new(payment_refunded::NoteRefund {
            clock: clock.clone(),
        }),
        Arc::new(inventory_restocked::NoteRestock {
            clock: clock.clone(),
        }),
    ]
}

/// An order that is not here will not come later: events follow their order's commit.
fn consume_error(error: UseCaseError) -> ConsumeError {
    match error {
        UseCaseError::UnknownOrder(id) => ConsumeError::Reject(format!("there is no order {id}")),
        UseCaseError::Store(error @ StoreError::Unavailable(_)) => ConsumeError::Store(error),
        error => ConsumeError::Retry(error.into()),
    }
}
