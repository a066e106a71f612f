//! Stock is not what the books say: waste and counts.

use std::collections::BTreeSet;

use ::store::Tx;
use common::clock::Clock;
use common::ids::LotId;

use super::Entry;
use super::book::{self, movement};
use crate::domain::Place;
use crate::domain::quantity::Quantity;
use crate::domain::recipe::Needed;
use crate::error::UseCaseError;
use crate::store::catalog;
use crate::store::ledger::{self, LotRow, MovementRow};

/// Takes stock that no order holds off the books, earliest expiry first: what has expired is what is
/// thrown away.
///
/// Fails when less is free: what an order holds is promised, and its order ends within seconds.
pub(crate) async fn write_off(
    tx: &mut Tx,
    clock: &Clock,
    place: Place,
    quantity: Quantity,
    entry: &Entry<'_>,
) -> Result<(), UseCaseError> {
    let balance = ledger::lock_balance(tx, place).await?;
    let available = balance.on_hand - balance.reserved;
    let wanted = quantity.units();
    if wanted > available {
        return Err(UseCaseError::NotEnoughStock {
            product_id: place.1,
            wanted,
            available,
        });
    }
    take(tx, clock, place, wanted, entry).await
}

/// What a count changed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counted {
    /// What the books said.
    pub(crate) expected: i64,
    /// Counted minus expected.
    pub(crate) difference: i64,
}

/// Makes the books say what was counted. A surplus becomes a lot of its own, without expiry date.
pub(crate) async fn count(
    tx: &mut Tx,
    clock: &Clock,
    (store, product): Place,
    counted: i64,
    entry: &Entry<'_>,
) -> Result<Counted, UseCaseError> {
    let known = catalog::find_product(tx, product).await?;
    known.ok_or(UseCaseError::UnknownProduct(product))?;
    // Of a product that never came in there is no balance that could be locked: two first counts
    // would both find their surplus.
    ledger::add_received(tx, store, product, 0).await?;
    let balance = ledger::lock_balance(tx, (store, product)).await?;
    let difference = counted - balance.on_hand;
    if counted < balance.reserved {
        let available = balance.on_hand - balance.reserved;
        let wanted = -difference;
        return Err(UseCaseError::NotEnoughStock {
            product_id: product,
            wanted,
            available,
        });
    }
    if difference < 0 {
        take(tx, clock, (store, product), -difference, entry).await?;
    } else if difference > 0 {
        let lot = LotRow {
            id: LotId::new(clock),
            store_id: store,
            product_id: product,
            lot_code: Some("count".to_owned()),
            expires_on: None,
            unit_cost: None,
            currency: None,
            received_at: entry.now,
            remaining: difference,
        };
        ledger::insert_lot(tx, &lot).await?;
        let row = movement(clock, (store, product), (lot.id, difference), entry);
        ledger::insert_movements(tx, &[row]).await?;
        ledger::add_received(tx, store, product, difference).await?;
    }
    Ok(Counted {
        expected: balance.on_hand,
        difference,
    })
}

/// Takes stock that no order holds, earliest expiry first, expired or not. The caller holds the balance's
/// lock.
async fn take(
    tx: &mut Tx,
    clock: &Clock,
    (store, product): Place,
    quantity: i64,
    entry: &Entry<'_>,
) -> Result<(), UseCaseError> {
    let places = BTreeSet::from([(store, product)]);
    let mut shelves = ledger::list_pickable(tx, &places).await?;
    let needed = Needed::from([(product, quantity)]);
    let taken = shelves.clear(store, &needed)?;
    let movements: Vec<MovementRow> = taken
        .into_iter()
        .map(|(place, pick)| movement(clock, place, (pick.lot, -pick.quantity), entry))
        .collect();
    book::post(tx, &movements).await
}
