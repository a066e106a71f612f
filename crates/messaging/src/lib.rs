//! Events between services that take effect exactly once, whatever crashes.
//!
//! A use case appends its events to the [`Outbox`] in the transaction of the change itself. A relay
//! hands them to the transport (HTTP to each subscriber, or RabbitMQ), in order for each
//! destination, and marks a row only after it was acknowledged: at least once. The subscriber
//! writes the event's id to its inbox in the transaction of the effect: at most once. An event that
//! keeps failing is parked with its reason, listed, and re-driven by a person; nothing is dropped.
//!
//! [`Messaging`] runs all of this for one service. What an event means is its [`Consumer`]'s
//! business, and who subscribes to what stands in `contracts`.

mod backlog;
mod consumer;
mod envelope;
mod intake;
mod outbox;
mod parked;
mod relay;
mod routes;
mod service;
mod transport;

pub use consumer::{ConsumeError, Consumer};
pub use envelope::Envelope;
pub use outbox::{Outbox, PreparedEvent};
pub use service::{Messaging, MessagingError, MessagingParams};

/// The migrations of outbox, inbox and parked events.
pub static MIGRATIONS: store::Migrator = sqlx::migrate!("../../migrations/shared/messaging");
