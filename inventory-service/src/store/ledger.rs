//! Balances, lots and movements: the stock ledger.

use std::collections::{BTreeMap, BTreeSet};

use ::store::{StoreError, Tx};
use common::ids::{LotId, ProductId, StoreId};
use common::money::Currency;
use common::time::{CivilDate, Timestamp};
use uuid::Uuid;

use crate::domain::Place;
use crate::domain::fefo::{Lot, Shelves};

/// How much a store has of a product.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct BalanceRow {
    pub(crate) product_id: ProductId,
    pub(crate) sku: String,
    pub(crate) name: String,
    pub(crate) unit: String,
    pub(crate) on_hand: i64,
    pub(crate) reserved: i64,
}

/// A lot as it is stored.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct LotRow {
    pub(crate) id: LotId,
    pub(crate) store_id: StoreId,
    pub(crate) product_id: ProductId,
    pub(crate) lot_code: Option<String>,
    pub(crate) expires_on: Option<CivilDate>,
    pub(crate) unit_cost: Option<i64>,
    pub(crate) currency: Option<Currency>,
    pub(crate) received_at: Timestamp,
    pub(crate) remaining: i64,
}

/// A movement as it is stored.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct MovementRow {
    pub(crate) id: Uuid,
    pub(crate) store_id: StoreId,
    pub(crate) product_id: ProductId,
    pub(crate) lot_id: LotId,
    pub(crate) kind: String,
    pub(crate) quantity: i64,
    pub(crate) reference: String,
    pub(crate) reason: Option<String>,
    pub(crate) actor: String,
    pub(crate) recorded_at: Timestamp,
}

/// On hand and reserved, or how much each changes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Balance {
    pub(crate) on_hand: i64,
    pub(crate) reserved: i64,
}

/// Locks the balance of a place until the transaction ends; zero when there is none yet.
pub(crate) async fn lock_balance(tx: &mut Tx, place: Place) -> Result<Balance, StoreError> {
    let mut balances = lock_balances(tx, &BTreeSet::from([place])).await?;
    Ok(balances.remove(&place).unwrap_or_default())
}

/// Locks the balances of many places until the transaction ends. Where nothing was ever received
/// there is none.
pub(crate) async fn lock_balances(
    tx: &mut Tx,
    places: &BTreeSet<Place>,
) -> Result<BTreeMap<Place, Balance>, StoreError> {
    let places: Vec<Place> = places.iter().copied().collect();
    let rows = ::store::fetch_in_rows_locked!(
        tx,
        (StoreId, ProductId, i64, i64),
        "SELECT store_id, product_id, on_hand, reserved FROM balances
         WHERE (store_id, product_id) IN",
        places,
        |place| [place.0, place.1],
        "ORDER BY store_id, product_id"
    )?;
    let balance =
        |(store, product, on_hand, reserved)| ((store, product), Balance { on_hand, reserved });
    Ok(rows.into_iter().map(balance).collect())
}

/// Adds what came in; the first receipt of a product begins its balance.
pub(crate) async fn add_received(
    tx: &mut Tx,
    store: StoreId,
    product: ProductId,
    quantity: i64,
) -> Result<(), StoreError> {
    ::store::execute!(
        tx,
        "INSERT INTO balances (store_id, product_id, on_hand, reserved) VALUES ($1, $2, $3, 0)
         ON CONFLICT (store_id, product_id)
         DO UPDATE SET on_hand = balances.on_hand + $3",
        store,
        product,
        quantity
    )?;
    Ok(())
}

/// Changes balances and returns how many were there to be changed. The caller holds their locks.
pub(crate) async fn change_balances(
    tx: &mut Tx,
    changes: &BTreeMap<Place, Balance>,
) -> Result<u64, StoreError> {
    let rows: Vec<(Place, Balance)> = changes.iter().map(|(at, by)| (*at, *by)).collect();
    ::store::update_many!(
        tx,
        "UPDATE balances SET on_hand = balances.on_hand + new.column3,
                             reserved = balances.reserved + new.column4",
        rows,
        |(place, change)| [place.0, place.1, change.on_hand, change.reserved],
        "WHERE balances.store_id = new.column1 AND balances.product_id = new.column2"
    )
}

/// Inserts a new lot.
pub(crate) async fn insert_lot(tx: &mut Tx, lot: &LotRow) -> Result<(), StoreError> {
    ::store::execute!(
        tx,
        "INSERT INTO lots (id, store_id, product_id, lot_code, expires_on, unit_cost, currency,
                           received_at, remaining)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        lot.id,
        lot.store_id,
        lot.product_id,
        lot.lot_code.as_deref(),
        lot.expires_on,
        lot.unit_cost,
        lot.currency,
        lot.received_at,
        lot.remaining
    )?;
    Ok(())
}

#[derive(sqlx::FromRow)]
struct PickableRow {
    id: LotId,
    store_id: StoreId,
    product_id: ProductId,
    expires_on: Option<CivilDate>,
    received_at: Timestamp,
    remaining: i64,
}

/// The lots that hold stock. The caller holds the locks of the balances, so they stand still.
pub(crate) async fn list_pickable(
    tx: &mut Tx,
    places: &BTreeSet<Place>,
) -> Result<Shelves, StoreError> {
    let places: Vec<Place> = places.iter().copied().collect();
    let rows = ::store::fetch_in_rows!(
        tx,
        PickableRow,
        "SELECT id, store_id, product_id, expires_on, received_at, remaining FROM lots
         WHERE (store_id, product_id) IN",
        places,
        |place| [place.0, place.1],
        "AND remaining > 0"
    )?;
    let lot = |row: PickableRow| {
        let lot = Lot {
            id: row.id,
            expires_on: row.expires_on,
            received_at: row.received_at,
            remaining: row.remaining,
        };
        ((row.store_id, row.product_id), lot)
    };
    Ok(rows.into_iter().map(lot).collect())
}

/// Changes what is left of lots and returns how many were there to be changed.
pub(crate) async fn change_lots(
    tx: &mut Tx,
    changes: &BTreeMap<LotId, i64>,
) -> Result<u64, StoreError> {
    let rows: Vec<(LotId, i64)> = changes.iter().map(|(lot, by)| (*lot, *by)).collect();
    ::store::update_many!(
        tx,
        "UPDATE lots SET remaining = lots.remaining + new.column2",
        rows,
        |(lot, change)| [lot, change],
        "WHERE lots.id = new.column1"
    )
}

/// Adds movements to the ledger.
pub(crate) async fn insert_movements(
    tx: &mut Tx,
    movements: &[MovementRow],
) -> Result<(), StoreError> {
    ::store::insert_many!(
        tx,
        "INSERT INTO movements (id, store_id, product_id, lot_id, kind, quantity, reference,
                                reason, actor, recorded_at)",
        movements,
        |row| [
            row.id,
            row.store_id,
            row.product_id,
            row.lot_id,
            &row.kind,
            row.quantity,
            &row.reference,
            row.reason.as_deref(),
            &row.actor,
            row.recorded_at
        ]
    )?;
    Ok(())
}

/// The movements of one kind that name one of `references`, in no order.
pub(crate) async fn list_movements_of(
    tx: &mut Tx,
    references: &[String],
    kind: &str,
) -> Result<Vec<MovementRow>, StoreError> {
    ::store::fetch_in!(
        tx,
        MovementRow,
        "SELECT id, store_id, product_id, lot_id, kind, quantity, reference, reason, actor,
                recorded_at
         FROM movements WHERE kind = $1 AND reference IN",
        references,
        kind
    )
}

/// Movements of a store, newest first, before `before`.
pub(crate) async fn list_movements(
    tx: &mut Tx,
    (store, product): (StoreId, Option<ProductId>),
    before: Option<Uuid>,
    limit: i64,
) -> Result<Vec<MovementRow>, StoreError> {
    ::store::fetch_all!(
        tx,
        MovementRow,
        "SELECT id, store_id, product_id, lot_id, kind, quantity, reference, reason, actor,
                recorded_at
         FROM movements
         WHERE store_id = $1 AND ($2 IS NULL OR product_id = $2) AND ($3 IS NULL OR id < $3)
         ORDER BY id DESC LIMIT $4",
        store,
        product,
        before,
        limit
    )
}

/// Balances of a store by SKU, after `after`.
pub(crate) async fn list_balances(
    tx: &mut Tx,
    store: StoreId,
    after: Option<String>,
    limit: i64,
) -> Result<Vec<BalanceRow>, StoreError> {
    ::store::fetch_all!(
        tx,
        BalanceRow,
        "SELECT b.product_id, p.sku, p.name, p.unit, b.on_hand, b.reserved
         FROM balances b JOIN products p ON p.id = b.product_id
         WHERE b.store_id = $1 AND ($2 IS NULL OR p.sku > $2)
         ORDER BY p.sku LIMIT $3",
        store,
        after,
        limit
    )
}

/// The lots of a product that hold stock, earliest expiry first.
pub(crate) async fn list_lots(
    tx: &mut Tx,
    store: StoreId,
    product: ProductId,
) -> Result<Vec<LotRow>, StoreError> {
    ::store::fetch_all!(
        tx,
        LotRow,
        "SELECT id, store_id, product_id, lot_code, expires_on, unit_cost, currency, received_at,
                remaining
         FROM lots WHERE store_id = $1 AND product_id = $2 AND remaining > 0
         ORDER BY expires_on IS NULL, expires_on, received_at, id",
        store,
        product
    )
}
