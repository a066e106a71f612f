//! Reservations and their lines.

use std::collections::{BTreeMap, BTreeSet};

use ::store::{Json, StoreError, Tx};
use common::ids::{OrderId, ProductId, ReservationId, StoreId};
use common::time::{CivilDate, Timestamp};
use serde::{Deserialize, Serialize};

use crate::domain::recipe::Needed;
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
    /// Unknown for one that was released before it was asked for.
    pub(crate) store_date: Option<CivilDate>,
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
    pub(crate) store_date: Option<CivilDate>,
    pub(crate) created_at: Timestamp,
}

/// Inserts reservations, and returns the orders that had none yet. Whoever inserts the same at the
/// same time does it in the same order, that of the ids, and is waited for.
pub(crate) async fn insert(
    tx: &mut Tx,
    mut new: Vec<NewReservation<'_>>,
) -> Result<BTreeSet<OrderId>, StoreError> {
    new.sort_by_key(|row| row.order_id);
    let inserted = ::store::insert_many_returning!(
        tx,
        (OrderId,),
        "INSERT INTO reservations (order_id, id, store_id, state, command_id, expires_at,
                                   store_date, created_at)",
        new,
        |row| [
            row.order_id,
            row.id,
            row.store_id,
            row.state.as_str(),
            row.command_id,
            row.expires_at,
            row.store_date,
            row.created_at
        ],
        "ON CONFLICT DO NOTHING RETURNING order_id"
    )?;
    Ok(inserted.into_iter().map(|(order,)| order).collect())
}

/// Locks the reservations of orders until the transaction ends.
pub(crate) async fn lock(
    tx: &mut Tx,
    orders: &BTreeSet<OrderId>,
) -> Result<Vec<ReservationRow>, StoreError> {
    let orders: Vec<OrderId> = orders.iter().copied().collect();
    ::store::fetch_in_locked!(
        tx,
        ReservationRow,
        "SELECT order_id, id, store_id, state, shortages, expires_at, store_date FROM reservations
         WHERE order_id IN",
        orders,
        "ORDER BY order_id"
    )
}

/// The reservations of orders, in no order.
pub(crate) async fn list(
    tx: &mut Tx,
    orders: &[OrderId],
) -> Result<Vec<ReservationRow>, StoreError> {
    ::store::fetch_in!(
        tx,
        ReservationRow,
        "SELECT order_id, id, store_id, state, shortages, expires_at, store_date FROM reservations
         WHERE order_id IN",
        orders
    )
}

/// The reservation of an order, if it was ever asked for.
pub(crate) async fn find(
    tx: &mut Tx,
    order: OrderId,
) -> Result<Option<ReservationRow>, StoreError> {
    Ok(list(tx, &[order]).await?.pop())
}

/// Moves reservations into another state.
pub(crate) async fn update_states(
    tx: &mut Tx,
    ids: &[ReservationId],
    state: State,
    now: Timestamp,
) -> Result<(), StoreError> {
    ::store::execute_in!(
        tx,
        "UPDATE reservations SET state = $1, ended_at = $2 WHERE id IN",
        ids,
        state.as_str(),
        now
    )?;
    Ok(())
}

/// A reservation that is refused, and why.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) id: ReservationId,
    pub(crate) shortages: Vec<Shortage>,
}

/// Remembers why reservations were refused.
pub(crate) async fn update_refused(
    tx: &mut Tx,
    refusals: &[Refusal],
    now: Timestamp,
) -> Result<(), StoreError> {
    ::store::update_many!(
        tx,
        "UPDATE reservations SET state = new.column2, shortages = new.column3,
                                 ended_at = new.column4",
        refusals,
        |refusal| [
            refusal.id,
            State::Refused.as_str(),
            Json(&refusal.shortages),
            now
        ],
        "WHERE reservations.id = new.column1"
    )?;
    Ok(())
}

/// One product of a reservation.
#[derive(Clone, Copy, Debug, sqlx::FromRow)]
pub(crate) struct LineRow {
    pub(crate) reservation_id: ReservationId,
    pub(crate) product_id: ProductId,
    pub(crate) quantity: i64,
}

/// Inserts what reservations hold of each product.
pub(crate) async fn insert_lines(tx: &mut Tx, lines: &[LineRow]) -> Result<(), StoreError> {
    ::store::insert_many!(
        tx,
        "INSERT INTO reservation_lines (reservation_id, product_id, quantity)",
        lines,
        |line| [line.reservation_id, line.product_id, line.quantity]
    )?;
    Ok(())
}

/// What reservations hold, or held, of each product.
pub(crate) async fn list_lines(
    tx: &mut Tx,
    ids: &[ReservationId],
) -> Result<BTreeMap<ReservationId, Needed>, StoreError> {
    let rows = ::store::fetch_in!(
        tx,
        LineRow,
        "SELECT reservation_id, product_id, quantity FROM reservation_lines
         WHERE reservation_id IN",
        ids
    )?;
    let mut lines: BTreeMap<ReservationId, Needed> = BTreeMap::new();
    for row in rows {
        let needed = lines.entry(row.reservation_id).or_default();
        needed.insert(row.product_id, row.quantity);
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
        "SELECT order_id, id, store_id, state, shortages, expires_at, store_date FROM reservations
         WHERE state = 'held' AND expires_at <= $1 ORDER BY expires_at LIMIT $2",
        now,
        limit
    )
}
