//! Consuming with manual acknowledgement after the commit.

use std::sync::Arc;
use std::time::Duration;

use common::error::ErrorChain;
use common::shutdown::Shutdown;
use futures_util::StreamExt;
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions, BasicRejectOptions};
use lapin::types::FieldTable;
use resilience::{Backoff, BackoffParams, Jitter};
use tokio::time::Instant;

use super::{BATCH_CONTENT_TYPE, BoxError, Broker};
use crate::Envelope;
use crate::intake::Intake;
use crate::transport::http::Outcome;

/// Prefetch: how many messages the broker hands out before the first is acknowledged. Many, so that
/// events which wait for others do not keep these from coming.
const PREFETCH: u16 = 256;
/// Messages of one transaction at most; each may hold dozens of events.
const MAX_MESSAGES: usize = 16;
/// Waits before connecting again, and before an event that failed is tried again.
const BACKOFF: BackoffParams = BackoffParams {
    base: Duration::from_millis(100),
    max: Duration::from_secs(5),
};

/// A service's queue, and where its events go.
pub(crate) struct Subscription {
    broker: Broker,
    intake: Arc<Intake>,
}

/// A message that was read, with those of its events that have no effect yet.
struct Arrival {
    delivery: Delivery,
    events: Vec<Envelope>,
}

/// Messages with events that failed, kept unacknowledged until these are tried again: were they
/// given back, the broker would hand them out again at once.
struct Later {
    arrivals: Vec<Arrival>,
    due: Instant,
    backoff: Backoff,
}

impl Subscription {
    pub(crate) const fn new(broker: Broker, intake: Arc<Intake>) -> Self {
        Self { broker, intake }
    }

    /// Consumes until the shutdown, connecting again as often as needed.
    pub(crate) async fn run(self, shutdown: Shutdown) {
        let mut backoff = new_backoff();
        loop {
            let ended = self.consume(&mut backoff, &shutdown).await;
            let Err(error) = ended else { return };
            self.broker.link.set(false);
            tracing::warn!(error = %ErrorChain(error.as_ref()), "events cannot be consumed");
            tokio::select! {
                () = shutdown.triggered() => return,
                () = tokio::time::sleep(backoff.next_delay()) => {}
            }
        }
    }

    /// `Ok` means that the shutdown came; what is not acknowledged then goes back to the queue.
    async fn consume(&self, backoff: &mut Backoff, shutdown: &Shutdown) -> Result<(), BoxError> {
        let session = self.broker.connect().await?;
        let channel = &session.channel;
        let service = self.broker.service.as_str();
        self.broker.topology.declare_queue(channel, service).await?;
        // Not global: the limit holds for the one consumer of this channel.
        channel
            .basic_qos(PREFETCH, BasicQosOptions { global: false })
            .await?;
        let options = BasicConsumeOptions {
            // Acknowledged by hand, after the commit.
            no_ack: false,
            // Several replicas share the queue.
            exclusive: false,
            ..Default::default()
        };
        let queue = self.broker.topology.queue(service);
        // The broker chooses the consumer's tag.
        let consumer = channel
            .basic_consume(queue, "".into(), options, FieldTable::default())
            .await?;
        self.broker.link.set(true);
        backoff.reset();

        let mut chunks = consumer.ready_chunks(MAX_MESSAGES);
        let mut later = Later::none();
        loop {
            let arrivals = tokio::select! {
                () = shutdown.triggered() => break,
                () = tokio::time::sleep_until(later.due), if !later.arrivals.is_empty() => {
                    std::mem::take(&mut later.arrivals)
                }
                chunk = chunks.next() => {
                    let chunk = chunk.ok_or("the broker cancelled the consumer")?;
                    read(chunk.into_iter().collect::<Result<_, _>>()?).await?
                }
            };
            self.take(arrivals, &mut later).await?;
        }
        session.connection.close(200, "shutdown".into()).await?;
        Ok(())
    }

    /// Gives all events their effect, in one transaction if possible. A message is acknowledged when
    /// none of its events is left.
    async fn take(&self, arrivals: Vec<Arrival>, later: &mut Later) -> Result<(), BoxError> {
        let (deliveries, events): (Vec<_>, Vec<Vec<_>>) = arrivals
            .into_iter()
            .map(|arrival| ((arrival.delivery, arrival.events.len()), arrival.events))
            .unzip();
        let events: Vec<_> = events.into_iter().flatten().collect();
        let outcomes = self.intake.receive(&events).await;
        let all_done = !outcomes.contains(&Outcome::Retry);
        if let Some((last, _)) = deliveries.last()
            && all_done
            && later.arrivals.is_empty()
        {
            // Multiple: acknowledges everything before it too, which is all that is open.
            last.ack(BasicAckOptions { multiple: true }).await?;
            later.backoff.reset();
            return Ok(());
        }
        let mut results = events.into_iter().zip(outcomes);
        for (delivery, count) in deliveries {
            let failed = results
                .by_ref()
                .take(count)
                .filter(|(_, outcome)| *outcome == Outcome::Retry);
            let events: Vec<_> = failed.map(|(event, _)| event).collect();
            if events.is_empty() {
                _ = delivery.ack(BasicAckOptions { multiple: false }).await?;
            } else {
                later.arrivals.push(Arrival { delivery, events });
            }
        }
        if !all_done {
            later.due = Instant::now() + later.backoff.next_delay();
        }
        Ok(())
    }
}

impl Later {
    fn none() -> Self {
        Self {
            arrivals: Vec::new(),
            due: Instant::now(),
            backoff: new_backoff(),
        }
    }
}

/// Reads the events of the messages. What is no event goes to the dead queue.
async fn read(deliveries: Vec<Delivery>) -> Result<Vec<Arrival>, lapin::Error> {
    let mut arrivals = Vec::with_capacity(deliveries.len());
    for delivery in deliveries {
        match read_events(&delivery) {
            Ok(events) => arrivals.push(Arrival { delivery, events }),
            Err(error) => {
                tracing::error!(%error, "a message is no event; it goes to the dead queue");
                // Not requeued: a rejected message goes to the dead-letter exchange.
                delivery
                    .reject(BasicRejectOptions { requeue: false })
                    .await?;
            }
        }
    }
    Ok(arrivals)
}

/// Several events, or one by itself.
fn read_events(delivery: &Delivery) -> serde_json::Result<Vec<Envelope>> {
    let content_type = delivery.properties.content_type().as_ref();
    if content_type.is_some_and(|name| name.as_str() == BATCH_CONTENT_TYPE) {
        serde_json::from_slice(&delivery.data)
    } else {
        serde_json::from_slice(&delivery.data).map(|event| vec![event])
    }
}

fn new_backoff() -> Backoff {
    Backoff::try_new(BACKOFF, Jitter::from_entropy()).expect("the constants above are in order")
}
