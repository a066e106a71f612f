//! Books back what an order consumed.

use std::collections::BTreeMap;

use ::store::Tx;
use common::clock::Clock;
use common::ids::{OrderId, ProductId};

use super::commit::Outcome;
use super::receive::movement;
use super::{AppState, Entry};
use crate::domain::fefo::Pick;
use crate::domain::reservation::{State, Step};
use crate::error::UseCaseError;
use crate::store::{ledger, reservations};

/// [`restock_within`] in a transaction of its own.
pub(crate) async fn restock(
    app: &AppState,
    order: OrderId,
    command_id: &str,
) -> Result<Outcome, UseCaseError> {
    let mut tx = app.db.begin().await?;
    let outcome = restock_within(&mut tx, &app.clock, order, command_id).await?;
    tx.commit().await?;
    Ok(outcome)
}

/// Puts every unit that the order consumed back into the lot it came from, by a movement of its
/// own for each movement that took it.
pub(crate) async fn restock_within(
    tx: &mut Tx,
    clock: &Clock,
    order: OrderId,
    command_id: &str,
) -> Result<Outcome, UseCaseError> {
    let now = clock.now();
    let Some(row) = reservations::lock(tx, order).await? else {
        return Ok(Outcome::NotFound);
    };
    let state: State = row.state.parse()?;
    match state.on_restock() {
        Step::Done => return Ok(Outcome::Done),
        Step::Refuse => return Ok(Outcome::Refused(state)),
        Step::Go => {}
    }
    let reference = order.to_string();
    let entry = Entry {
        kind: "restock",
        reference: &reference,
        reason: None,
        actor: command_id,
        now,
    };
    if let Some(store) = row.store_id {
        reservations::lock_balances(tx, store, row.id).await?;
        let consumed = ledger::list_movements_of(tx, &reference, "consumption").await?;
        let mut returned: BTreeMap<ProductId, i64> = BTreeMap::new();
        let mut movements = Vec::with_capacity(consumed.len());
        for taken in consumed {
            // A consumption is negative, so taking it from the lot gives it back.
            ledger::take_from_lot(
                tx,
                Pick {
                    lot: taken.lot_id,
                    quantity: taken.quantity,
                },
            )
            .await?;
            *returned.entry(taken.product_id).or_default() -= taken.quantity;
            let change = (taken.lot_id, -taken.quantity);
            movements.push(movement(clock, (store, taken.product_id), change, &entry));
        }
        for (product, units) in returned {
            ledger::add_received(tx, store, product, units).await?;
        }
        ledger::insert_movements(tx, &movements).await?;
    }
    reservations::update_state(tx, row.id, State::Restocked, now).await?;
    Ok(Outcome::Done)
}
