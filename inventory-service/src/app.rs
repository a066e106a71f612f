//! Use cases, one per file. Each owns its transaction or works inside the caller's.

use ::store::{Batcher, Db};
use common::clock::Clock;
use common::time::{CivilDate, Timestamp};
use messaging::Outbox;

use self::commit::Commit;
use self::reserve::Reserve;
use crate::settings::Reservations;

mod book;
pub(crate) mod commit;
pub(crate) mod correct;
mod hold;
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
    /// Commands that come together are done together.
    pub(crate) reserve: Batcher<Reserve>,
    pub(crate) commit: Batcher<Commit>,
}

impl AppState {
    pub(crate) fn new(
        (db, clock): (Db, Clock),
        outbox: Outbox,
        reservations: Reservations,
    ) -> Self {
        let reserve = Reserve {
            db: db.clone(),
            clock: clock.clone(),
            max_ttl: reservations.max_ttl(),
        };
        let commit = Commit {
            db: db.clone(),
            clock: clock.clone(),
        };
        Self {
            db,
            clock,
            outbox,
            reservations,
            reserve: Batcher::new(reserve),
            commit: Batcher::new(commit),
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

/// The date by which expiry is judged: the present UTC date. A lot may be used on its last day.
pub(crate) fn expiry_date(now: Timestamp) -> CivilDate {
    CivilDate::from_jiff(now.to_jiff().to_zoned(jiff::tz::TimeZone::UTC).date())
}

#[cfg(test)]
mod tests;
