//! A confirmed order was cancelled: its money goes back on its own.

use ::store::Tx;
use common::time::Timestamp;
use contracts::events::OrderCancelled;
use messaging::Outbox;

use super::record::{record, record_nothing_to_refund};
use crate::domain::payment::{Driver, Order, Plan, Report, Want};
use crate::domain::policy::Policy;
use crate::error::UseCaseError;
use crate::store::payments;

/// Remembers that the order's money has to go back and stores the intention to give it back; the
/// resolver does the rest. What needs no provider is done here.
///
/// The order hears of it by `payment.refunded.v1`, over nothing if there was nothing to refund.
pub(crate) async fn order_cancelled(
    tx: &mut Tx,
    outbox: &Outbox,
    policy: &Policy,
    cancelled: &OrderCancelled,
    now: Timestamp,
) -> Result<(), UseCaseError> {
    let order = payments::lock_order(tx, cancelled.order_id, now).await?;
    if order.closed {
        return Ok(());
    }
    payments::update_order_cancelled(tx, order.id, now).await?;
    let Some(intent) = payments::find_intent_of_order(tx, order.id).await? else {
        let place = (order, cancelled.store_id);
        return record_nothing_to_refund(tx, outbox, place, now).await;
    };
    let order = Order {
        voided: true,
        cancelled: true,
        ..order
    };
    let mut payment = payments::get_payment(tx, order, intent).await?;
    let plan = Plan {
        want: Want::Nothing,
        focus: None,
        driver: Driver::Bookkeeper,
    };
    let (step, _next) = payment.advance(Report::Nothing, plan, policy, now)?;
    record(tx, outbox, &mut payment, &step, now).await
}
