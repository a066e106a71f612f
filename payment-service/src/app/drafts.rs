//! Payments whose orders are locked: advanced in memory, then stored with few statements.

mod draft;

use std::collections::BTreeMap;

use ::store::Tx;
use common::context::RequestContext;
use common::ids::{IntentId, OrderId};
use common::time::Timestamp;
use messaging::Outbox;

use self::draft::Draft;
pub(crate) use self::draft::nothing_to_refund;
use super::drive::Progress;
use super::refund::Asked;
use crate::domain::operation::OperationId;
use crate::domain::payment::{Payment, Plan, Report};
use crate::domain::policy::Policy;
use crate::error::UseCaseError;
use crate::store::{ledger, operations, payments};

/// What makes a payment go on, and in whose name.
#[derive(Clone, Debug)]
pub(crate) struct Cue {
    /// What was learnt.
    pub(crate) report: Report,
    /// What the driver is after.
    pub(crate) plan: Plan,
    /// Whose trace the events of this step carry.
    pub(crate) context: RequestContext,
}

impl Cue {
    /// A cue in the name of the request that is being served.
    pub(crate) fn new(report: Report, plan: Plan) -> Self {
        let context = RequestContext::current().unwrap_or_else(RequestContext::background);
        Self {
            report,
            plan,
            context,
        }
    }
}

/// Payments by intent, and what is to be stored of them. A transaction that locked their orders
/// advances them in the order of its requests, each from where the one before left it.
#[derive(Debug, Default)]
pub(crate) struct Drafts(BTreeMap<IntentId, Draft>);

impl Drafts {
    /// Takes up payments as they are stored.
    pub(crate) fn of(payments: impl IntoIterator<Item = Payment>) -> Self {
        let mut drafts = Self::default();
        drafts.take_up(payments);
        drafts
    }

    /// Takes up more payments as they are stored.
    pub(crate) fn take_up(&mut self, payments: impl IntoIterator<Item = Payment>) {
        let drafts = payments.into_iter().map(Draft::stored);
        let drafts = drafts.map(|draft| (draft.payment.intent.id, draft));
        self.0.extend(drafts);
    }

    /// The payment of an intent as it is now.
    pub(crate) fn payment(&self, intent: IntentId) -> Option<&Payment> {
        self.0.get(&intent).map(|draft| &draft.payment)
    }

    /// Advances a payment and says what to do next. Refused, it leaves the payment as it was.
    ///
    /// # Errors
    /// [`UseCaseError::NotFound`], or what the report contradicts.
    pub(crate) fn advance(
        &mut self,
        intent: IntentId,
        cue: &Cue,
        policy: &Policy,
        now: Timestamp,
    ) -> Result<Progress, UseCaseError> {
        let draft = self.0.get_mut(&intent).ok_or(UseCaseError::NotFound)?;
        let progress = draft.advance(cue, policy, now)?;
        if draft.closes_order {
            self.close(progress.payment.order.id);
        }
        Ok(progress)
    }

    /// Adds a refund that a person asked for, to be sent when the payment is advanced.
    ///
    /// # Errors
    /// [`UseCaseError::NotFound`], or why there is not so much to refund.
    pub(crate) fn add_refund(
        &mut self,
        asked: &Asked,
        now: Timestamp,
    ) -> Result<OperationId, UseCaseError> {
        let draft = self.0.get_mut(&asked.intent);
        draft.ok_or(UseCaseError::NotFound)?.add_refund(asked, now)
    }

    /// Advances a payment whose intent is not stored yet, for the first time. Refused, it is
    /// forgotten.
    ///
    /// # Errors
    /// Those of [`Drafts::advance`].
    pub(crate) fn begin(
        &mut self,
        payment: Payment,
        cue: &Cue,
        policy: &Policy,
        now: Timestamp,
    ) -> Result<Progress, UseCaseError> {
        let mut draft = Draft::new(payment);
        let progress = draft.advance(cue, policy, now)?;
        self.0.insert(draft.payment.intent.id, draft);
        Ok(progress)
    }

    fn close(&mut self, order: OrderId) {
        let drafts = self.0.values_mut();
        for draft in drafts.filter(|draft| draft.payment.order.id == order) {
            draft.payment.order.closed = true;
        }
    }

    /// Stores what changed, books the money that moved and announces what went back to guests.
    ///
    /// # Errors
    /// Those of the database.
    pub(crate) async fn store(
        &self,
        tx: &mut Tx,
        outbox: &Outbox,
        now: Timestamp,
    ) -> Result<(), UseCaseError> {
        self.store_payments(tx).await?;
        let bookings: Vec<_> = self.0.values().flat_map(Draft::bookings).collect();
        ledger::insert_bookings(tx, &bookings, now).await?;
        let events = self.0.values().flat_map(|draft| &draft.events);
        let events: Result<Vec<_>, _> = events
            .map(|(context, event)| {
                let prepare = || outbox.prepare(&event.order_id, event);
                context.clone().sync_scope(prepare)
            })
            .collect();
        outbox.append_prepared(tx, &events?).await?;
        let closing = self.0.values().filter(|draft| draft.closes_order);
        let closed: Vec<_> = closing.map(|draft| draft.payment.order.id).collect();
        payments::update_orders_closed(tx, &closed, now).await?;
        Ok(())
    }

    async fn store_payments(&self, tx: &mut Tx) -> Result<(), UseCaseError> {
        let (mut new, mut changed) = (Vec::new(), Vec::new());
        let (mut inserted, mut updated) = (Vec::new(), Vec::new());
        for draft in self.0.values() {
            draft.log();
            let intent = &draft.payment.intent;
            if draft.is_new {
                new.push(intent);
            } else if draft.step.intent_changed {
                changed.push(intent);
            }
            inserted.extend(draft.operations(&draft.step.inserted));
            updated.extend(draft.operations(&draft.step.updated));
        }
        payments::insert_intents(tx, &new).await?;
        operations::insert(tx, &inserted).await?;
        operations::update(tx, &updated).await?;
        payments::update_intents(tx, &changed).await?;
        Ok(())
    }
}
