//! Money of an order went back to the guest.

use ::store::Tx;
use async_trait::async_trait;
use common::clock::Clock;
use contracts::EventPayload as _;
use contracts::events::PaymentRefunded;
use messaging::{ConsumeError, Consumer, Envelope};

use super::consume_error;
use crate::app::close_cancellation::{Returned, note_returned};

/// Notes a full refund; a partial one leaves money with the order and changes nothing here.
pub(super) struct NoteRefund {
    pub(super) clock: Clock,
}

#[async_trait]
impl Consumer for NoteRefund {
    fn types(&self) -> &[&'static str] {
        &[PaymentRefunded::TYPE]
    }

    async fn consume(&self, tx: &mut Tx, event: &Envelope) -> Result<(), ConsumeError> {
        let refund: PaymentRefunded = event.payload()?;
        if !refund.full {
            return Ok(());
        }
        let returned = (Returned::Money, refund.refunded_at);
        let noted = note_returned(tx, refund.order_id, returned, self.clock.now()).await;
        noted.map(drop).map_err(consume_error)
    }
}
