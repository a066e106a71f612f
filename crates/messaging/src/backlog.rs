//! How much waits in the outbox, for metrics and the health check; and forgetting what is old.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use common::clock::Clock;
use common::error::ErrorChain;
use common::shutdown::Shutdown;
use common::time::Timestamp;
use store::{Db, StoreError};
use tokio::time::Instant;

/// How long delivered events and the ids of consumed ones are remembered.
const MEMORY: Duration = Duration::from_secs(5 * 24 * 3600);
const MEASURE_INTERVAL: Duration = Duration::from_secs(5);
/// The first purge also waits this long: after an outage longer than the memory, events that were
/// consumed and not acknowledged arrive again before their ids are forgotten.
const PURGE_INTERVAL: Duration = Duration::from_secs(3600);
/// An event that waits longer is a sign of trouble.
const PATIENCE: Duration = Duration::from_secs(60);

/// Watches the outbox and the inbox of a service.
pub(crate) struct Backlog {
    db: Db,
    clock: Clock,
    /// When the oldest waiting event was written, as last measured.
    oldest: Mutex<Option<Timestamp>>,
}

impl Backlog {
    pub(crate) fn new(db: Db, clock: Clock) -> Self {
        Self {
            db,
            clock,
            oldest: Mutex::default(),
        }
    }

    /// # Errors
    /// What a health check says of events that wait too long.
    pub(crate) fn check(&self) -> Result<(), String> {
        let oldest = *self.oldest.lock().unwrap_or_else(PoisonError::into_inner);
        let age = oldest.map_or(Duration::ZERO, |oldest| self.clock.now().since(oldest));
        if age <= PATIENCE {
            return Ok(());
        }
        Err(format!(
            "events have been waiting for delivery for {} s",
            age.as_secs()
        ))
    }

    /// Measures and purges until the shutdown.
    pub(crate) async fn watch(&self, shutdown: &Shutdown) {
        let mut next_purge = Instant::now() + PURGE_INTERVAL;
        while !shutdown.is_triggered() {
            if let Err(error) = self.measure().await {
                tracing::warn!(error = %ErrorChain(&error), "the outbox cannot be measured");
            }
            if next_purge <= Instant::now() {
                next_purge += PURGE_INTERVAL;
                if let Err(error) = self.purge().await {
                    tracing::warn!(error = %ErrorChain(&error), "old events cannot be forgotten");
                }
            }
            tokio::select! {
                () = shutdown.triggered() => {}
                () = tokio::time::sleep(MEASURE_INTERVAL) => {}
            }
        }
    }

    pub(crate) async fn measure(&self) -> Result<(), StoreError> {
        let mut tx = self.db.read().await?;
        let (waiting, oldest) = store::fetch_one!(
            tx,
            (i64, Option<Timestamp>),
            "SELECT count(*), min(created_at) FROM outbox WHERE published_at IS NULL"
        )?;
        let age = oldest.map_or(Duration::ZERO, |oldest| self.clock.now().since(oldest));
        *self.oldest.lock().unwrap_or_else(PoisonError::into_inner) = oldest;
        #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
        metrics::gauge!("messaging_outbox_waiting").set(waiting as f64);
        metrics::gauge!("messaging_outbox_oldest_seconds").set(age.as_secs_f64());
        Ok(())
    }

    pub(crate) async fn purge(&self) -> Result<(), StoreError> {
        let before = self.clock.now().minus(MEMORY);
        let mut tx = self.db.begin().await?;
        let sent = store::execute!(tx, "DELETE FROM outbox WHERE published_at < $1", before)?;
        let seen = store::execute!(tx, "DELETE FROM inbox WHERE received_at < $1", before)?;
        tx.commit().await?;
        tracing::debug!(sent, seen, "forgot old events");
        Ok(())
    }
}
