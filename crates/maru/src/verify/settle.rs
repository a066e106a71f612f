//! Waiting until nothing is under way: no saga, no cancellation, no event that was not taken in.

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
    /// Events that some subscriber, or the broker, has not acknowledged.
    pub(super) events: i64,
    /// Orders whose events the broker has and analytics has not taken in.
    pub(super) unread_orders: i64,
}

impl fmt::Display for Unsettled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} sagas, {} cancellations, {} payment operations, {} events and {} orders unknown to \
             analytics",
            self.sagas, self.cancellations, self.operations, self.events, self.unread_orders
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
    unsettled.unread_orders = unread_orders(databases).await?;
    Ok(unsettled)
}

/// By how many orders the read model is behind or ahead.
async fn unread_orders(databases: &Databases) -> Result<i64> {
    let mut tx = databases.read(ServiceName::Order).await?;
    let (confirmed,) = store::fetch_one!(
        tx,
        (i64,),
        "SELECT CAST(COUNT(*) AS bigint) FROM orders WHERE status = 'confirmed'"
    )?;
    let mut tx = databases.read(ServiceName::Analytics).await?;
    let (counted,) = store::fetch_one!(
        tx,
        (i64,),
        "SELECT CAST(COUNT(*) AS bigint) FROM sales_orders"
    )?;
    Ok((confirmed - counted).abs())
}
