//! What a service does with the events it is told.

use async_trait::async_trait;
use store::{StoreError, Tx};

use crate::Envelope;

/// Why an event did not take effect.
#[derive(Debug, thiserror::Error)]
pub enum ConsumeError {
    /// Not now: try again; after `events.max_attempts` tries it is parked.
    #[error("the event cannot take effect yet")]
    Retry(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Never: park it at once, with this reason.
    #[error("the event is not acceptable: {0}")]
    Reject(String),
    /// The database failed. While it is unavailable, tries are not counted.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Gives events of some types their effect.
///
/// The effect belongs into `tx`, whole: it commits together with the inbox's record that the event
/// was seen, so an event that is delivered twice has one effect. Anything outside `tx` may happen
/// more than once. Events of different sources come in any order.
#[async_trait]
pub trait Consumer: Send + Sync + 'static {
    /// The event types that it wants.
    fn types(&self) -> &[&'static str];

    /// Gives one event its effect.
    ///
    /// # Errors
    /// What keeps it from having one; `tx` is then rolled back.
    async fn consume(&self, tx: &mut Tx, event: &Envelope) -> Result<(), ConsumeError>;

    /// Gives several events their effect, in order; to be overridden where doing it together is
    /// cheaper. On an error each is tried again alone.
    ///
    /// # Errors
    /// What keeps one of them from having its effect.
    async fn consume_batch(&self, tx: &mut Tx, events: &[Envelope]) -> Result<(), ConsumeError> {
        for event in events {
            event.context().scope(self.consume(tx, event)).await?;
        }
        Ok(())
    }
}
