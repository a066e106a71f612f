//! Gives back what an order holds.

use ::store::Tx;
use common::ids::{OrderId, ReservationId};
use common::time::Timestamp;

use super::AppState;
use super::commit::Outcome;
use crate::domain::reservation::{State, Step};
use crate::error::UseCaseError;
use crate::store::reservations::{self, Direction, NewReservation, ReservationRow};

/// Gives the order's stock back. An order that never asked is remembered as released, so that a
/// reservation still on its way finds the order given up and holds nothing.
pub(crate) async fn release(
    app: &AppState,
    order: OrderId,
    command_id: &str,
) -> Result<Outcome, UseCaseError> {
    let now = app.clock.now();
    let mut tx = app.db.begin().await?;
    let tombstone = NewReservation {
        order_id: order,
        id: ReservationId::new(&app.clock),
        store_id: None,
        state: State::Released,
        command_id,
        expires_at: now,
        created_at: now,
    };
    if reservations::insert(&mut tx, &tombstone).await? {
        tx.commit().await?;
        return Ok(Outcome::Done);
    }
    let Some(row) = reservations::lock(&mut tx, order).await? else {
        return Ok(Outcome::NotFound);
    };
    let state: State = row.state.parse()?;
    match state.on_release() {
        Step::Done => return Ok(Outcome::Done),
        Step::Refuse => return Ok(Outcome::Refused(state)),
        Step::Go => {}
    }
    free(&mut tx, &row, State::Released, now).await?;
    tx.commit().await?;
    Ok(Outcome::Done)
}

/// Frees held stock and ends the reservation in `state`.
async fn free(
    tx: &mut Tx,
    row: &ReservationRow,
    state: State,
    now: Timestamp,
) -> Result<(), UseCaseError> {
    if let Some(store) = row.store_id {
        reservations::lock_balances(tx, store, row.id).await?;
        reservations::add_reserved(tx, store, row.id, Direction::GiveBack).await?;
    }
    reservations::update_state(tx, row.id, state, now).await?;
    Ok(())
}

/// Frees the stock of reservations that ran out; returns how many.
pub(crate) async fn expire(app: &AppState, batch: i64) -> Result<usize, UseCaseError> {
    let now = app.clock.now();
    let mut tx = app.db.begin().await?;
    let expired = reservations::list_expired(&mut tx, now, batch).await?;
    if expired.is_empty() {
        return Ok(0);
    }
    for row in &expired {
        free(&mut tx, row, State::Expired, now).await?;
        tracing::warn!(order.id = %row.order_id, "a reservation ran out before it was committed");
    }
    tx.commit().await?;
    Ok(expired.len())
}
