//! Readings on their way into the database.
//!
//! Messages of all devices queue up, and one task stores what has gathered in one transaction:
//! under load one commit serves hundreds of messages. Whoever handed a message in learns when it is
//! committed, and acknowledges it only then. A batch that the database refuses is stored message by
//! message.

use std::collections::{BTreeSet, HashMap};
use std::slice;
use std::time::Duration;

use ::store::{Db, StoreError, Tx};
use common::clock::Clock;
use common::shutdown::Shutdown;
use tokio::sync::{mpsc, oneshot};

use crate::domain::message::Telemetry;
use crate::domain::topic::Place;
use crate::settings::Ingest as IngestSettings;
use crate::store::devices;
use crate::store::readings::{self, ReadingRow};

/// Wait before the next try when the database fails.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// A message and who waits for it.
struct Pending {
    place: Place,
    telemetry: Telemetry,
    stored: oneshot::Sender<Stored>,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stored {
    /// Committed, now or before.
    Committed,
    /// No such device in this store; it will never be stored.
    UnknownDevice,
    /// The database refuses it while it takes others; it will never be stored.
    Refused,
}

/// Takes messages in. Clones feed the same queue.
#[derive(Clone)]
pub(crate) struct Ingest(mpsc::Sender<Pending>);

impl Ingest {
    /// Starts storing in the background, until nobody is left to hand anything in. After `shutdown`
    /// a database that fails is not waited for.
    pub(crate) fn start(
        settings: IngestSettings,
        db: Db,
        clock: Clock,
        shutdown: Shutdown,
    ) -> Self {
        let (sender, receiver) = mpsc::channel(settings.queue_length);
        let storing = Storing {
            db,
            clock,
            shutdown,
        };
        tokio::spawn(run(receiver, settings.batch_size, storing));
        Self(sender)
    }

    /// Hands a message in and waits until it is stored, however long that takes. `None` when the
    /// service stops first: the message must not be acknowledged then.
    pub(crate) async fn store(&self, place: Place, telemetry: Telemetry) -> Option<Stored> {
        let (stored, done) = oneshot::channel();
        self.0
            .send(Pending {
                place,
                telemetry,
                stored,
            })
            .await
            .ok()?;
        done.await.ok()
    }
}

async fn run(mut receiver: mpsc::Receiver<Pending>, batch_size: usize, storing: Storing) {
    let mut batch = Vec::with_capacity(batch_size);
    // Not until the shutdown: whoever has handed something in waits for it to be stored.
    while receiver.recv_many(&mut batch, batch_size).await > 0 {
        let Some(outcomes) = storing.store(&batch).await else {
            return;
        };
        for (pending, outcome) in batch.drain(..).zip(outcomes) {
            // Nobody waits any more when the device is gone; it will send again.
            let _ = pending.stored.send(outcome);
        }
    }
}

/// What storing takes.
struct Storing {
    db: Db,
    clock: Clock,
    shutdown: Shutdown,
}

impl Storing {
    /// What became of each of these messages. Waits for a database that fails; `None` when the
    /// service stops first.
    async fn store(&self, batch: &[Pending]) -> Option<Vec<Stored>> {
        loop {
            let error = match self.try_store(batch).await {
                Ok(outcomes) => return Some(outcomes),
                Err(error) => error,
            };
            let cause = common::error::ErrorChain(&error).to_string();
            metrics::counter!("iot_store_failures_total").increment(1);
            if !error.is_transient() && self.takes_others(batch).await {
                if let [refused] = batch {
                    let topic = refused.place.telemetry();
                    tracing::warn!(error = cause, topic, "the database refuses a message");
                    return Some(vec![Stored::Refused]);
                }
                return self.store_singly(batch).await;
            }
            tracing::warn!(error = cause, "readings could not be stored; trying again");
            tokio::select! {
                () = self.shutdown.triggered() => return None,
                () = tokio::time::sleep(RETRY_AFTER) => {}
            }
        }
    }

    /// So that a message which the database refuses holds up no other.
    async fn store_singly(&self, batch: &[Pending]) -> Option<Vec<Stored>> {
        let mut outcomes = Vec::with_capacity(batch.len());
        for pending in batch {
            let outcome = Box::pin(self.store(slice::from_ref(pending))).await?;
            outcomes.extend(outcome);
        }
        Some(outcomes)
    }

    async fn try_store(&self, batch: &[Pending]) -> Result<Vec<Stored>, StoreError> {
        let mut tx = self.db.begin().await?;
        let (rows, outcomes) = self.rows_of(&mut tx, batch).await?;
        let inserted = readings::insert(&mut tx, &rows).await?;
        tx.commit().await?;
        metrics::counter!("iot_readings_stored_total").increment(inserted);
        Ok(outcomes)
    }

    /// Whether the database would take other readings of these devices, so that it is the messages
    /// that are at fault. A missing table or right is no transient failure either, but no reason to
    /// refuse, and thereby lose, what devices send.
    async fn takes_others(&self, batch: &[Pending]) -> bool {
        let trial = async {
            let mut tx = self.db.begin().await?;
            let (mut rows, _) = self.rows_of(&mut tx, batch).await?;
            for row in &mut rows {
                "trial".clone_into(&mut row.metric);
                row.measured_at = row.received_at;
                row.value = 0.0;
            }
            readings::insert(&mut tx, &rows).await?;
            tx.rollback().await
        };
        let outcome: Result<(), StoreError> = trial.await;
        outcome.is_ok()
    }

    /// The readings of those messages whose device is in its place, and what becomes of each message
    /// when they are committed.
    async fn rows_of(
        &self,
        tx: &mut Tx,
        batch: &[Pending],
    ) -> Result<(Vec<ReadingRow>, Vec<Stored>), StoreError> {
        let now = self.clock.now();
        let ids: BTreeSet<_> = batch.iter().map(|pending| pending.place.device).collect();
        let ids: Vec<_> = ids.into_iter().collect();
        let stores: HashMap<_, _> = devices::stores_of(tx, &ids).await?.into_iter().collect();
        let mut outcomes = Vec::with_capacity(batch.len());
        let mut rows = Vec::with_capacity(batch.len());
        for Pending {
            place, telemetry, ..
        } in batch
        {
            if stores.get(&place.device) != Some(&place.store) {
                outcomes.push(Stored::UnknownDevice);
                continue;
            }
            rows.extend(telemetry.metrics.iter().map(|(metric, value)| ReadingRow {
                device_id: place.device,
                metric: metric.clone(),
                measured_at: telemetry.measured_at,
                value: *value,
                received_at: now,
            }));
            outcomes.push(Stored::Committed);
        }
        Ok((rows, outcomes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::devices::DeviceRow;
    use common::ids::DeviceId;
    use testkit::TestDatabase;

    const REFUSED: f64 = 1_000.0;

    async fn execute(db: &Db, statement: &'static str) {
        let mut tx = db.begin().await.unwrap();
        ::store::execute!(tx, statement).unwrap();
        tx.commit().await.unwrap();
    }

    /// A table that refuses a value which the service takes, for want of one that both engines do.
    async fn refuse_some_values(db: &Db) {
        execute(db, "DROP TABLE readings").await;
        execute(
            db,
            "CREATE TABLE readings (device_id uuid NOT NULL REFERENCES devices (id),
                 metric text NOT NULL, measured_at timestamptz NOT NULL,
                 value double precision NOT NULL CHECK (value < 1000),
                 received_at timestamptz NOT NULL, PRIMARY KEY (device_id, metric, measured_at))",
        )
        .await;
    }

    /// A database with a device.
    async fn prepare(database: &TestDatabase, clock: &Clock) -> (Db, Place) {
        let db = database.connect().await;
        db.migrate(&[&crate::MIGRATIONS]).await.unwrap();
        let device = DeviceRow::example(clock);
        let place = Place {
            store: device.store_id,
            device: device.id,
        };
        let mut tx = db.begin().await.unwrap();
        assert!(devices::insert(&mut tx, &device).await.unwrap());
        tx.commit().await.unwrap();
        (db, place)
    }

    fn reading(clock: &Clock, metric: &str, value: f64) -> Telemetry {
        Telemetry {
            measured_at: clock.now(),
            metrics: [(metric.to_owned(), value)].into(),
        }
    }

    const SETTINGS: IngestSettings = IngestSettings {
        batch_size: 8,
        queue_length: 8,
    };

    #[tokio::test]
    async fn a_message_that_the_database_refuses_holds_up_no_other() {
        let (database, clock) = (TestDatabase::create().await, Clock::system());
        let (db, place) = prepare(&database, &clock).await;
        refuse_some_values(&db).await;
        let ingest = Ingest::start(SETTINGS, db.clone(), clock.clone(), Shutdown::new());
        let stranger = Place {
            device: DeviceId::new(&clock),
            ..place
        };
        // Handed in together, so that they are one batch.
        let outcomes = tokio::join!(
            ingest.store(stranger, reading(&clock, "a", 1.0)),
            ingest.store(place, reading(&clock, "b", 1.0)),
            ingest.store(place, reading(&clock, "c", REFUSED)),
            ingest.store(place, reading(&clock, "d", 1.0)),
        );
        let expected = (
            Some(Stored::UnknownDevice),
            Some(Stored::Committed),
            Some(Stored::Refused),
            Some(Stored::Committed),
        );
        assert_eq!(outcomes, expected);
        let mut tx = db.read().await.unwrap();
        let stored = readings::list_latest(&mut tx, place.device).await.unwrap();
        let stored: Vec<_> = stored.iter().map(|row| row.metric.as_str()).collect();
        assert_eq!(stored, ["b", "d"]);
    }

    #[tokio::test]
    async fn a_database_that_takes_nothing_refuses_no_message() {
        let (database, clock) = (TestDatabase::create().await, Clock::system());
        let (db, place) = prepare(&database, &clock).await;
        execute(&db, "DROP TABLE readings").await;
        let storing = Storing {
            db,
            clock: clock.clone(),
            shutdown: Shutdown::new(),
        };
        let pending = Pending {
            place,
            telemetry: reading(&clock, "a", 1.0),
            stored: oneshot::channel().0,
        };
        let failure = storing.try_store(slice::from_ref(&pending)).await;
        assert!(!failure.unwrap_err().is_transient());
        // It gives up only because the service stops.
        storing.shutdown.trigger();
        assert_eq!(storing.store(&[pending]).await, None);
    }
}
