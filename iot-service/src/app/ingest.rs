//! Readings on their way into the database.
//!
//! Messages of all devices queue up, and one task stores what has gathered in one transaction:
//! under load one commit serves hundreds of messages. Whoever handed a message in learns when it is
//! committed, and acknowledges it only then.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use ::store::{Db, StoreError};
use common::clock::Clock;
use common::shutdown::Shutdown;
use tokio::sync::{mpsc, oneshot};

use crate::domain::message::Telemetry;
use crate::domain::topic::Place;
use crate::settings::Ingest as IngestSettings;
use crate::store::{devices, readings};

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
        tokio::spawn(run(receiver, settings.batch_size, db, clock, shutdown));
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

async fn run(
    mut receiver: mpsc::Receiver<Pending>,
    batch_size: usize,
    db: Db,
    clock: Clock,
    shutdown: Shutdown,
) {
    let mut batch = Vec::with_capacity(batch_size);
    // Not until the shutdown: whoever has handed something in waits for it to be stored.
    while receiver.recv_many(&mut batch, batch_size).await > 0 {
        let outcomes = loop {
            match store_batch(&db, &clock, &batch).await {
                Ok(outcomes) => break outcomes,
                Err(error) => {
                    let cause = common::error::ErrorChain(&error).to_string();
                    tracing::warn!(error = cause, "readings could not be stored; trying again");
                    metrics::counter!("iot_store_failures_total").increment(1);
                }
            }
            tokio::select! {
                () = shutdown.triggered() => return,
                () = tokio::time::sleep(RETRY_AFTER) => {}
            }
        };
        for (pending, outcome) in batch.drain(..).zip(outcomes) {
            // Nobody waits any more when the device is gone; it will send again.
            let _ = pending.stored.send(outcome);
        }
    }
}

async fn store_batch(db: &Db, clock: &Clock, batch: &[Pending]) -> Result<Vec<Stored>, StoreError> {
    let now = clock.now();
    let mut tx = db.begin().await?;
    let ids: BTreeSet<_> = batch.iter().map(|pending| pending.place.device).collect();
    let ids: Vec<_> = ids.into_iter().collect();
    let stores: HashMap<_, _> = devices::stores_of(&mut tx, &ids)
        .await?
        .into_iter()
        .collect();
    let mut outcomes = Vec::with_capacity(batch.len());
    let mut rows = Vec::with_capacity(batch.len());
    for pending in batch {
        if stores.get(&pending.place.device) != Some(&pending.place.store) {
            outcomes.push(Stored::UnknownDevice);
            continue;
        }
        let measured_at = pending.telemetry.measured_at;
        rows.extend(
            pending
                .telemetry
                .metrics
                .iter()
                .map(|(metric, value)| readings::ReadingRow {
                    device_id: pending.place.device,
                    metric: metric.clone(),
                    measured_at,
                    value: *value,
                    received_at: now,
                }),
        );
        outcomes.push(Stored::Committed);
    }
    let inserted = readings::insert(&mut tx, &rows).await?;
    tx.commit().await?;
    metrics::counter!("iot_readings_stored_total").increment(inserted);
    Ok(outcomes)
}
