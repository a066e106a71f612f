//! Use cases, one per file. Each owns its transaction or works inside the caller's.

use ::store::Db;
use common::clock::Clock;
use common::time::{CivilDate, Timestamp};
use messaging::Outbox;

use self::order_stock::{OrderStock, Work};
use crate::settings::Reservations;

mod book;
pub(crate) mod commit;
pub(crate) mod correct;
mod hold;
pub(crate) mod order_stock;
pub(crate) mod receive;
pub(crate) mod release;
pub(crate) mod reserve;
pub(crate) mod restock;

/// What use cases work with.
#[derive(Clone)]
pub(crate) struct AppState {
    pub(crate) db: Db,
    pub(crate) clock: Clock,
    pub(crate) outbox: Outbox,
    pub(crate) reservations: Reservations,
    pub(crate) order_stock: OrderStock,
}

impl AppState {
    pub(crate) fn new(
        (db, clock): (Db, Clock),
        outbox: Outbox,
        reservations: Reservations,
    ) -> Self {
        let work = Work {
            db: db.clone(),
            clock: clock.clone(),
            max_ttl: reservations.max_ttl(),
        };
        Self {
            db,
            clock,
            outbox,
            reservations,
            order_stock: OrderStock::new(work),
        }
    }
}

/// Who moves stock, when and why: what every movement records.
#[derive(Clone, Debug)]
pub(crate) struct Entry<'a> {
    /// `consumption`, `receipt`, `waste`, `count` or `restock`.
    pub(crate) kind: &'static str,
    /// The order, receipt or count that it belongs to.
    pub(crate) reference: &'a str,
    /// A person's reason, where one is asked for.
    pub(crate) reason: Option<&'a str>,
    /// The account or service.
    pub(crate) actor: &'a str,
    /// When it is recorded.
    pub(crate) now: Timestamp,
}

/// The date by which expiry is judged where that of the store is not known.
pub(crate) fn utc_date(now: Timestamp) -> CivilDate {
    CivilDate::from_jiff(now.to_jiff().to_zoned(jiff::tz::TimeZone::UTC).date())
}

#[cfg(test)]
mod tests;
