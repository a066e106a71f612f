//! What messaging has at the broker, and why each flag is what it is.

use contracts::events::consumed_by;
use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Channel, Error, ExchangeKind};

/// Before the names of exchanges and queues.
const NAMESPACE: &str = "maru";
/// Parameter of the broker's address that puts another name there, for trials and tests.
const TEMPORARY_NAMESPACE: &str = "temporary_namespace=";
/// The queues of a temporary namespace vanish, with what is in them, unused for this long.
const TEMPORARY_MS: i64 = 300_000;
/// A message that kills its consumer this often goes to the dead queue instead of killing on.
/// Ordinary failures are counted and parked by the consumer itself and never come near it.
const DELIVERY_LIMIT: i64 = 20;

/// The exchanges and queues of one installation.
#[derive(Clone, Debug)]
pub(super) struct Topology {
    namespace: String,
    is_temporary: bool,
}

impl Topology {
    /// The names to use at the broker with this address.
    pub(super) fn of(address: &str) -> Self {
        let query = address.split_once('?').map_or("", |(_, query)| query);
        let temporary = query
            .split('&')
            .find_map(|pair| pair.strip_prefix(TEMPORARY_NAMESPACE));
        Self {
            namespace: temporary.unwrap_or(NAMESPACE).to_owned(),
            is_temporary: temporary.is_some(),
        }
    }

    /// Where events are published.
    pub(super) fn events_exchange(&self) -> ShortString {
        format!("{}.events", self.namespace).into()
    }

    /// Where a service's events wait for it.
    pub(super) fn queue(&self, service: &str) -> ShortString {
        format!("{}.{service}", self.namespace).into()
    }

    fn dead_exchange(&self) -> ShortString {
        format!("{}.dead", self.namespace).into()
    }

    fn dead_queue(&self, service: &str) -> ShortString {
        format!("{}.{service}.dead", self.namespace).into()
    }

    pub(super) async fn declare_exchanges(&self, channel: &Channel) -> Result<(), Error> {
        let options = ExchangeDeclareOptions {
            // Durable: still there after the broker restarts.
            durable: true,
            // Auto-delete: goes with its last queue.
            auto_delete: self.is_temporary,
            ..Default::default()
        };
        let none = FieldTable::default;
        // Topic: the event type is the routing key, and an operator can bind `order.#` to look on.
        let events = self.events_exchange();
        channel
            .exchange_declare(events, ExchangeKind::Topic, options, none())
            .await?;
        // Direct: each dead queue takes what came from its own queue.
        let dead = self.dead_exchange();
        channel
            .exchange_declare(dead, ExchangeKind::Direct, options, none())
            .await
    }

    /// Declares a service's queue with its bindings. Publishers do this too, before the first event
    /// for it, so that a service which never ran yet misses nothing.
    pub(super) async fn declare_queue(
        &self,
        channel: &Channel,
        service: &str,
    ) -> Result<(), Error> {
        // Durable, which quorum queues must be: still there after the broker restarts.
        let durable = QueueDeclareOptions {
            durable: true,
            ..Default::default()
        };
        let queue = self.queue(service);
        let dead_queue = self.dead_queue(service);
        let bind = |queue: &ShortString, exchange: ShortString, key: ShortString| {
            let options = QueueBindOptions::default();
            channel.queue_bind(queue.clone(), exchange, key, options, FieldTable::default())
        };
        // The dead queue first: nothing may die before there is a place for it.
        channel
            .queue_declare(dead_queue.clone(), durable, self.dead_queue_arguments())
            .await?;
        bind(&dead_queue, self.dead_exchange(), queue.clone()).await?;
        channel
            .queue_declare(queue.clone(), durable, self.queue_arguments(&queue))
            .await?;
        for event_type in consumed_by(service) {
            bind(&queue, self.events_exchange(), event_type.into()).await?;
        }
        Ok(())
    }

    fn queue_arguments(&self, queue: &ShortString) -> FieldTable {
        let mut arguments = self.dead_queue_arguments();
        let mut set = |name: &str, value| _ = arguments.insert(name.into(), value);
        set("x-delivery-limit", AMQPValue::LongLongInt(DELIVERY_LIMIT));
        set(
            "x-dead-letter-exchange",
            text(self.dead_exchange().as_str()),
        );
        // By default the event type would be the key, and no dead queue is bound by that.
        set("x-dead-letter-routing-key", text(queue.as_str()));
        // The default strategy may lose a message between the two queues; this one confirms it, and
        // asks for this overflow behaviour. The queue has no length limit, so nothing overflows.
        set("x-dead-letter-strategy", text("at-least-once"));
        set("x-overflow", text("reject-publish"));
        arguments
    }

    fn dead_queue_arguments(&self) -> FieldTable {
        let mut arguments = FieldTable::default();
        // Quorum: replicated, and synced to disk before a publish is confirmed.
        arguments.insert("x-queue-type".into(), text("quorum"));
        if self.is_temporary {
            arguments.insert("x-expires".into(), AMQPValue::LongLongInt(TEMPORARY_MS));
        }
        arguments
    }
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_in_a_namespace() {
        let usual = Topology::of("amqp://user@host/vhost?heartbeat=5");
        assert_eq!(usual.queue("order").as_str(), "maru.order");
        assert_eq!(usual.events_exchange().as_str(), "maru.events");
        let trial = Topology::of("amqp://host/%2f?heartbeat=5&temporary_namespace=trial");
        assert_eq!(trial.dead_queue("order").as_str(), "trial.order.dead");
        assert!(trial.is_temporary && !usual.is_temporary);
    }
}
