//! Takes an event into the read model.
//!
//! The read model is a function of the *set* of events: whatever order they come in, the same rows
//! stand at the end.

use ::store::Tx;
use contracts::EventPayload as _;
use contracts::events::{OrderCancelled, OrderConfirmed, PaymentRefunded};

use crate::error::UseCaseError;
use crate::store::event_log::LoggedEvent;
use crate::store::sales;

/// The event types that the read model is made from.
pub(crate) const TYPES: [&str; 3] = [
    OrderConfirmed::TYPE,
    OrderCancelled::TYPE,
    PaymentRefunded::TYPE,
];

/// Applies one logged event. An event of another type changes nothing.
pub(crate) async fn apply(tx: &mut Tx, event: &LoggedEvent) -> Result<(), UseCaseError> {
    match event.r#type.as_str() {
        OrderConfirmed::TYPE => {
            let confirmed: OrderConfirmed = read(event)?;
            if !sales::is_cancelled(tx, confirmed.order_id).await? {
                sales::insert_order(tx, &confirmed).await?;
            }
        }
        OrderCancelled::TYPE => {
            let cancelled: OrderCancelled = read(event)?;
            sales::insert_cancelled(tx, cancelled.order_id).await?;
            sales::delete_order(tx, cancelled.order_id).await?;
        }
        PaymentRefunded::TYPE => {
            let refunded: PaymentRefunded = read(event)?;
            sales::insert_refund(tx, &refunded).await?;
        }
        _ => {}
    }
    Ok(())
}

fn read<E: contracts::EventPayload>(event: &LoggedEvent) -> Result<E, UseCaseError> {
    serde_json::from_str(&event.data)
        .map_err(|error| UseCaseError::UnreadableEvent(event.event_id.to_string(), error))
}
