//! Bookkeeping: movements enter the ledger, and lots and balances, which are its folds, follow.

use std::collections::BTreeMap;

use ::store::Tx;
use common::clock::Clock;
use common::ids::LotId;

use super::Entry;
use crate::domain::Place;
use crate::error::UseCaseError;
use crate::store::ledger::{self, Balance, MovementRow};

/// The ledger's row of one change.
pub(super) fn movement(
    clock: &Clock,
    (store_id, product_id): Place,
    (lot_id, quantity): (LotId, i64),
    entry: &Entry<'_>,
) -> MovementRow {
    MovementRow {
        id: common::ids::uuid_v7(clock),
        store_id,
        product_id,
        lot_id,
        kind: entry.kind.to_owned(),
        quantity,
        reference: entry.reference.to_owned(),
        reason: entry.reason.map(ToOwned::to_owned),
        actor: entry.actor.to_owned(),
        recorded_at: entry.now,
    }
}

/// Writes movements of what no order holds. The caller holds the locks of the balances.
pub(super) async fn post(tx: &mut Tx, movements: &[MovementRow]) -> Result<(), UseCaseError> {
    write(tx, movements, &fold(movements)).await
}

/// Writes movements of what orders held, and what other orders hold from now on. The caller holds
/// the locks of the balances.
pub(super) async fn consume_and_hold(
    tx: &mut Tx,
    movements: &[MovementRow],
    held: impl IntoIterator<Item = (Place, i64)>,
) -> Result<(), UseCaseError> {
    let mut balances = fold(movements);
    for change in balances.values_mut() {
        change.reserved = change.on_hand;
    }
    for (place, units) in held {
        balances.entry(place).or_default().reserved += units;
    }
    write(tx, movements, &balances).await
}

/// What movements make of balances.
fn fold(movements: &[MovementRow]) -> BTreeMap<Place, Balance> {
    let mut balances: BTreeMap<Place, Balance> = BTreeMap::new();
    for row in movements {
        let balance = balances.entry((row.store_id, row.product_id)).or_default();
        balance.on_hand += row.quantity;
    }
    balances
}

/// Movements concern lots and balances that exist.
async fn write(
    tx: &mut Tx,
    movements: &[MovementRow],
    balances: &BTreeMap<Place, Balance>,
) -> Result<(), UseCaseError> {
    let mut lots: BTreeMap<LotId, i64> = BTreeMap::new();
    for row in movements {
        *lots.entry(row.lot_id).or_default() += row.quantity;
    }
    require_all(ledger::change_lots(tx, &lots).await?, lots.len(), "lots")?;
    ledger::insert_movements(tx, movements).await?;
    change_balances(tx, balances).await
}

/// Sets stock aside for orders, or gives it back where the change is negative. The caller holds the
/// locks of the balances.
pub(super) async fn change_reserved(
    tx: &mut Tx,
    changes: impl IntoIterator<Item = (Place, i64)>,
) -> Result<(), UseCaseError> {
    let mut balances: BTreeMap<Place, Balance> = BTreeMap::new();
    for (place, units) in changes {
        balances.entry(place).or_default().reserved += units;
    }
    change_balances(tx, &balances).await
}

async fn change_balances(
    tx: &mut Tx,
    changes: &BTreeMap<Place, Balance>,
) -> Result<(), UseCaseError> {
    let changed = ledger::change_balances(tx, changes).await?;
    require_all(changed, changes.len(), "balances")
}

fn require_all(changed: u64, expected: usize, what: &str) -> Result<(), UseCaseError> {
    if usize::try_from(changed) == Ok(expected) {
        return Ok(());
    }
    let detail = format!("{changed} of {expected} {what} exist");
    Err(UseCaseError::Inconsistent(detail))
}
