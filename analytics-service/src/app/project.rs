//! Takes an event into the read model.
//!
//! The read model is a function of the *set* of events: whatever order they come in, the same rows
//! stand at the end.

use std::collections::HashMap;

use ::store::Tx;
use common::ids::OrderId;
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

/// Applies logged events together. One of another type changes nothing.
pub(crate) async fn apply<'a>(
    tx: &mut Tx,
    events: impl IntoIterator<Item = &'a LoggedEvent>,
) -> Result<(), UseCaseError> {
    let mut confirmed: HashMap<OrderId, OrderConfirmed> = HashMap::new();
    let (mut cancelled, mut refunds) = (Vec::new(), Vec::new());
    for event in events {
        match event.r#type.as_str() {
            OrderConfirmed::TYPE => {
                let order: OrderConfirmed = read(event)?;
                confirmed.entry(order.order_id).or_insert(order);
            }
            OrderCancelled::TYPE => cancelled.push(read::<OrderCancelled>(event)?.order_id),
            PaymentRefunded::TYPE => refunds.push(read(event)?),
            _ => {}
        }
    }
    sales::insert_cancelled(tx, &cancelled).await?;
    sales::delete_orders(tx, &cancelled).await?;
    let ids: Vec<OrderId> = confirmed.keys().copied().collect();
    for cancelled in sales::list_cancelled(tx, &ids).await? {
        confirmed.remove(&cancelled);
    }
    sales::insert_orders(tx, &confirmed.values().collect::<Vec<_>>()).await?;
    sales::insert_refunds(tx, &refunds).await?;
    Ok(())
}

fn read<E: contracts::EventPayload>(event: &LoggedEvent) -> Result<E, UseCaseError> {
    serde_json::from_str(&event.data)
        .map_err(|error| UseCaseError::UnreadableEvent(event.event_id.to_string(), error))
}
