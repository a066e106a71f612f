//! Waiting until nothing is under way: no saga, no cancellation, no undelivered event.

use std::fmt;
use std::time::Duration;

use anyhow::Result;
use contracts::services::ServiceName;
use tokio::time::{Instant, sleep};

use super::databases::{Databases, MESSAGING};

const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// What is still under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Unsettled {
    /// Sagas that have not ended and are not parked.
    pub(super) sagas: i64,
    /// Confirmed orders that are being cancelled.
    pub(super) cancellations: i64,
    /// Operations whose outcome the payment provider has not told.
    pub(super) operations: i64,
    /// Events that some subscriber has not acknowledged.
    pub(super) events: i64,
}

impl fmt::Display for Unsettled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} sagas, {} cancellations, {} payment operations and {} events",
            self.sagas, self.cancellations, self.operations, self.events
        )
    }
}

/// Waits at most `limit` and returns what is under way then.
///
/// # Errors
/// When a database cannot be read.
pub(super) async fn settle(databases: &Databases, limit: Duration) -> Result<Unsettled> {
    let deadline = Instant::now() + limit;
    loop {
        let unsettled = look(databases).await?;
        if unsettled == Unsettled::default() || Instant::now() >= deadline {
            return Ok(unsettled);
        }
        sleep(LOOK_INTERVAL).await;
    }
}

async fn look(databases: &Databases) -> Result<Unsettled> {
    let mut unsettled = Unsettled::default();
    let mut tx = databases.read(ServiceName::Order).await?;
    (unsettled.sagas, unsettled.cancellations) = store::fetch_one!(
        tx,
        (i64, i64),
        "SELECT CAST((SELECT COUNT(*) FROM sagas WHERE position NOT IN ('confirmed', 'cancelled') \
                      AND parked_at IS NULL) AS bigint), \
                CAST((SELECT COUNT(*) FROM orders WHERE status = 'cancelling') AS bigint)"
    )?;
    let mut tx = databases.read(ServiceName::Payment).await?;
    (unsettled.operations,) = store::fetch_one!(
        tx,
        (i64,),
        "SELECT CAST(COUNT(*) AS bigint) FROM operations WHERE settled_at IS NULL"
    )?;
    for service in MESSAGING {
        let mut tx = databases.read(service).await?;
        let (events,) = store::fetch_one!(
            tx,
            (i64,),
            "SELECT CAST(COUNT(*) AS bigint) FROM outbox WHERE published_at IS NULL"
        )?;
        unsettled.events += events;
    }
    Ok(unsettled)
}
