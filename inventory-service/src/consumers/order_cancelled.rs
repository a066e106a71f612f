//! A confirmed order was cancelled: its stock comes back.

use ::store::Tx;
use async_trait::async_trait;
use common::clock::Clock;
use contracts::EventPayload as _;
use contracts::events::{InventoryRestocked, OrderCancelled};
use messaging::{ConsumeError, Consumer, Envelope, Outbox};

use crate::app::commit::{Outcome, Request};
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
        self.consume_batch(tx, std::slice::from_ref(event)).await
    }

    /// Together, because transactions that lock one order after another wait for each other.
    async fn consume_batch(&self, tx: &mut Tx, events: &[Envelope]) -> Result<(), ConsumeError> {
        let cancelled: Vec<OrderCancelled> = events
            .iter()
            .map(Envelope::payload)
            .collect::<Result<_, _>>()?;
        let requests: Vec<Request> = cancelled
            .iter()
            .zip(events)
            .map(|(cancelled, event)| Request {
                order_id: cancelled.order_id,
                command_id: format!("event:{}", event.id),
            })
            .collect();
        let outcomes = restock_within(tx, &self.clock, &requests).await;
        for ((outcome, order), event) in outcomes
            .map_err(retry)?
            .into_iter()
            .zip(&cancelled)
            .zip(events)
        {
            check(outcome, order)?;
            let restocked = InventoryRestocked {
                order_id: order.order_id,
                store_id: order.store_id,
                restocked_at: self.clock.now(),
            };
            let context = event.context();
            let appended = context
                .scope(self.outbox.append(tx, order.order_id, &restocked))
                .await;
            appended.map_err(|error| retry(error.into()))?;
        }
        Ok(())
    }
}

fn check(outcome: Outcome, cancelled: &OrderCancelled) -> Result<(), ConsumeError> {
    match outcome {
        Outcome::Done => Ok(()),
        // An order of untracked items, or one that came without a reservation, consumed nothing;
        // its cancellation still has to close.
        Outcome::NotFound => Ok(()),
        Outcome::Refused(state) => {
            let order = cancelled.order_id;
            let reason = format!("the reservation of order {order} is {state}, not committed");
            Err(ConsumeError::Retry(reason.into()))
        }
    }
}

fn retry(error: UseCaseError) -> ConsumeError {
    ConsumeError::Retry(error.into())
}
