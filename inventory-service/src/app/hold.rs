//! Reservations with their lines, under their locks.

use std::collections::BTreeSet;

use ::store::Tx;
use common::ids::{OrderId, ReservationId, StoreId};
use common::time::{CivilDate, Timestamp};

use crate::domain::Place;
use crate::domain::recipe::Needed;
use crate::domain::reservation::State;
use crate::error::UseCaseError;
use crate::store::reservations::{self, ReservationRow};

/// What an order holds, or held.
#[derive(Clone, Debug)]
pub(super) struct Hold {
    pub(super) order_id: OrderId,
    pub(super) id: ReservationId,
    /// Unknown for an order that was released before it was reserved.
    pub(super) store_id: Option<StoreId>,
    pub(super) state: State,
    /// By which it was judged what may be promised.
    pub(super) store_date: Option<CivilDate>,
    pub(super) lines: Needed,
}

impl Hold {
    /// Base units by place.
    pub(super) fn places(&self) -> impl Iterator<Item = (Place, i64)> {
        let store = self.store_id.into_iter();
        store.flat_map(|store| {
            let lines = self.lines.iter();
            lines.map(move |(product, units)| ((store, *product), *units))
        })
    }
}

/// Locks what orders hold until the transaction ends. Reservations are locked before balances
/// everywhere.
pub(super) async fn lock_orders(
    tx: &mut Tx,
    orders: &BTreeSet<OrderId>,
) -> Result<Vec<Hold>, UseCaseError> {
    let rows = reservations::lock(tx, orders).await?;
    with_lines(tx, rows).await
}

/// Locks what ran out and nobody else has locked, the longest overdue first.
pub(super) async fn lock_expired(
    tx: &mut Tx,
    now: Timestamp,
    limit: i64,
) -> Result<Vec<Hold>, UseCaseError> {
    let rows = reservations::list_expired(tx, now, limit).await?;
    with_lines(tx, rows).await
}

async fn with_lines(tx: &mut Tx, rows: Vec<ReservationRow>) -> Result<Vec<Hold>, UseCaseError> {
    let ids: Vec<ReservationId> = rows.iter().map(|row| row.id).collect();
    let mut lines = reservations::list_lines(tx, &ids).await?;
    rows.into_iter()
        .map(|row| {
            Ok(Hold {
                order_id: row.order_id,
                id: row.id,
                store_id: row.store_id,
                state: row.state.parse()?,
                store_date: row.store_date,
                lines: lines.remove(&row.id).unwrap_or_default(),
            })
        })
        .collect()
}

/// The places of several holds, in the order of locking.
pub(super) fn places<'a>(holds: impl IntoIterator<Item = &'a Hold>) -> BTreeSet<Place> {
    let places = holds.into_iter().flat_map(Hold::places);
    places.map(|(place, _units)| place).collect()
}
