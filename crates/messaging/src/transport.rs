//! How events leave a service: over HTTP to each subscriber, or through RabbitMQ.

pub(crate) mod amqp;
pub(crate) mod http;

use async_trait::async_trait;
use common::ids::EventId;

/// A row of the outbox on its way.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct Outgoing {
    pub(crate) event_id: EventId,
    pub(crate) r#type: String,
    pub(crate) body: String,
}

/// What became of a batch.
#[derive(Debug, Default)]
pub(crate) struct Delivery {
    /// These are durable on the other side.
    pub(crate) acknowledged: Vec<EventId>,
    /// Why the others are not.
    pub(crate) failure: Option<String>,
}

impl Delivery {
    pub(crate) fn failed(reason: impl ToString) -> Self {
        Self {
            acknowledged: Vec::new(),
            failure: Some(reason.to_string()),
        }
    }
}

/// A way to other services.
#[async_trait]
pub(crate) trait Transport: Send + Sync {
    /// Hands over a batch, in order, and waits until the other side answers for it.
    async fn deliver(&self, destination: &str, batch: &[Outgoing]) -> Delivery;
}

/// The events as a JSON array; their bodies are JSON already.
fn json_array<'a>(events: impl IntoIterator<Item = &'a Outgoing>) -> String {
    let bodies: Vec<&str> = events
        .into_iter()
        .map(|event| event.body.as_str())
        .collect();
    format!("[{}]", bodies.join(","))
}
