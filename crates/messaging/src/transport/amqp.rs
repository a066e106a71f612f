//! Delivery through RabbitMQ: a topic exchange for events, a quorum queue for each service.
//!
//! Connections are made anew after any failure; nothing of a broken one is used again. What was not
//! confirmed stays in the outbox, and what was not acknowledged stays in the queue.

mod publisher;
mod subscription;
mod topology;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use contracts::services::ServiceName;
use lapin::uri::AMQPUri;
use lapin::{Channel, Connection, ConnectionProperties};

pub(crate) use self::publisher::Publisher;
pub(crate) use self::subscription::Subscription;
use self::topology::Topology;

/// Of a message with several events (CloudEvents 1.0.2, section 4 of the JSON format).
const BATCH_CONTENT_TYPE: &str = "application/cloudevents-batch+json";

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Longest time to connect and to declare the exchanges.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A dead peer is noticed after two of these.
const HEARTBEAT_S: u16 = 10;

/// Where the broker is, what we have there, and in whose name.
#[derive(Clone)]
pub(crate) struct Broker {
    uri: AMQPUri,
    topology: Topology,
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
        let link = Link(Arc::new(AtomicBool::new(true)));
        Ok(Self {
            uri,
            topology: Topology::of(address),
            service,
            link,
        })
    }

    pub(crate) fn link(&self) -> Link {
        self.link.clone()
    }

    async fn connect(&self) -> Result<Session, BoxError> {
        let session = async {
            let name = format!("{}-service", self.service);
            let properties = ConnectionProperties::default().with_connection_name(name.into());
            let connection = Connection::connect_uri(self.uri.clone(), properties).await?;
            let channel = connection.create_channel().await?;
            self.topology.declare_exchanges(&channel).await?;
            Ok(Session {
                channel,
                connection,
            })
        };
        tokio::time::timeout(CONNECT_TIMEOUT, session).await?
    }
}
