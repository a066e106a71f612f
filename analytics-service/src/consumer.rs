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
        project(tx, event, &self.clock)
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

async fn project(tx: &mut Tx, event: &Envelope, clock: &Clock) -> Result<(), UseCaseError> {
    let logged = LoggedEvent {
        event_id: event.id,
        r#type: event.r#type.clone(),
        data: event.data.get().to_owned(),
    };
    let now = clock.now();
    event_log::lock_projection(tx).await?;
    if event_log::insert(tx, &logged, &event.subject, now).await? {
        apply(tx, &logged).await?;
        event_log::count_event(tx, now).await?;
    }
    Ok(())
}
