//! Confirmed orders were cancelled: their money goes back.

use std::sync::Arc;

use ::store::Tx;
use async_trait::async_trait;
use common::clock::Clock;
use contracts::EventPayload as _;
use contracts::events::OrderCancelled;
use messaging::{ConsumeError, Consumer, Envelope, Outbox};
use tokio::sync::Notify;

use crate::app::order_cancelled::orders_cancelled;
use crate::domain::policy::Policy;

/// Stores the intention to refund, and says so with `payment.refunded.v1` once it is done.
pub(crate) struct RefundCancelledOrders {
    pub(crate) clock: Clock,
    pub(crate) outbox: Outbox,
    pub(crate) policy: Policy,
    /// Wakes the resolver.
    pub(crate) due: Arc<Notify>,
}

#[async_trait]
impl Consumer for RefundCancelledOrders {
    fn types(&self) -> &[&'static str] {
        &[OrderCancelled::TYPE]
    }

    async fn consume(&self, tx: &mut Tx, event: &Envelope) -> Result<(), ConsumeError> {
        self.consume_batch(tx, std::slice::from_ref(event)).await
    }

    /// Together, because a transaction that locks several orders must lock them in one order.
    async fn consume_batch(&self, tx: &mut Tx, events: &[Envelope]) -> Result<(), ConsumeError> {
        let cancelled = events
            .iter()
            .map(|event| {
                event
                    .payload()
                    .map(|cancelled| (event.context(), cancelled))
            })
            .collect::<Result<_, _>>()?;
        let now = self.clock.now();
        orders_cancelled(tx, &self.outbox, &self.policy, cancelled, now)
            .await
            .map_err(|error| ConsumeError::Retry(error.into()))?;
        tx.wake_on_commit(&self.due);
        Ok(())
    }
}
