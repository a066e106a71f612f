//! Stock comes in: each line becomes a lot.

use ::store::Tx;
use common::clock::Clock;
use common::ids::{LotId, ProductId, StoreId};
use common::money::Money;
use common::time::CivilDate;

use super::Entry;
use super::book::movement;
use crate::domain::quantity::Quantity;
use crate::error::UseCaseError;
use crate::store::catalog;
use crate::store::ledger::{self, LotRow};

/// A batch that came in.
#[derive(Debug)]
pub(crate) struct ReceivedLot {
    pub(crate) product_id: ProductId,
    pub(crate) quantity: Quantity,
    pub(crate) lot_code: Option<String>,
    pub(crate) expires_on: Option<CivilDate>,
    pub(crate) unit_cost: Option<Money>,
}

/// Books a lot for each line and returns their ids, in the order of the lines.
///
/// Balances are locked in the order of products, as everywhere, so that two receipts and an order
/// never wait for each other in a circle.
pub(crate) async fn receive(
    tx: &mut Tx,
    clock: &Clock,
    store: StoreId,
    lines: &[ReceivedLot],
    entry: &Entry<'_>,
) -> Result<Vec<LotId>, UseCaseError> {
    let mut products: Vec<ProductId> = lines.iter().map(|line| line.product_id).collect();
    products.sort_unstable();
    products.dedup();
    for product in products {
        let known = catalog::find_product(tx, product).await?;
        known.ok_or(UseCaseError::UnknownProduct(product))?;
        let units: i64 = lines
            .iter()
            .filter(|line| line.product_id == product)
            .map(|line| line.quantity.units())
            .sum();
        ledger::add_received(tx, store, product, units).await?;
    }
    let mut lots = Vec::with_capacity(lines.len());
    let mut movements = Vec::with_capacity(lines.len());
    for line in lines {
        let lot = LotRow {
            id: LotId::new(clock),
            store_id: store,
            product_id: line.product_id,
            lot_code: line.lot_code.clone(),
            expires_on: line.expires_on,
            unit_cost: line.unit_cost.map(|cost| cost.amount),
            currency: line.unit_cost.map(|cost| cost.currency),
            received_at: entry.now,
            remaining: line.quantity.units(),
        };
        ledger::insert_lot(tx, &lot).await?;
        movements.push(movement(
            clock,
            (store, line.product_id),
            (lot.id, lot.remaining),
            entry,
        ));
        lots.push(lot.id);
    }
    ledger::insert_movements(tx, &movements).await?;
    Ok(lots)
}
