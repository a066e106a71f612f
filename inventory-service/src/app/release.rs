//! Gives back what orders hold.

use std::collections::BTreeSet;

use ::store::Tx;
use common::ids::{OrderId, ReservationId};
use common::time::Timestamp;

use super::commit::Outcome;
use super::hold::{self, Hold, lock_expired, lock_orders};
use super::{AppState, book};
use crate::domain::reservation::{State, Step};
use crate::error::UseCaseError;
use crate::store::ledger;
use crate::store::reservations::{self, NewReservation};

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
        store_date: None,
        expires_at: now,
        created_at: now,
    };
    if reservations::insert(&mut tx, vec![tombstone])
        .await?
        .contains(&order)
    {
        tx.commit().await?;
        return Ok(Outcome::Done);
    }
    let holds = lock_orders(&mut tx, &BTreeSet::from([order])).await?;
    let outcome = match holds.first().map(|held| held.state) {
        None => Outcome::NotFound,
        Some(state) => match state.on_release() {
            Step::Done => Outcome::Done,
            Step::Refuse => Outcome::Refused(state),
            Step::Go => {
                free(&mut tx, &holds, State::Released, now).await?;
                Outcome::Done
            }
        },
    };
    tx.commit().await?;
    Ok(outcome)
}

/// Frees held stock and ends the reservations in `state`.
async fn free(
    tx: &mut Tx,
    holds: &[Hold],
    state: State,
    now: Timestamp,
) -> Result<(), UseCaseError> {
    ledger::lock_balances(tx, &hold::places(holds)).await?;
    let freed = holds.iter().flat_map(Hold::places);
    book::change_reserved(tx, freed.map(|(place, units)| (place, -units))).await?;
    let ids: Vec<ReservationId> = holds.iter().map(|hold| hold.id).collect();
    reservations::update_states(tx, &ids, state, now).await?;
    Ok(())
}

/// Frees the stock of reservations that ran out; returns how many.
pub(crate) async fn expire(app: &AppState, batch: i64) -> Result<usize, UseCaseError> {
    let now = app.clock.now();
    let mut tx = app.db.begin().await?;
    let expired = lock_expired(&mut tx, now, batch).await?;
    if expired.is_empty() {
        return Ok(0);
    }
    free(&mut tx, &expired, State::Expired, now).await?;
    tx.commit().await?;
    for hold in &expired {
        tracing::warn!(order.id = %hold.order_id, "a reservation ran out before it was committed");
    }
    Ok(expired.len())
}
