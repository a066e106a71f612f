//! Balances, lots and movements: the stock ledger.

use ::store::{StoreError, Tx};
use common::ids::{LotId, ProductId, StoreId};
use common::money::Currency;
use common::time::{CivilDate, Timestamp};
use uuid::Uuid;

use crate::domain::fefo::{Lot, Pick};

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

/// On hand and reserved.
#[derive(Clone, Copy, Debug, Default, sqlx::FromRow)]
pub(crate) struct Balance {
    pub(crate) on_hand: i64,
    pub(crate) reserved: i64,
}

/// Locks the balance of a product until the transaction ends; zero when there is none yet.
pub(crate) async fn lock_balance(
    tx: &mut Tx,
    store: StoreId,
    product: ProductId,
) -> Result<Balance, StoreError> {
    let balance = ::store::fetch_optional_locked!(
        tx,
        Balance,
        "SELECT on_hand, reserved FROM balances WHERE store_id = $1 AND product_id = $2",
        store,
        product
    )?;
    Ok(balance.unwrap_or_default())
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

/// Takes what went out off the hand.
pub(crate) async fn subtract_on_hand(
    tx: &mut Tx,
    store: StoreId,
    product: ProductId,
    quantity: i64,
) -> Result<(), StoreError> {
    ::store::execute!(
        tx,
        "UPDATE balances SET on_hand = on_hand - $3 WHERE store_id = $1 AND product_id = $2",
        store,
        product,
        quantity
    )?;
    Ok(())
}

/// Takes what an order consumed off the hand and off what is reserved.
pub(crate) async fn consume_reserved(
    tx: &mut Tx,
    store: StoreId,
    product: ProductId,
    quantity: i64,
) -> Result<u64, StoreError> {
    ::store::execute!(
        tx,
        "UPDATE balances SET on_hand = on_hand - $3, reserved = reserved - $3
         WHERE store_id = $1 AND product_id = $2",
        store,
        product,
        quantity
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
    expires_on: Option<CivilDate>,
    received_at: Timestamp,
    remaining: i64,
}

/// The lots of a product that hold stock. The caller holds the balance's lock, so they stand still.
pub(crate) async fn list_pickable(
    tx: &mut Tx,
    store: StoreId,
    product: ProductId,
) -> Result<Vec<Lot>, StoreError> {
    let rows = ::store::fetch_all!(
        tx,
        PickableRow,
        "SELECT id, expires_on, received_at, remaining FROM lots
         WHERE store_id = $1 AND product_id = $2 AND remaining > 0",
        store,
        product
    )?;
    Ok(rows
        .into_iter()
        .map(|row| Lot {
            id: row.id,
            expires_on: row.expires_on,
            received_at: row.received_at,
            remaining: row.remaining,
        })
        .collect())
}

/// Changes what is left of a lot: a pick takes, a negative pick gives back.
pub(crate) async fn take_from_lot(tx: &mut Tx, pick: Pick) -> Result<u64, StoreError> {
    ::store::execute!(
        tx,
        "UPDATE lots SET remaining = remaining - $2 WHERE id = $1",
        pick.lot,
        pick.quantity
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

/// The movements of one kind that name `reference`.
pub(crate) async fn list_movements_of(
    tx: &mut Tx,
    reference: &str,
    kind: &str,
) -> Result<Vec<MovementRow>, StoreError> {
    ::store::fetch_all!(
        tx,
        MovementRow,
        "SELECT id, store_id, product_id, lot_id, kind, quantity, reference, reason, actor,
                recorded_at
         FROM movements WHERE reference = $1 AND kind = $2 ORDER BY product_id, id",
        reference,
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
