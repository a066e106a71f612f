//! Orders in pages, newest first.

use std::time::Duration;

use ::store::Tx;
use common::ids::{OrderId, StoreId};
use common::time::{CivilDate, Timestamp};
use contracts::events::OrderOrigin;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::{OrderRow, columns};
use crate::domain::order::{Order, Status};
use crate::error::UseCaseError;

/// A business date lies within this much of its own UTC midnights: 14 hours of time zone and 12 of
/// cut-off, rounded up.
const DATE_SLACK: Duration = Duration::from_secs(2 * 24 * 3_600);

/// Which orders to list.
#[derive(Clone, Debug, Default)]
pub(crate) struct OrderFilter {
    /// `None` lists every store.
    pub(crate) stores: Option<Vec<StoreId>>,
    pub(crate) status: Option<Status>,
    pub(crate) origin: Option<OrderOrigin>,
    /// First and last business date, both included.
    pub(crate) from: Option<CivilDate>,
    pub(crate) to: Option<CivilDate>,
}

/// Where a page ended.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Position(pub(crate) Timestamp, pub(crate) OrderId);

impl Position {
    pub(crate) const fn of(order: &Order) -> Self {
        Self(order.placed_at, order.id)
    }
}

/// The first `limit` orders after `after`, newest first.
pub(crate) async fn list_orders(
    tx: &mut Tx,
    filter: &OrderFilter,
    after: Option<Position>,
    limit: i64,
) -> Result<Vec<Order>, UseCaseError> {
    let bounds = Bounds::new(filter, after);
    let mut rows = Vec::new();
    match &filter.stores {
        None => rows = list_everywhere(tx, filter, &bounds, limit).await?,
        // One walk along the store's index each; the newest of all walks are the page.
        Some(stores) => {
            for store in stores {
                rows.extend(list_in_store(tx, filter, &bounds, (*store, limit)).await?);
            }
            rows.sort_unstable_by_key(|row| std::cmp::Reverse((row.placed_at, row.id)));
            rows.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        }
    }
    rows.into_iter().map(Order::try_from).collect()
}

/// Bounds on the index columns, always present so that the engines walk the index.
struct Bounds {
    oldest: Timestamp,
    before: Position,
    from: CivilDate,
    to: CivilDate,
}

impl Bounds {
    fn new(filter: &OrderFilter, after: Option<Position>) -> Self {
        let from = filter.from.unwrap_or(FIRST_DATE);
        let to = filter.to.unwrap_or(LAST_DATE);
        let newest = utc_midnight(to).plus(DATE_SLACK + Duration::from_secs(24 * 3_600));
        let largest_id = OrderId::from_uuid(uuid::Uuid::max());
        let end = Position(newest, largest_id);
        let before = match after {
            Some(after) if (after.0, after.1) < (end.0, end.1) => after,
            _ => end,
        };
        Self {
            oldest: utc_midnight(from).minus(DATE_SLACK),
            before,
            from,
            to,
        }
    }
}

/// Dates that both engines can hold, with room for arithmetic.
const FIRST_DATE: CivilDate = CivilDate::from_jiff(jiff::civil::date(1, 1, 1));
const LAST_DATE: CivilDate = CivilDate::from_jiff(jiff::civil::date(9998, 1, 1));

fn utc_midnight(date: CivilDate) -> Timestamp {
    let clamped = date.clamp(FIRST_DATE, LAST_DATE).to_jiff();
    let midnight = clamped.to_datetime(jiff::civil::Time::midnight());
    let zoned = TimeZone::UTC.to_timestamp(midnight);
    Timestamp::from_jiff(zoned.unwrap_or(jiff::Timestamp::MIN))
}

async fn list_everywhere(
    tx: &mut Tx,
    filter: &OrderFilter,
    bounds: &Bounds,
    limit: i64,
) -> Result<Vec<OrderRow>, ::store::StoreError> {
    ::store::fetch_all!(
        tx,
        OrderRow,
        concat!(
            "SELECT ",
            columns!(),
            " FROM orders
              WHERE (placed_at, id) < ($1, $2) AND placed_at >= $3
                AND business_date >= $4 AND business_date <= $5
                AND ($6 IS NULL OR status = $6) AND ($7 IS NULL OR origin = $7)
              ORDER BY placed_at DESC, id DESC LIMIT $8"
        ),
        bounds.before.0,
        bounds.before.1,
        bounds.oldest,
        bounds.from,
        bounds.to,
        filter.status.map(Status::as_str),
        filter.origin.map(OrderOrigin::as_str),
        limit
    )
}

async fn list_in_store(
    tx: &mut Tx,
    filter: &OrderFilter,
    bounds: &Bounds,
    (store, limit): (StoreId, i64),
) -> Result<Vec<OrderRow>, ::store::StoreError> {
    ::store::fetch_all!(
        tx,
        OrderRow,
        concat!(
            "SELECT ",
            columns!(),
            " FROM orders
              WHERE store_id = $1 AND (placed_at, id) < ($2, $3) AND placed_at >= $4
                AND business_date >= $5 AND business_date <= $6
                AND ($7 IS NULL OR status = $7) AND ($8 IS NULL OR origin = $8)
              ORDER BY placed_at DESC, id DESC LIMIT $9"
        ),
        store,
        bounds.before.0,
        bounds.before.1,
        bounds.oldest,
        bounds.from,
        bounds.to,
        filter.status.map(Status::as_str),
        filter.origin.map(OrderOrigin::as_str),
        limit
    )
}
