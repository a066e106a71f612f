//! Publishing with confirms.

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::ShortString;
use lapin::{BasicProperties, Channel, Confirmation, PublisherConfirm};
use tokio::sync::Mutex;

use super::{BATCH_CONTENT_TYPE, BoxError, Broker, Session};
use crate::outbox::BUS;
use crate::transport::{Delivery, Outgoing, Transport, json_array};

/// Longest time for the broker to confirm a batch; it does not while it is out of memory or disk.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(15);
/// Where a message is cut, unless its first event alone is larger.
const MAX_MESSAGE_BYTES: usize = 64 << 10;
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
        let messages: Vec<_> = messages(batch).collect();
        let mut confirms = Vec::with_capacity(messages.len());
        for events in &messages {
            let event_type = events.first().map_or("", |event| event.r#type.as_str());
            let subscribers = contracts::subscribers(event_type);
            for service in subscribers {
                if !open.declared.contains(service) {
                    self.broker
                        .topology
                        .declare_queue(&open.session.channel, service)
                        .await?;
                    open.declared.insert(service);
                }
            }
            let route = self.route(destination, event_type);
            let options = BasicPublishOptions {
                // Mandatory: the broker returns what no queue takes instead of dropping it. An
                // event without subscribers is free to vanish.
                mandatory: !subscribers.is_empty(),
                // Immediate: not supported by RabbitMQ.
                immediate: false,
            };
            let body = json_array(*events);
            confirms.push(send(&open.session.channel, route, options, event_type, &body).await?);
        }
        for (events, confirm) in messages.into_iter().zip(confirms) {
            match confirm.await? {
                Confirmation::Ack(None) => {
                    let ids = events.iter().map(|event| event.event_id);
                    delivery.acknowledged.extend(ids);
                }
                Confirmation::Ack(Some(_)) => return Err("no queue takes the event".into()),
                Confirmation::Nack(_) => return Err("the broker refused the event".into()),
                Confirmation::NotRequested => return Err("the broker does not confirm".into()),
            }
        }
        Ok(())
    }

    /// Exchange and routing key. A row that was written for one subscriber over HTTP goes to that
    /// one's queue, by the default exchange.
    fn route(&self, destination: &str, event_type: &str) -> (ShortString, ShortString) {
        if destination == BUS {
            (self.broker.topology.events_exchange(), event_type.into())
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

/// The events of a batch that travel together. What the broker does for a message costs it more than
/// what stands in it; but a message has one routing key, the type, and a consumer holds many.
fn messages(batch: &[Outgoing]) -> impl Iterator<Item = &[Outgoing]> {
    let mut bytes = 0;
    batch.chunk_by(move |event, next| {
        bytes += event.body.len();
        let is_one = event.r#type == next.r#type && bytes + next.body.len() <= MAX_MESSAGE_BYTES;
        if !is_one {
            bytes = 0;
        }
        is_one
    })
}

async fn send(
    channel: &Channel,
    (exchange, key): (ShortString, ShortString),
    options: BasicPublishOptions,
    event_type: &str,
    body: &str,
) -> Result<PublisherConfirm, lapin::Error> {
    let properties = BasicProperties::default()
        .with_content_type(BATCH_CONTENT_TYPE.into())
        .with_delivery_mode(PERSISTENT)
        .with_type(event_type.into());
    channel
        .basic_publish(exchange, key, options, body.as_bytes(), properties)
        .await
}

#[cfg(test)]
mod tests {
    use common::ids::EventId;
    use uuid::Uuid;

    use super::*;

    fn event((event_type, bytes): &(&str, usize)) -> Outgoing {
        Outgoing {
            event_id: EventId::from_uuid(Uuid::nil()),
            r#type: (*event_type).to_owned(),
            body: "x".repeat(*bytes),
        }
    }

    #[test]
    fn a_message_has_one_type_and_a_bounded_size() {
        let most = MAX_MESSAGE_BYTES;
        for (events, expected) in [
            (vec![], vec![]),
            (vec![("a", 1), ("a", 1), ("b", 1), ("a", 1)], vec![2, 1, 1]),
            (
                vec![("a", most - 1), ("a", 1), ("a", 1), ("a", 1)],
                vec![2, 2],
            ),
            (vec![("a", most), ("a", 1)], vec![1, 1]),
            (vec![("a", 2 * most), ("a", most), ("a", 1)], vec![1, 1, 1]),
        ] {
            let batch: Vec<_> = events.iter().map(event).collect();
            let sizes: Vec<_> = messages(&batch).map(<[_]>::len).collect();
            assert_eq!(sizes, expected, "{events:?}");
        }
    }
}
