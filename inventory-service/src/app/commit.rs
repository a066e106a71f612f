//! Turns what an order holds into consumption.

use common::ids::OrderId;

use super::correct::take;
use super::{AppState, Entry};
use crate::domain::reservation::{State, Step};
use crate::error::UseCaseError;
use crate::store::{ledger, reservations};

/// What became of a command on a reservation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Done, now or before.
    Done,
    /// Refused: the reservation is in this state.
    Refused(State),
    /// The order never asked for stock.
    NotFound,
}

/// Consumes what the order holds, earliest expiry first.
pub(crate) async fn commit(
    app: &AppState,
    order: OrderId,
    command_id: &str,
) -> Result<Outcome, UseCaseError> {
    let now = app.clock.now();
    let mut tx = app.db.begin().await?;
    let Some(row) = reservations::lock(&mut tx, order).await? else {
        return Ok(Outcome::NotFound);
    };
    let state: State = row.state.parse()?;
    match state.on_commit() {
        Step::Done => return Ok(Outcome::Done),
        Step::Refuse => return Ok(Outcome::Refused(state)),
        Step::Go => {}
    }
    let store = row.store_id.ok_or_else(|| {
        UseCaseError::Inconsistent(format!("order {order} holds stock of no store"))
    })?;
    let reference = order.to_string();
    let entry = Entry {
        kind: "consumption",
        reference: &reference,
        reason: None,
        actor: command_id,
        now,
    };
    // Locks all balances in one order before any lot is read.
    reservations::lock_balances(&mut tx, store, row.id).await?;
    for line in reservations::list_lines(&mut tx, row.id).await? {
        let place = (store, line.product_id);
        take(&mut tx, &app.clock, place, line.quantity, &entry).await?;
        ledger::consume_reserved(&mut tx, store, line.product_id, line.quantity).await?;
    }
    reservations::update_state(&mut tx, row.id, State::Committed, now).await?;
    tx.commit().await?;
    Ok(Outcome::Done)
}
