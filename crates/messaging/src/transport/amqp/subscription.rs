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

use super::{BoxError, Broker};
use crate::Envelope;
use crate::intake::Intake;
use crate::transport::http::Outcome;

/// Prefetch: how many messages the broker hands out before the first is acknowledged. As many as a
/// batch, so that the next one arrives while one is being committed, and memory stays bounded.
const PREFETCH: u16 = 256;
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

/// A message whose event was read.
struct Arrival {
    delivery: Delivery,
    event: Envelope,
}

/// Events that failed, kept unacknowledged until they are tried again: were they given back, the
/// broker would hand them out again at once.
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
    pub(crate) async fn run(self, batch_size: u32, shutdown: Shutdown) {
        let mut backoff = new_backoff();
        loop {
            let ended = self.consume(batch_size, &mut backoff, &shutdown).await;
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
    async fn consume(
        &self,
        batch_size: u32,
        backoff: &mut Backoff,
        shutdown: &Shutdown,
    ) -> Result<(), BoxError> {
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

        let mut chunks = consumer.ready_chunks(usize::try_from(batch_size)?);
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

    async fn take(&self, arrivals: Vec<Arrival>, later: &mut Later) -> Result<(), BoxError> {
        let (deliveries, events): (Vec<_>, Vec<_>) = arrivals
            .into_iter()
            .map(|arrival| (arrival.delivery, arrival.event))
            .unzip();
        let outcomes = self.intake.receive(&events).await;
        let all_done = !outcomes.contains(&Outcome::Retry);
        if let Some(last) = deliveries.last()
            && all_done
            && later.arrivals.is_empty()
        {
            // Multiple: acknowledges everything before it too, which is all that is open.
            last.ack(BasicAckOptions { multiple: true }).await?;
            later.backoff.reset();
            return Ok(());
        }
        for ((delivery, event), outcome) in deliveries.into_iter().zip(events).zip(outcomes) {
            match outcome {
                Outcome::Done | Outcome::Parked => {
                    _ = delivery.ack(BasicAckOptions { multiple: false }).await?;
                }
                Outcome::Retry => later.arrivals.push(Arrival { delivery, event }),
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
        match serde_json::from_slice(&delivery.data) {
            Ok(event) => arrivals.push(Arrival { delivery, event }),
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

fn new_backoff() -> Backoff {
    Backoff::try_new(BACKOFF, Jitter::from_entropy()).expect("the constants above are in order")
}
