//! Stock is not what the books say: waste and counts.

use ::store::Tx;
use common::clock::Clock;
use common::ids::{LotId, ProductId, StoreId};

use super::receive::movement;
use super::{Entry, expiry_date};
use crate::domain::fefo;
use crate::domain::quantity::Quantity;
use crate::error::UseCaseError;
use crate::store::catalog;
use crate::store::ledger::{self, LotRow};

/// Takes stock that no order holds off the books, earliest expiry first.
///
/// Fails when less is free: what an order holds is promised, and its order ends within seconds.
pub(crate) async fn write_off(
    tx: &mut Tx,
    clock: &Clock,
    (store, product): (StoreId, ProductId),
    quantity: Quantity,
    entry: &Entry<'_>,
) -> Result<(), UseCaseError> {
    let balance = ledger::lock_balance(tx, store, product).await?;
    let available = balance.on_hand - balance.reserved;
    let wanted = quantity.units();
    if wanted > available {
        return Err(UseCaseError::NotEnoughStock {
            product_id: product,
            wanted,
            available,
        });
    }
    take(tx, clock, (store, product), wanted, entry).await?;
    ledger::subtract_on_hand(tx, store, product, wanted).await?;
    Ok(())
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
    (store, product): (StoreId, ProductId),
    counted: i64,
    entry: &Entry<'_>,
) -> Result<Counted, UseCaseError> {
    let known = catalog::find_product(tx, product).await?;
    known.ok_or(UseCaseError::UnknownProduct(product))?;
    let balance = ledger::lock_balance(tx, store, product).await?;
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
        ledger::subtract_on_hand(tx, store, product, -difference).await?;
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

/// Takes stock out of lots and writes the movements. The balance is the caller's, who holds its
/// lock.
pub(super) async fn take(
    tx: &mut Tx,
    clock: &Clock,
    (store, product): (StoreId, ProductId),
    quantity: i64,
    entry: &Entry<'_>,
) -> Result<(), UseCaseError> {
    let lots = ledger::list_pickable(tx, store, product).await?;
    let picks = fefo::pick(&lots, quantity, expiry_date(entry.now)).ok_or_else(|| {
        UseCaseError::Inconsistent(format!(
            "the lots of product {product} hold less than its balance"
        ))
    })?;
    let mut movements = Vec::with_capacity(picks.len());
    for pick in picks {
        ledger::take_from_lot(tx, pick).await?;
        movements.push(movement(
            clock,
            (store, product),
            (pick.lot, -pick.quantity),
            entry,
        ));
    }
    ledger::insert_movements(tx, &movements).await?;
    Ok(())
}
