//! Carries events from the outbox to the transport: one relay for each database.
//!
//! Each destination is served by itself, in order, so that one that is down holds up no other. A row
//! is marked only after it was acknowledged; a crash in between delivers it again, and the
//! subscriber's inbox makes that harmless.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use common::clock::Clock;
use common::error::ErrorChain;
use common::shutdown::Shutdown;
use resilience::{Backoff, BackoffParams, Jitter};
use store::{Db, Leadership, StoreError};
use tokio::task::JoinSet;

use crate::outbox::Outbox;
use crate::transport::{Outgoing, Transport};

/// Waits of a destination that fails.
const BACKOFF: BackoffParams = BackoffParams {
    base: Duration::from_millis(100),
    max: Duration::from_secs(5),
};
/// A short wait lets the events of concurrent commits travel together: the first after a calm, and
/// those of a steady stream, where each delivery costs several round trips.
const LINGER: Duration = Duration::from_millis(5);
const STREAM_LINGER: Duration = Duration::from_millis(50);
/// Where a batch is cut, unless its first event alone is larger.
const MAX_BATCH_BYTES: usize = 2 << 20;
/// How often a relay that does not lead tries to.
const CANDIDACY: Duration = Duration::from_secs(1);

pub(crate) struct Relay {
    pub(crate) db: Db,
    pub(crate) outbox: Outbox,
    pub(crate) transport: Box<dyn Transport>,
    pub(crate) clock: Clock,
    /// Longest time between two looks at the outbox.
    pub(crate) poll_interval: Duration,
    /// Most events in a batch.
    pub(crate) batch_size: u32,
    pub(crate) shutdown: Shutdown,
}

/// What became of one look at a destination.
enum Progress {
    /// Nothing waits.
    Idle,
    /// A full batch went out; there may be more.
    Full,
    /// Everything that waited went out.
    Partial,
    /// Something stays behind.
    Stuck,
}

impl Relay {
    /// Relays while this process leads, until the shutdown; batches under way are finished.
    pub(crate) async fn run(self) {
        let relay = Arc::new(self);
        while !relay.shutdown.is_triggered() {
            match relay.db.try_lead("outbox").await {
                Ok(Some(leadership)) => relay.lead(leadership).await,
                Ok(None) => {}
                Err(error) => warn("the outbox cannot be led", &error),
            }
            relay.pause(CANDIDACY).await;
        }
    }

    async fn lead(self: &Arc<Self>, mut leadership: Leadership) {
        let mut carriers = JoinSet::new();
        let mut served = BTreeSet::new();
        while !self.shutdown.is_triggered() {
            match self.waiting_destinations().await {
                Ok(destinations) => {
                    for destination in destinations {
                        if served.insert(destination.clone()) {
                            carriers.spawn(Arc::clone(self).carry(destination));
                        }
                    }
                }
                Err(error) => warn("the outbox cannot be read", &error),
            }
            // Every commit asks for a look. What is served needs none, and the rest can wait a little.
            self.pause(STREAM_LINGER).await;
            tokio::select! {
                () = self.shutdown.triggered() => {}
                () = self.outbox.sleeper().notified() => {}
                Some(ended) = carriers.join_next() => match ended {
                    Ok(destination) => _ = served.remove(&destination),
                    Err(panicked) => return warn("a carrier of events failed", &panicked),
                },
                () = tokio::time::sleep(self.poll_interval) => {
                    if !leadership.is_held().await {
                        tracing::warn!("the lead of the outbox is lost");
                        return;
                    }
                }
            }
        }
        while carriers.join_next().await.is_some() {}
    }

    /// Serves one destination until nothing waits for it; gives its name back.
    async fn carry(self: Arc<Self>, destination: String) -> String {
        let mut backoff = Backoff::try_new(BACKOFF, Jitter::from_entropy())
            .expect("the constants above are in order");
        self.pause(LINGER).await;
        while !self.shutdown.is_triggered() {
            match self.hand_over(&destination).await {
                Ok(Progress::Idle) => break,
                Ok(Progress::Full) => backoff.reset(),
                Ok(Progress::Partial) => {
                    backoff.reset();
                    self.pause(STREAM_LINGER).await;
                }
                Ok(Progress::Stuck) => self.pause(backoff.next_delay()).await,
                Err(error) => {
                    warn("the outbox cannot be used", &error);
                    self.pause(backoff.next_delay()).await;
                }
            }
        }
        destination
    }

    async fn hand_over(&self, destination: &str) -> Result<Progress, StoreError> {
        let batch = self.next_batch(destination).await?;
        if batch.is_empty() {
            return Ok(Progress::Idle);
        }
        let delivery = self.transport.deliver(destination, &batch).await;
        let delivered = delivery.acknowledged.len();
        self.mark(
            destination,
            &batch,
            &delivery.acknowledged,
            delivery.failure.as_deref(),
        )
        .await?;

        let label = destination.to_owned();
        metrics::counter!("messaging_delivered_total", "destination" => label.clone())
            .increment(delivered as u64);
        if let Some(failure) = delivery.failure {
            metrics::counter!("messaging_delivery_failures_total", "destination" => label)
                .increment(1);
            tracing::warn!(
                destination,
                delivered,
                waiting = batch.len() - delivered,
                failure,
                "events could not be handed over"
            );
        }
        let full = u32::try_from(batch.len()).is_ok_and(|size| size >= self.batch_size);
        Ok(match (delivered == batch.len(), full) {
            (false, _) => Progress::Stuck,
            (true, true) => Progress::Full,
            (true, false) => Progress::Partial,
        })
    }

    /// The names for which rows wait, each found by one step through the index.
    async fn waiting_destinations(&self) -> Result<Vec<String>, StoreError> {
        let mut tx = self.db.glance().await?;
        let names: Vec<(String,)> = store::fetch_all!(
            tx,
            (String,),
            "WITH RECURSIVE waiting (name) AS (
                 SELECT (SELECT min(destination) FROM outbox WHERE published_at IS NULL)
                 UNION ALL
                 SELECT (SELECT min(destination) FROM outbox
                         WHERE published_at IS NULL AND destination > waiting.name)
                 FROM waiting WHERE waiting.name IS NOT NULL)
             SELECT name FROM waiting WHERE name IS NOT NULL"
        )?;
        Ok(names.into_iter().map(|(name,)| name).collect())
    }

    async fn next_batch(&self, destination: &str) -> Result<Vec<Outgoing>, StoreError> {
        let mut tx = self.db.glance().await?;
        let mut batch = store::fetch_all!(
            tx,
            Outgoing,
            "SELECT event_id, type, body FROM outbox
             WHERE destination = $1 AND published_at IS NULL ORDER BY seq LIMIT $2",
            destination,
            i64::from(self.batch_size)
        )?;
        let mut bytes = 0;
        let fits = batch.iter().take_while(|event| {
            bytes += event.body.len();
            bytes <= MAX_BATCH_BYTES
        });
        let length = fits.count().max(1);
        batch.truncate(length);
        Ok(batch)
    }

    /// Writes down what was acknowledged, and why the rest was not.
    async fn mark(
        &self,
        destination: &str,
        batch: &[Outgoing],
        acknowledged: &[common::ids::EventId],
        failure: Option<&str>,
    ) -> Result<(), StoreError> {
        let mut tx = self.db.begin().await?;
        store::execute_in!(
            tx,
            "UPDATE outbox SET published_at = $1, last_error = NULL
             WHERE destination = $2 AND event_id IN",
            acknowledged,
            self.clock.now(),
            destination
        )?;
        if failure.is_some() {
            let ids: Vec<_> = batch.iter().map(|event| event.event_id).collect();
            store::execute_in!(
                tx,
                "UPDATE outbox SET attempts = attempts + 1, last_error = $1
                 WHERE destination = $2 AND published_at IS NULL AND event_id IN",
                ids,
                failure,
                destination
            )?;
        }
        tx.commit().await
    }

    async fn pause(&self, time: Duration) {
        tokio::select! {
            () = self.shutdown.triggered() => {}
            () = tokio::time::sleep(time) => {}
        }
    }
}

fn warn(what: &str, error: &(dyn std::error::Error + 'static)) {
    tracing::warn!(error = %ErrorChain(error), "{what}");
}
