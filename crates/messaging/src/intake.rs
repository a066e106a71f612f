//! Where events arrive: each takes effect once, or is tried again, or is parked.

use std::collections::{BTreeMap, HashMap};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};

use common::clock::Clock;
use common::error::ErrorChain;
use common::ids::EventId;
use futures_util::FutureExt;
use store::{Db, StoreError, Tx};

use crate::transport::http::Outcome;
use crate::{ConsumeError, Consumer, Envelope, MessagingError, parked};

pub(crate) struct Intake {
    db: Db,
    clock: Clock,
    max_attempts: u32,
    consumers: BTreeMap<&'static str, Arc<dyn Consumer>>,
    /// Failed tries of events that are not parked yet. Kept in memory only: after a restart an
    /// event gets its tries anew, which costs time and no correctness.
    tries: Mutex<HashMap<EventId, u32>>,
}

impl Intake {
    /// # Errors
    /// When two consumers want the same type.
    pub(crate) fn try_new(
        (db, clock): (Db, Clock),
        max_attempts: u32,
        consumers: Vec<Arc<dyn Consumer>>,
    ) -> Result<Self, MessagingError> {
        let mut by_type = BTreeMap::new();
        for consumer in consumers {
            for event_type in consumer.types() {
                if by_type.insert(*event_type, Arc::clone(&consumer)).is_some() {
                    return Err(MessagingError::TwoConsumers(event_type));
                }
            }
        }
        let tries = Mutex::default();
        Ok(Self {
            db,
            clock,
            max_attempts,
            consumers: by_type,
            tries,
        })
    }

    pub(crate) const fn db(&self) -> &Db {
        &self.db
    }

    pub(crate) const fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Whether the service consumes anything at all.
    pub(crate) fn is_idle(&self) -> bool {
        self.consumers.is_empty()
    }

    /// Takes a batch: in one transaction when nothing stands against it, else one by one. The
    /// outcomes stand in the order of the events.
    pub(crate) async fn receive(&self, events: &[Envelope]) -> Vec<Outcome> {
        match self.consume_all(events).await {
            Ok(true) => return vec![Outcome::Done; events.len()],
            Ok(false) => {}
            Err(ConsumeError::Store(error @ StoreError::Unavailable(_))) => {
                tracing::warn!(error = %ErrorChain(&error), "events must wait for the database");
                return vec![Outcome::Retry; events.len()];
            }
            Err(error) => tracing::debug!(error = %ErrorChain(&error), "a batch is taken apart"),
        }
        let mut outcomes = Vec::with_capacity(events.len());
        for event in events {
            outcomes.push(self.receive_one(event).await);
        }
        outcomes
    }

    /// `false`, and nothing is changed, when only some of the events were seen before.
    async fn consume_all(&self, events: &[Envelope]) -> Result<bool, ConsumeError> {
        let mut tx = self.db.begin().await?;
        let unseen = self.remember(&mut tx, events).await?;
        if unseen == 0 {
            tx.commit().await?;
            return Ok(true);
        }
        if unseen < events.len() as u64 {
            return Ok(false);
        }
        self.give_effect(&mut tx, events).await?;
        tx.commit().await?;
        for event in events {
            self.succeeded(event);
        }
        Ok(true)
    }

    async fn receive_one(&self, event: &Envelope) -> Outcome {
        let error = match self.consume_all(std::slice::from_ref(event)).await {
            Ok(_done_now_or_before) => return Outcome::Done,
            Err(error) => error,
        };
        let tries = self.count_failure(event.id, &error);
        let reason = ErrorChain(&error).to_string();
        tracing::warn!(
            event.id = %event.id, event.r#type = event.r#type, tries, error = reason,
            "an event did not take effect"
        );
        if !matches!(error, ConsumeError::Reject(_)) && tries < self.max_attempts {
            return Outcome::Retry;
        }
        match self.park(event, &reason, tries).await {
            Ok(()) => Outcome::Parked,
            Err(error) => {
                tracing::warn!(error = %ErrorChain(&error), "an event cannot be parked yet");
                Outcome::Retry
            }
        }
    }

    /// Lets the consumers of `events` at them, in order, each run of one consumer's together.
    pub(crate) async fn give_effect(
        &self,
        tx: &mut Tx,
        events: &[Envelope],
    ) -> Result<(), ConsumeError> {
        let consumer_of = |event: &Envelope| self.consumers.get(event.r#type.as_str());
        let same = |a: &Envelope, b: &Envelope| match (consumer_of(a), consumer_of(b)) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            _ => false,
        };
        for run in events.chunk_by(same) {
            let consumer = run.first().and_then(consumer_of).ok_or_else(|| {
                ConsumeError::Reject("this service has no consumer for the type".to_owned())
            })?;
            let consumed = AssertUnwindSafe(consumer.consume_batch(tx, run))
                .catch_unwind()
                .await;
            consumed.map_err(|_panic| ConsumeError::Retry("the consumer panicked".into()))??;
        }
        Ok(())
    }

    /// Writes the events to the inbox and returns how many were not there yet.
    async fn remember(&self, tx: &mut Tx, events: &[Envelope]) -> Result<u64, StoreError> {
        let now = self.clock.now();
        store::insert_many!(
            tx,
            "INSERT INTO inbox (event_id, type, received_at)",
            events,
            |event| [event.id, &event.r#type, now],
            "ON CONFLICT (event_id) DO NOTHING"
        )
    }

    /// A parked event counts as seen: it takes effect when it is re-driven and not before.
    async fn park(&self, event: &Envelope, reason: &str, tries: u32) -> Result<(), StoreError> {
        let mut tx = self.db.begin().await?;
        let is_unseen = self.remember(&mut tx, std::slice::from_ref(event)).await? == 1;
        if is_unseen {
            parked::insert(&mut tx, event, (reason, tries), self.clock.now()).await?;
        }
        tx.commit().await?;
        if is_unseen {
            metrics::counter!("messaging_parked_total", "type" => self.label(event)).increment(1);
            tracing::error!(event.id = %event.id, reason, "an event is parked");
        }
        self.tries().remove(&event.id);
        Ok(())
    }

    /// An unavailable database says nothing about the event.
    fn count_failure(&self, id: EventId, error: &ConsumeError) -> u32 {
        let counts = !matches!(error, ConsumeError::Store(error) if error.is_transient());
        let mut tries = self.tries();
        let tries = tries.entry(id).or_default();
        *tries += u32::from(counts);
        *tries
    }

    fn succeeded(&self, event: &Envelope) {
        self.tries().remove(&event.id);
        metrics::counter!("messaging_consumed_total", "type" => self.label(event)).increment(1);
    }

    /// The event's type as a label; what no consumer knows is one label, so that labels stay few.
    fn label(&self, event: &Envelope) -> &'static str {
        let known = self.consumers.get_key_value(event.r#type.as_str());
        known.map_or("unknown", |(event_type, _)| event_type)
    }

    fn tries(&self) -> std::sync::MutexGuard<'_, HashMap<EventId, u32>> {
        self.tries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use common::ids::{OrderId, StoreId};
    use common::time::Timestamp;
    use contracts::EventPayload as _;
    use contracts::events::InventoryRestocked;
    use testkit::TestDatabase;

    use super::*;

    /// Has no effect but to be seen.
    struct Nothing;

    #[async_trait]
    impl Consumer for Nothing {
        fn types(&self) -> &[&'static str] {
            &[InventoryRestocked::TYPE]
        }

        async fn consume(&self, _: &mut Tx, _: &Envelope) -> Result<(), ConsumeError> {
            Ok(())
        }
    }

    fn event(clock: &Clock) -> Envelope {
        let restocked = InventoryRestocked {
            order_id: OrderId::new(clock),
            store_id: StoreId::new(clock),
            restocked_at: clock.now(),
        };
        let stamp = (EventId::new(clock), clock.now());
        Envelope::of(stamp, "/services/inventory", String::new(), &restocked).unwrap()
    }

    async fn intake(database: &TestDatabase) -> Intake {
        let db = database.connect().await;
        db.migrate(&[&crate::MIGRATIONS]).await.unwrap();
        let clock = Clock::manual(Timestamp::from_unix_seconds(1_800_000_000));
        Intake::try_new((db, clock), 3, vec![Arc::new(Nothing)]).unwrap()
    }

    /// On this runtime, which has one thread, the three stand in SQLite's line in their order before
    /// the first one's group is committed.
    #[tokio::test]
    async fn a_repeated_event_is_not_done_before_the_first_one_is_kept() {
        let database = TestDatabase::create().await;
        let intake = intake(&database).await;
        let event = [event(&intake.clock)];
        // What a full disk does by itself: SQLite's whole group is gone.
        let lose_the_group = async {
            let mut tx = intake.db.begin().await.unwrap();
            store::execute!(tx, "ROLLBACK").unwrap();
        };
        let (first, repeated, ()) = tokio::join!(
            intake.consume_all(&event),
            intake.consume_all(&event),
            lose_the_group
        );
        let is_kept = intake.db.engine_name() == "postgres";
        for told in [first, repeated] {
            assert_eq!(told.is_ok(), is_kept, "{told:?}");
        }
    }

    #[tokio::test]
    async fn a_batch_with_old_and_new_events_changes_nothing_as_a_whole() {
        let database = TestDatabase::create().await;
        let intake = intake(&database).await;
        let (old, new) = (event(&intake.clock), event(&intake.clock));
        let one = std::slice::from_ref;
        assert!(intake.consume_all(one(&old)).await.unwrap());
        let both = [old.clone(), new.clone()];
        assert!(!intake.consume_all(&both).await.unwrap());
        let mut tx = intake.db.begin().await.unwrap();
        assert_eq!(intake.remember(&mut tx, one(&new)).await.unwrap(), 1);
        drop(tx);
        assert_eq!(intake.receive(&both).await, [Outcome::Done; 2]);
        assert!(intake.consume_all(&both).await.unwrap());
    }
}
