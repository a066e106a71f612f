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
        let mut tx = self.db.glance().await?;
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

#[cfg(test)]
mod tests {
    use common::settings::EventsSettings;
    use contracts::events::InventoryRestocked;
    use contracts::services::ServiceName;
    use testkit::TestDatabase;

    use super::*;
    use crate::Outbox;

    #[tokio::test]
    async fn waiting_events_are_noticed_and_old_delivered_ones_forgotten() {
        let database = TestDatabase::create().await;
        let db = database.connect().await;
        db.migrate(&[&crate::MIGRATIONS]).await.unwrap();
        let clock = Clock::manual(Timestamp::from_unix_seconds(1_800_000_000));
        let settings = EventsSettings {
            amqp_url: String::new().into(),
            poll_interval_ms: 1,
            batch_size: 1,
            max_attempts: 1,
        };
        let outbox = Outbox::new(ServiceName::Inventory, &settings, clock.clone());
        let backlog = Backlog::new(db.clone(), clock.clone());
        let mut tx = db.begin().await.unwrap();
        let event = InventoryRestocked {
            order_id: common::ids::OrderId::new(&clock),
            store_id: common::ids::StoreId::new(&clock),
            restocked_at: clock.now(),
        };
        outbox.append(&mut tx, "order", &event).await.unwrap();
        tx.commit().await.unwrap();

        backlog.measure().await.unwrap();
        clock.advance(PATIENCE);
        assert_eq!(backlog.check(), Ok(()));
        clock.advance(Duration::from_secs(1));
        assert!(backlog.check().is_err());

        // Waiting events are never forgotten, delivered ones after five days.
        let rows = async || {
            let mut tx = db.read().await.unwrap();
            store::fetch_one!(tx, (i64,), "SELECT count(*) FROM outbox")
                .unwrap()
                .0
        };
        clock.advance(MEMORY);
        backlog.purge().await.unwrap();
        assert_eq!(rows().await, 1);
        let mut tx = db.begin().await.unwrap();
        store::execute!(tx, "UPDATE outbox SET published_at = $1", clock.now()).unwrap();
        tx.commit().await.unwrap();
        backlog.measure().await.unwrap();
        assert_eq!(backlog.check(), Ok(()));
        clock.advance(MEMORY);
        backlog.purge().await.unwrap();
        assert_eq!(rows().await, 1);
        clock.advance(Duration::from_secs(1));
        backlog.purge().await.unwrap();
        assert_eq!(rows().await, 0);
    }
}
