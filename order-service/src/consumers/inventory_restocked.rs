//! The stock of a cancelled order is back.

use ::store::Tx;
use async_trait::async_trait;
use common::clock::Clock;
use contracts::EventPayload as _;
use contracts::events::InventoryRestocked;
use messaging::{ConsumeError, Consumer, Envelope};

use super::consume_error;
use crate::app::close_cancellation::{Returned, note_returned};

/// Notes the restock.
pub(super) struct NoteRestock {
    pub(super) clock: Clock,
}

#[async_trait]
impl Consumer for NoteRestock {
    fn types(&self) -> &[&'static str] {
        &[InventoryRestocked::TYPE]
    }

    async fn consume(&self, tx: &mut Tx, event: &Envelope) -> Result<(), ConsumeError> {
        let restock: InventoryRestocked = event.payload()?;
        let returned = (Returned::Stock, restock.restocked_at);
        let noted = note_returned(tx, restock.order_id, returned, self.clock.now()).await;
        noted.map(drop).map_err(consume_error)
    }
}
