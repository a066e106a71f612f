//! A confirmed order was cancelled: its stock comes back.

use ::store::Tx;
use async_trait::async_trait;
use common::clock::Clock;
use contracts::EventPayload as _;
use contracts::events::{InventoryRestocked, OrderCancelled};
use messaging::{ConsumeError, Consumer, Envelope, Outbox};

use crate::app::commit::Outcome;
use crate::app::restock::restock_within;
use crate::error::UseCaseError;

/// Restocks, and says so with `inventory.restocked.v1` in the same transaction.
pub(crate) struct RestockCancelledOrders {
    pub(crate) clock: Clock,
    pub(crate) outbox: Outbox,
}

#[async_trait]
impl Consumer for RestockCancelledOrders {
    fn types(&self) -> &[&'static str] {
        &[OrderCancelled::TYPE]
    }

    async fn consume(&self, tx: &mut Tx, event: &Envelope) -> Result<(), ConsumeError> {
        let cancelled: OrderCancelled = event.payload()?;
        let order = cancelled.order_id;
        let command = format!("event:{}", event.id);
        let outcome = restock_within(tx, &self.clock, order, &command).await;
        match outcome.map_err(retry)? {
            Outcome::Done => {}
            // An order of untracked items, or one that came without a reservation, consumed
            // nothing; its cancellation still has to close.
            Outcome::NotFound => {}
            Outcome::Refused(state) => {
                let reason = format!("the reservation of order {order} is {state}, not committed");
                return Err(ConsumeError::Retry(reason.into()));
            }
        }
        let restocked = InventoryRestocked {
            order_id: order,
            store_id: cancelled.store_id,
            restocked_at: self.clock.now(),
        };
        self.outbox
            .append(tx, order, &restocked)
            .await
            .map_err(|error| retry(error.into()))?;
        Ok(())
    }
}

fn retry(error: UseCaseError) -> ConsumeError {
    ConsumeError::Retry(error.into())
}
