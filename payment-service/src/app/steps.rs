//! Steps of payments, those that come at the same time in one transaction.

use std::collections::BTreeSet;

use ::store::{BatchResult, BatchWork, Db};
use common::clock::Clock;
use common::ids::IntentId;
use messaging::Outbox;

use super::authorize::{Begin, Sheet};
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

/// Takes in what was asked and learnt, decides and stores what follows from it.
pub(crate) struct Steps(pub(crate) Desk);

/// A step of a payment.
pub(crate) enum StepOf {
    /// The first one, which may begin the payment. Answered `None` when the order was given up.
    Begun(Begin),
    /// A later one.
    Known(IntentId, Cue),
}

impl BatchWork for Steps {
    type Request = StepOf;
    type Answer = Option<Progress>;
    type Error = UseCaseError;

    fn db(&self) -> &Db {
        &self.0.db
    }

    /// One statement locks all known orders, in the order of their ids, so that no two transactions
    /// wait for each other. Orders that are asked for once more are known too; they and the later
    /// steps lock with different statements, and therefore go into two transactions.
    async fn work(&self, requests: &[StepOf]) -> BatchResult<Self> {
        let Desk { db, outbox, .. } = &self.0;
        let now = self.0.clock.now();
        let (begins, intents) = sort(requests);
        let mut tx = db.begin().await?;
        let orders: BTreeSet<_> = begins.iter().map(|begin| begin.order_id()).collect();
        let held = payments::lock_orders(&mut tx, &orders, now).await?;
        let is_any_known = held.values().any(|held| held.is_known);
        let mut sheet = Sheet::of(held, &self.0, now);
        let begun: Vec<_> = begins.iter().map(|begin| sheet.begin(begin)).collect();
        let mut drafts = sheet.into_drafts();
        if is_any_known && !intents.is_empty() {
            drafts.store(&mut tx, outbox, now).await?;
            tx.commit().await?;
            tx = db.begin().await?;
            drafts = Drafts::default();
        }
        drafts.take_up(payments::lock_payments(&mut tx, &intents).await?);
        let mut begun = begun.into_iter();
        let progress = requests.iter().map(|request| match request {
            StepOf::Begun(_) => begun.next().unwrap_or(Err(UseCaseError::NotFound)),
            StepOf::Known(intent, cue) => {
                let progress = drafts.advance(*intent, cue, &self.0.policy, now);
                progress.map(Some)
            }
        });
        let progress = progress.collect();
        drafts.store(&mut tx, outbox, now).await?;
        tx.commit().await?;
        Ok(progress)
    }
}

/// The first steps, and the intents of the later ones.
fn sort(requests: &[StepOf]) -> (Vec<&Begin>, Vec<IntentId>) {
    let (mut begins, mut intents) = (Vec::new(), Vec::new());
    for request in requests {
        match request {
            StepOf::Begun(begin) => begins.push(begin),
            StepOf::Known(intent, _) => intents.push(*intent),
        }
    }
    (begins, intents)
}
