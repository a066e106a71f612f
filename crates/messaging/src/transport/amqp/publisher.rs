//! Publishing with confirms.

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::ShortString;
use lapin::{BasicProperties, Channel, Confirmation, PublisherConfirm};
use tokio::sync::Mutex;

use super::{BoxError, Broker, Session};
use crate::outbox::BUS;
use crate::transport::{Delivery, Outgoing, Transport};

/// Longest time for the broker to confirm a batch; it does not while it is out of memory or disk.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(15);
/// Kept on disk, as far as a message itself can ask for it.
const PERSISTENT: u8 = 2;

/// A way to the broker.
pub(crate) struct Publisher {
    broker: Broker,
    open: Mutex<Option<Open>>,
}

struct Open {
    session: Session,
    /// Services whose queues are known to exist.
    declared: BTreeSet<&'static str>,
}

impl Publisher {
    pub(crate) fn new(broker: Broker) -> Self {
        Self {
            broker,
            open: Mutex::default(),
        }
    }

    async fn connect(&self) -> Result<Open, BoxError> {
        let session = self.broker.connect().await?;
        // Confirms: without them a publish says nothing about whether the broker has the message.
        session
            .channel
            .confirm_select(ConfirmSelectOptions::default())
            .await?;
        Ok(Open {
            session,
            declared: BTreeSet::new(),
        })
    }

    /// Publishes all, then waits for all: one round trip for a batch.
    async fn publish(
        &self,
        open: &mut Open,
        destination: &str,
        batch: &[Outgoing],
        delivery: &mut Delivery,
    ) -> Result<(), BoxError> {
        let mut confirms = Vec::with_capacity(batch.len());
        for event in batch {
            let subscribers = contracts::subscribers(&event.r#type);
            for service in subscribers {
                if !open.declared.contains(service) {
                    self.broker
                        .topology
                        .declare_queue(&open.session.channel, service)
                        .await?;
                    open.declared.insert(service);
                }
            }
            let route = self.route(destination, event);
            let options = BasicPublishOptions {
                // Mandatory: the broker returns what no queue takes instead of dropping it. An
                // event without subscribers is free to vanish.
                mandatory: !subscribers.is_empty(),
                // Immediate: not supported by RabbitMQ.
                immediate: false,
            };
            confirms.push(send(&open.session.channel, route, options, event).await?);
        }
        for (event, confirm) in batch.iter().zip(confirms) {
            match confirm.await? {
                Confirmation::Ack(None) => delivery.acknowledged.push(event.event_id),
                Confirmation::Ack(Some(_)) => return Err("no queue takes the event".into()),
                Confirmation::Nack(_) => return Err("the broker refused the event".into()),
                Confirmation::NotRequested => return Err("the broker does not confirm".into()),
            }
        }
        Ok(())
    }

    /// Exchange and routing key. A row that was written for one subscriber over HTTP goes to that
    /// one's queue, by the default exchange.
    fn route(&self, destination: &str, event: &Outgoing) -> (ShortString, ShortString) {
        if destination == BUS {
            (
                self.broker.topology.events_exchange(),
                event.r#type.as_str().into(),
            )
        } else {
            (
                ShortString::default(),
                self.broker.topology.queue(destination),
            )
        }
    }
}

#[async_trait]
impl Transport for Publisher {
    async fn deliver(&self, destination: &str, batch: &[Outgoing]) -> Delivery {
        let mut delivery = Delivery::default();
        let mut open = self.open.lock().await;
        let published = async {
            let mut connected = match open.take() {
                Some(connected) => connected,
                None => self.connect().await?,
            };
            self.publish(&mut connected, destination, batch, &mut delivery)
                .await?;
            // Only now: after any failure the next batch starts with a new connection.
            *open = Some(connected);
            Ok::<_, BoxError>(())
        };
        let result = tokio::time::timeout(CONFIRM_TIMEOUT, published).await;
        let failure = result.map_err(BoxError::from).flatten().err();
        self.broker.link.set(failure.is_none());
        delivery.failure = failure.map(|error| error.to_string());
        delivery
    }
}

async fn send(
    channel: &Channel,
    (exchange, key): (ShortString, ShortString),
    options: BasicPublishOptions,
    event: &Outgoing,
) -> Result<PublisherConfirm, lapin::Error> {
    let properties = BasicProperties::default()
        .with_content_type("application/cloudevents+json".into())
        .with_delivery_mode(PERSISTENT)
        .with_message_id(event.event_id.to_string().into())
        .with_type(event.r#type.as_str().into());
    channel
        .basic_publish(exchange, key, options, event.body.as_bytes(), properties)
        .await
}
