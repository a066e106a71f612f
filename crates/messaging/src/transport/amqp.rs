//! Delivery through RabbitMQ: a topic exchange for events, a quorum queue for each service.
//!
//! Connections are made anew after any failure; nothing of a broken one is used again. What was not
//! confirmed stays in the outbox, and what was not acknowledged stays in the queue.

mod publisher;
mod subscription;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use contracts::events::consumed_by;
use contracts::services::ServiceName;
use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::uri::AMQPUri;
use lapin::{Channel, Connection, ConnectionProperties, ExchangeKind};

pub(crate) use self::publisher::Publisher;
pub(crate) use self::subscription::Subscription;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Longest time to connect and to declare the exchanges.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A dead peer is noticed after two of these.
const HEARTBEAT_S: u16 = 10;
/// A message that kills its consumer this often goes to the dead queue instead of killing on.
/// Ordinary failures are counted and parked by the consumer itself and never come near it.
const DELIVERY_LIMIT: i64 = 20;
/// Before the names of exchanges and queues, unless the address says `?namespace=`.
const NAMESPACE: &str = "maru";

/// Where the broker is and what our things are called there.
#[derive(Clone)]
pub(crate) struct Broker {
    uri: AMQPUri,
    namespace: String,
    service: ServiceName,
    link: Link,
}

/// Whether the broker could be reached lately.
#[derive(Clone)]
pub(crate) struct Link(Arc<AtomicBool>);

impl Link {
    pub(crate) fn is_up(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    fn set(&self, is_up: bool) {
        self.0.store(is_up, Ordering::Relaxed);
    }
}

/// A connection with one channel.
struct Session {
    channel: Channel,
    /// Dropping it closes the connection.
    connection: Connection,
}

impl Broker {
    /// # Errors
    /// What is wrong with the address.
    pub(crate) fn try_new(address: &str, service: ServiceName) -> Result<Self, String> {
        let mut uri: AMQPUri = address.parse()?;
        uri.query.heartbeat.get_or_insert(HEARTBEAT_S);
        let query = address.split_once('?').map_or("", |(_, query)| query);
        let namespace = query
            .split('&')
            .find_map(|pair| pair.strip_prefix("namespace="));
        let namespace = namespace.unwrap_or(NAMESPACE).to_owned();
        let link = Link(Arc::new(AtomicBool::new(true)));
        Ok(Self {
            uri,
            namespace,
            service,
            link,
        })
    }

    pub(crate) fn link(&self) -> Link {
        self.link.clone()
    }

    fn events_exchange(&self) -> ShortString {
        format!("{}.events", self.namespace).into()
    }

    fn dead_exchange(&self) -> String {
        format!("{}.dead", self.namespace)
    }

    fn queue(&self, service: &str) -> String {
        format!("{}.{service}", self.namespace)
    }

    async fn connect(&self) -> Result<Session, BoxError> {
        let session = async {
            let name = format!("{}-service", self.service);
            let properties = ConnectionProperties::default().with_connection_name(name.into());
            let connection = Connection::connect_uri(self.uri.clone(), properties).await?;
            let channel = connection.create_channel().await?;
            self.declare_exchanges(&channel).await?;
            Ok(Session {
                channel,
                connection,
            })
        };
        tokio::time::timeout(CONNECT_TIMEOUT, session).await?
    }

    async fn declare_exchanges(&self, channel: &Channel) -> Result<(), lapin::Error> {
        // Durable: the exchange is still there after the broker restarts.
        let durable = ExchangeDeclareOptions {
            durable: true,
            ..Default::default()
        };
        let events = self.events_exchange();
        // Topic: the event type is the routing key, and an operator can bind `order.#` to look on.
        channel
            .exchange_declare(events, ExchangeKind::Topic, durable, FieldTable::default())
            .await?;
        // Direct: each dead queue takes what came from its own queue.
        let dead = self.dead_exchange().into();
        channel
            .exchange_declare(dead, ExchangeKind::Direct, durable, FieldTable::default())
            .await
    }

    /// Declares a service's queue with its bindings. Publishers do this too, before the first event
    /// for it, so that a service which never ran yet misses nothing.
    async fn declare_queue(&self, channel: &Channel, service: &str) -> Result<(), lapin::Error> {
        // Durable, which quorum queues must be: the queue outlives the broker's restart.
        let durable = QueueDeclareOptions {
            durable: true,
            ..Default::default()
        };
        let queue = self.queue(service);
        let dead_queue = format!("{queue}.dead");

        let mut arguments = FieldTable::default();
        let mut set = |name: &str, value: AMQPValue| {
            arguments.insert(name.into(), value);
        };
        // Quorum: replicated, and synced to disk before a publish is confirmed.
        set("x-queue-type", text("quorum"));
        set("x-delivery-limit", AMQPValue::LongLongInt(DELIVERY_LIMIT));
        set("x-dead-letter-exchange", text(&self.dead_exchange()));
        // By default the event type would be the key, and all dead queues would get a copy.
        set("x-dead-letter-routing-key", text(&queue));
        // The default strategy may lose a message between the two queues; this one confirms it, and
        // asks for this overflow behaviour. The queue has no length limit, so nothing overflows.
        set("x-dead-letter-strategy", text("at-least-once"));
        set("x-overflow", text("reject-publish"));
        channel
            .queue_declare(queue.as_str().into(), durable, arguments)
            .await?;

        let mut arguments = FieldTable::default();
        arguments.insert("x-queue-type".into(), text("quorum"));
        channel
            .queue_declare(dead_queue.as_str().into(), durable, arguments)
            .await?;

        let bind = async |queue: &str, exchange: ShortString, key: &str| {
            let options = QueueBindOptions::default();
            channel
                .queue_bind(
                    queue.into(),
                    exchange,
                    key.into(),
                    options,
                    FieldTable::default(),
                )
                .await
        };
        bind(&dead_queue, self.dead_exchange().into(), &queue).await?;
        for event_type in consumed_by(service) {
            bind(&queue, self.events_exchange(), event_type).await?;
        }
        Ok(())
    }
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}
