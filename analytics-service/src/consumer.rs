//! Events of other services, logged and taken into the read model in one transaction.

use ::store::Tx;
use async_trait::async_trait;
use common::clock::Clock;
use messaging::{ConsumeError, Consumer, Envelope};

use crate::app::project::{TYPES, apply};
use crate::error::UseCaseError;
use crate::store::event_log::{self, LoggedEvent};

/// Feeds the read model.
pub(crate) struct SalesProjector {
    pub(crate) clock: Clock,
}

#[async_trait]
impl Consumer for SalesProjector {
    fn types(&self) -> &[&'static str] {
        &TYPES
    }

    async fn consume(&self, tx: &mut Tx, event: &Envelope) -> Result<(), ConsumeError> {
        self.consume_batch(tx, std::slice::from_ref(event)).await
    }

    async fn consume_batch(&self, tx: &mut Tx, events: &[Envelope]) -> Result<(), ConsumeError> {
        project(tx, events, &self.clock)
            .await
            .map_err(|error| match error {
                // A payload that cannot be read now cannot be read later either.
                UseCaseError::UnreadableEvent(..) => ConsumeError::Reject(error.to_string()),
                UseCaseError::MixedCurrencies | UseCaseError::Store(_) => {
                    ConsumeError::Retry(error.into())
                }
            })
    }
}

async fn project(tx: &mut Tx, events: &[Envelope], clock: &Clock) -> Result<(), UseCaseError> {
    let now = clock.now();
    let logged = |event: &Envelope| (LoggedEvent::from(event), event.subject.clone());
    let events: Vec<(LoggedEvent, String)> = events.iter().map(logged).collect();
    event_log::lock_projection(tx).await?;
    let new = event_log::insert(tx, &events, now).await?;
    let events = events.iter().map(|(event, _)| event);
    apply(tx, events.filter(|event| new.contains(&event.event_id))).await?;
    event_log::count_events(tx, new.len(), now).await?;
    Ok(())
}

impl From<&Envelope> for LoggedEvent {
    fn from(event: &Envelope) -> Self {
        Self {
            event_id: event.id,
            r#type: event.r#type.clone(),
            data: event.data.get().to_owned(),
        }
    }
}
