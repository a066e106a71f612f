//! Cancels a confirmed order. Payment refunds and inventory restocks on their own; the order closes
//! when both have said so.

use ::store::idempotency::{self, IdempotencyRequest};
use common::auth::Principal;
use common::ids::OrderId;
use contracts::events::{OrderCancelled, OrderOrigin};

use crate::app::{AppState, visible};
use crate::domain::order::{Order, Status};
use crate::error::UseCaseError;
use crate::store::orders;
use crate::wire::OrderOut;

/// The answer to a cancellation: the status and the order.
pub(crate) type Answer = (u16, serde_json::Value);

/// Begins the cancellation, once for each key. An order that is being or was cancelled stays as it
/// is, whatever the key: what was wished has happened.
pub(crate) async fn cancel_order(
    app: &AppState,
    caller: &Principal,
    (id, reason): (OrderId, &str),
    request: &IdempotencyRequest,
) -> Result<Answer, UseCaseError> {
    let now = app.clock.now();
    let mut tx = app.db.begin().await?;
    let outcome = idempotency::begin(&mut tx, request, now).await?;
    if let Some(replay) = outcome.into_replay().map_err(UseCaseError::Idempotency)? {
        tx.commit().await?;
        return Ok(replay);
    }
    let order = orders::find_order_locked(&mut tx, id).await?;
    let mut order = visible(caller, order).ok_or(UseCaseError::UnknownOrder(id))?;
    match order.status {
        Status::Pending => return Err(UseCaseError::StillPending),
        _ if order.origin == OrderOrigin::Imported => return Err(UseCaseError::Imported),
        Status::Confirmed => {
            order.begin_cancellation(reason, now)?;
            if orders::update_status(&mut tx, &[&order], Status::Confirmed).await? != 1 {
                return Err(UseCaseError::Inconsistent(format!(
                    "order {id} changed while it was locked"
                )));
            }
            let event = OrderCancelled {
                order_id: id,
                store_id: order.store_id,
                reason: reason.to_owned(),
                cancelled_at: now,
                was_confirmed: true,
            };
            app.outbox.append(&mut tx, id, &event).await?;
        }
        Status::Cancelling | Status::Cancelled => {}
    }
    let answer = answer_with(&order)?;
    idempotency::finish(&mut tx, request, answer.0, &answer.1).await?;
    tx.commit().await?;
    Ok(answer)
}

/// 202 while refund and restock are under way.
fn answer_with(order: &Order) -> Result<Answer, UseCaseError> {
    let status = match order.status {
        Status::Cancelling => 202,
        _ => 200,
    };
    let body = serde_json::to_value(OrderOut::from(order)).map_err(UseCaseError::Unhashable)?;
    Ok((status, body))
}
