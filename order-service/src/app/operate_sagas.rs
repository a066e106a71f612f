//! Parked sagas: seeing them, and trying them again at once.

use common::ids::OrderId;
use common::time::Timestamp;

use crate::app::AppState;
use crate::domain::order::Order;
use crate::error::UseCaseError;
use crate::store::sagas::StoredSaga;
use crate::store::{orders, sagas};

/// A parked saga with its order.
pub(crate) struct Parked {
    pub(crate) order: Order,
    pub(crate) stored: StoredSaga,
    pub(crate) parked_at: Timestamp,
}

/// Parked sagas after a position, longest parked first.
pub(crate) async fn list_parked(
    app: &AppState,
    after: Option<(Timestamp, OrderId)>,
    limit: i64,
) -> Result<Vec<Parked>, UseCaseError> {
    let nothing = OrderId::from_uuid(uuid::Uuid::nil());
    let after = after.unwrap_or((Timestamp::from_micros(0), nothing));
    let mut tx = app.db.read().await?;
    let mut parked = Vec::new();
    for (parked_at, id) in sagas::list_parked(&mut tx, after, limit).await? {
        let order = orders::find_order(&mut tx, id).await?;
        let order = order.ok_or(UseCaseError::UnknownOrder(id))?;
        if let Some(stored) = sagas::find_saga(&mut tx, &order).await? {
            parked.push(Parked {
                order,
                stored,
                parked_at,
            });
        }
    }
    Ok(parked)
}

/// Makes an unfinished saga due now and its undos fresh. A driver that is waiting with it loses it.
pub(crate) async fn redrive(app: &AppState, id: OrderId) -> Result<Order, UseCaseError> {
    let now = app.clock.now();
    let mut tx = app.db.begin().await?;
    let order = orders::find_order_locked(&mut tx, id).await?;
    let order = order.ok_or(UseCaseError::UnknownOrder(id))?;
    let stored = sagas::find_saga(&mut tx, &order).await?;
    let mut stored = stored.ok_or(UseCaseError::SagaEnded(id))?;
    if stored.next_attempt_at.is_none() {
        return Err(UseCaseError::SagaEnded(id));
    }
    stored.saga.forgive();
    stored.next_attempt_at = Some(now);
    stored.leased_until = None;
    stored.parked_at = None;
    if sagas::update_sagas(&mut tx, &[(id, &stored)], now)
        .await?
        .is_empty()
    {
        // Its driver wrote in between, so it is being driven.
        tx.commit().await?;
        return Ok(order);
    }
    tx.commit().await?;
    app.driver.due.notify_one();
    tracing::info!(order.id = %id, "a saga is driven again");
    Ok(order)
}
