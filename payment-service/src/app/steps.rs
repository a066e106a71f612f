//! Steps of payments, those that come at the same time in one transaction.

use ::store::{BatchResult, BatchWork, Db};
use common::clock::Clock;
use common::ids::IntentId;
use messaging::Outbox;

use super::drafts::{Cue, Drafts};
use super::drive::Progress;
use crate::domain::policy::Policy;
use crate::error::UseCaseError;
use crate::store::payments;

/// What the transactions of several payments need.
#[derive(Clone)]
pub(crate) struct Desk {
    pub(crate) db: Db,
    pub(crate) clock: Clock,
    pub(crate) outbox: Outbox,
    pub(crate) policy: Policy,
}

/// Takes in what was learnt of payments, decides and stores what follows from it.
pub(crate) struct Steps(pub(crate) Desk);

/// A payment that is to go on.
pub(crate) struct StepOf {
    pub(crate) intent: IntentId,
    pub(crate) cue: Cue,
}

impl BatchWork for Steps {
    type Request = StepOf;
    type Answer = Progress;
    type Error = UseCaseError;

    async fn work(&self, requests: &[StepOf]) -> BatchResult<Self> {
        let Desk {
            db, clock, outbox, ..
        } = &self.0;
        let now = clock.now();
        let mut tx = db.begin().await?;
        let intents: Vec<_> = requests.iter().map(|request| request.intent).collect();
        let mut drafts = Drafts::of(payments::lock_payments(&mut tx, &intents).await?);
        let progress = requests
            .iter()
            .map(|request| drafts.advance(request.intent, &request.cue, &self.0.policy, now))
            .collect();
        drafts.store(&mut tx, outbox, now).await?;
        tx.commit().await?;
        Ok(progress)
    }
}
