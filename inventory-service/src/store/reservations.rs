//! Reservations and their lines.

use std::collections::BTreeMap;

use ::store::{Json, StoreError, Tx};
use common::ids::{ItemId, OrderId, ProductId, ReservationId, StoreId};
use common::time::{CivilDate, Timestamp};
use serde::{Deserialize, Serialize};

use crate::domain::recipe::RecipeLine;
use crate::domain::reservation::State;

/// A reservation as it is stored.
#[derive(Debug, sqlx::FromRow)]
pub(crate) struct ReservationRow {
    pub(crate) order_id: OrderId,
    pub(crate) id: ReservationId,
    pub(crate) store_id: Option<StoreId>,
    pub(crate) state: String,
    pub(crate) shortages: Option<Json<Vec<Shortage>>>,
    pub(crate) expires_at: Timestamp,
}

/// A product of which there is too little.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub(crate) struct Shortage {
    /// The product.
    pub(crate) product_id: ProductId,
    /// Its stock keeping unit.
    pub(crate) sku: String,
    /// Base units that the order needs.
    pub(crate) wanted: i64,
    /// Base units that could be had.
    pub(crate) available: i64,
}

/// A new reservation.
pub(crate) struct NewReservation<'a> {
    pub(crate) order_id: OrderId,
    pub(crate) id: ReservationId,
    pub(crate) store_id: Option<StoreId>,
    pub(crate) state: State,
    pub(crate) command_id: &'a str,
    pub(crate) expires_at: Timestamp,
    pub(crate) created_at: Timestamp,
}

/// Inserts a reservation; `false` when the order has one already.
pub(crate) async fn insert(tx: &mut Tx, new: &NewReservation<'_>) -> Result<bool, StoreError> {
    let inserted = ::store::execute!(
        tx,
        "INSERT INTO reservations (order_id, id, store_id, state, command_id, expires_at,
                                   created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING",
        new.order_id,
        new.id,
        new.store_id,
        new.state.as_str(),
        new.command_id,
        new.expires_at,
        new.created_at
    )?;
    Ok(inserted == 1)
}

/// Locks the reservation of an order until the transaction ends.
pub(crate) async fn lock(
    tx: &mut Tx,
    order: OrderId,
) -> Result<Option<ReservationRow>, StoreError> {
    ::store::fetch_optional_locked!(
        tx,
        ReservationRow,
        "SELECT order_id, id, store_id, state, shortages, expires_at FROM reservations
         WHERE order_id = $1",
        order
    )
}

/// The reservation of an order, if it was ever asked for.
pub(crate) async fn find(
    tx: &mut Tx,
    order: OrderId,
) -> Result<Option<ReservationRow>, StoreError> {
    ::store::fetch_optional!(
        tx,
        ReservationRow,
        "SELECT order_id, id, store_id, state, shortages, expires_at FROM reservations
         WHERE order_id = $1",
        order
    )
}

/// Moves a reservation into another state.
pub(crate) async fn update_state(
    tx: &mut Tx,
    id: ReservationId,
    state: State,
    now: Timestamp,
) -> Result<(), StoreError> {
    ::store::execute!(
        tx,
        "UPDATE reservations SET state = $2, ended_at = $3 WHERE id = $1",
        id,
        state.as_str(),
        now
    )?;
    Ok(())
}

/// Remembers why a reservation was refused.
pub(crate) async fn update_refused(
    tx: &mut Tx,
    id: ReservationId,
    shortages: &[Shortage],
    now: Timestamp,
) -> Result<(), StoreError> {
    ::store::execute!(
        tx,
        "DELETE FROM reservation_lines WHERE reservation_id = $1",
        id
    )?;
    ::store::execute!(
        tx,
        "UPDATE reservations SET state = $2, shortages = $3, ended_at = $4 WHERE id = $1",
        id,
        State::Refused.as_str(),
        Json(shortages),
        now
    )?;
    Ok(())
}

/// Inserts what a reservation needs of each product.
pub(crate) async fn insert_lines(
    tx: &mut Tx,
    id: ReservationId,
    needed: &BTreeMap<ProductId, i64>,
) -> Result<(), StoreError> {
    let rows: Vec<(ProductId, i64)> = needed.iter().map(|(id, units)| (*id, *units)).collect();
    ::store::insert_many!(
        tx,
        "INSERT INTO reservation_lines (reservation_id, product_id, quantity)",
        rows,
        |row| [id, row.0, row.1]
    )?;
    Ok(())
}

/// One product of a reservation.
#[derive(Clone, Copy, Debug, sqlx::FromRow)]
pub(crate) struct LineRow {
    pub(crate) product_id: ProductId,
    pub(crate) quantity: i64,
}

/// The lines of a reservation, by product: the order in which balances are locked everywhere.
pub(crate) async fn list_lines(tx: &mut Tx, id: ReservationId) -> Result<Vec<LineRow>, StoreError> {
    ::store::fetch_all!(
        tx,
        LineRow,
        "SELECT product_id, quantity FROM reservation_lines
         WHERE reservation_id = $1 ORDER BY product_id",
        id
    )
}

/// Locks the balances that a reservation needs, and says what each holds for others.
pub(crate) async fn lock_balances(
    tx: &mut Tx,
    store: StoreId,
    id: ReservationId,
) -> Result<Vec<(ProductId, i64)>, StoreError> {
    ::store::fetch_all_locked!(
        tx,
        (ProductId, i64),
        "SELECT b.product_id, b.reserved FROM balances b
         JOIN reservation_lines l ON l.product_id = b.product_id
         WHERE b.store_id = $1 AND l.reservation_id = $2 ORDER BY b.product_id",
        store,
        id
    )
}

/// What usable lots hold of each product that a reservation needs.
pub(crate) async fn list_usable(
    tx: &mut Tx,
    store: StoreId,
    id: ReservationId,
    today: CivilDate,
) -> Result<Vec<(ProductId, i64)>, StoreError> {
    ::store::fetch_all!(
        tx,
        (ProductId, i64),
        "SELECT lots.product_id, CAST(SUM(lots.remaining) AS bigint)
         FROM lots JOIN reservation_lines l ON l.product_id = lots.product_id
         WHERE lots.store_id = $1 AND l.reservation_id = $2 AND lots.remaining > 0
           AND (lots.expires_on IS NULL OR lots.expires_on >= $3)
         GROUP BY lots.product_id",
        store,
        id,
        today
    )
}

/// Sets aside what the lines of a reservation need, or gives it back.
pub(crate) async fn add_reserved(
    tx: &mut Tx,
    store: StoreId,
    id: ReservationId,
    direction: Direction,
) -> Result<(), StoreError> {
    let sign: i64 = match direction {
        Direction::SetAside => 1,
        Direction::GiveBack => -1,
    };
    ::store::execute!(
        tx,
        "UPDATE balances SET reserved = reserved + $3 * (
             SELECT l.quantity FROM reservation_lines l
             WHERE l.reservation_id = $2 AND l.product_id = balances.product_id)
         WHERE store_id = $1 AND product_id IN (
             SELECT product_id FROM reservation_lines WHERE reservation_id = $2)",
        store,
        id,
        sign
    )?;
    Ok(())
}

/// Which way reserved stock goes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Direction {
    /// Held for the order.
    SetAside,
    /// Free again.
    GiveBack,
}

/// Recipe lines of the items sold, one query for each item of the order.
pub(crate) async fn list_recipes(
    tx: &mut Tx,
    items: impl IntoIterator<Item = ItemId>,
) -> Result<Vec<RecipeLine>, StoreError> {
    let mut lines = Vec::new();
    for item in items {
        lines.extend(super::catalog::list_recipe(tx, item).await?);
    }
    Ok(lines)
}

/// Orders whose reservation ran out.
pub(crate) async fn list_expired(
    tx: &mut Tx,
    now: Timestamp,
    limit: i64,
) -> Result<Vec<ReservationRow>, StoreError> {
    ::store::fetch_all_skip_locked!(
        tx,
        ReservationRow,
        "SELECT order_id, id, store_id, state, shortages, expires_at FROM reservations
         WHERE state = 'held' AND expires_at <= $1 ORDER BY expires_at LIMIT $2",
        now,
        limit
    )
}
