//! Sets the amount of an order aside; cash is taken at once.

use std::collections::BTreeMap;

use common::ids::{IntentId, OrderId, StoreId};
use common::money::Money;
use common::time::Timestamp;

use super::AppState;
use super::drafts::{Cue, Drafts};
use super::drive::{Patience, Progress, drive};
use super::steps::{Desk, StepOf};
use crate::domain::intent::{Intent, IntentState, Method};
use crate::domain::payment::{Driver, Order, Payment, Plan, Report, Want};
use crate::domain::token::Token;
use crate::error::UseCaseError;
use crate::store::payments::Held;

/// What is to be set aside.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) command_id: String,
    pub(crate) order_id: OrderId,
    pub(crate) store_id: StoreId,
    pub(crate) amount: Money,
    pub(crate) method: Method,
    /// For cards.
    pub(crate) token: Option<Token>,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Set aside, or taken already.
    Authorized(IntentId),
    /// Refused for good.
    Declined(IntentId, String),
    /// Only the provider can tell.
    Unknown(IntentId),
    /// The order was given up; nothing is set aside.
    Voided,
}

const PLAN: Plan = Plan {
    want: Want::Nothing,
    focus: None,
    driver: Driver::Caller,
};

/// Sets the amount aside. Repeated, it answers what it answered the first time; an order whose card
/// was declined may be tried again with a new command.
pub(crate) async fn authorize(app: &AppState, request: Request) -> Result<Outcome, UseCaseError> {
    let patience = Patience::Until(app.deadline());
    let worker = app.clone();
    app.finish(async move {
        let begun = worker.steps.run(StepOf::Begun(Begin::new(request)));
        let Some(progress) = begun.await? else {
            return Ok(Outcome::Voided);
        };
        let payment = drive(&worker, progress, PLAN, patience).await?;
        Ok(outcome(&payment))
    })
    .await
}

/// What is to be set aside, and in whose name.
pub(crate) struct Begin {
    request: Request,
    cue: Cue,
}

impl Begin {
    /// In the name of the request that is being served.
    pub(crate) fn new(request: Request) -> Self {
        let cue = Cue::new(Report::Nothing, PLAN);
        Self { request, cue }
    }

    pub(super) const fn order_id(&self) -> OrderId {
        self.request.order_id
    }
}

/// The locked orders of a batch for which an authorization is asked.
pub(super) struct Sheet<'a> {
    desk: &'a Desk,
    now: Timestamp,
    /// Each with its latest intent.
    orders: BTreeMap<OrderId, (Order, Option<IntentId>)>,
    drafts: Drafts,
}

impl<'a> Sheet<'a> {
    pub(super) fn of(held: BTreeMap<OrderId, Held>, desk: &'a Desk, now: Timestamp) -> Self {
        let latest = |held: &Held| held.latest.as_ref().map(|payment| payment.intent.id);
        let orders = held
            .iter()
            .map(|(id, held)| (*id, (held.order, latest(held))));
        Self {
            desk,
            now,
            orders: orders.collect(),
            drafts: Drafts::of(held.into_values().filter_map(|held| held.latest)),
        }
    }

    /// What is to be stored.
    pub(super) fn into_drafts(self) -> Drafts {
        self.drafts
    }

    /// Takes the first step. Answers `None` when the order was given up.
    pub(super) fn begin(
        &mut self,
        Begin { request, cue }: &Begin,
    ) -> Result<Option<Progress>, UseCaseError> {
        let locked = self.orders.get_mut(&request.order_id);
        let (order, latest) = locked.ok_or_else(unlocked)?;
        if order.voided {
            return Ok(None);
        }
        let known = latest.and_then(|id| self.drafts.payment(id));
        let known = known.map(|payment| &payment.intent);
        let (policy, now) = (&self.desk.policy, self.now);
        let attempt = match known {
            Some(intent) if is_answered_by(intent, request)? => {
                let id = intent.id;
                return self.drafts.advance(id, cue, policy, now).map(Some);
            }
            Some(declined) => declined.attempt + 1,
            None => 1,
        };
        let payment = Payment {
            order: *order,
            intent: new_intent(self.desk, request, attempt, now),
            operations: Vec::new(),
        };
        let progress = self.drafts.begin(payment, cue, policy, now)?;
        *latest = Some(progress.payment.intent.id);
        Ok(Some(progress))
    }
}

fn unlocked() -> UseCaseError {
    UseCaseError::Inconsistent("an order of a batch was not locked".to_owned())
}

/// Whether the order's latest intent is what this request asks for; otherwise it was declined and
/// another one may follow.
fn is_answered_by(latest: &Intent, request: &Request) -> Result<bool, UseCaseError> {
    if latest.state == IntentState::Declined && latest.command_id != request.command_id {
        return Ok(false);
    }
    let same_terms = latest.store_id == request.store_id
        && latest.amount == request.amount
        && latest.method == request.method;
    if same_terms {
        Ok(true)
    } else {
        Err(UseCaseError::OtherTerms)
    }
}

fn new_intent(desk: &Desk, request: &Request, attempt: i64, now: Timestamp) -> Intent {
    Intent {
        id: IntentId::new(&desk.clock),
        order_id: request.order_id,
        store_id: request.store_id,
        attempt,
        command_id: request.command_id.clone(),
        method: request.method,
        amount: request.amount,
        state: IntentState::Authorizing,
        captured: 0,
        refunded: 0,
        decline_code: None,
        token: request.token.clone(),
        provider_reference: None,
        created_at: now,
        updated_at: now,
    }
}

fn outcome(payment: &Payment) -> Outcome {
    let intent = &payment.intent;
    match intent.state {
        IntentState::Authorizing => Outcome::Unknown(intent.id),
        IntentState::Declined => {
            let code = intent.decline_code.clone().unwrap_or_default();
            Outcome::Declined(intent.id, code)
        }
        IntentState::Voided | IntentState::Voiding => Outcome::Voided,
        _ if payment.order.voided => Outcome::Voided,
        _ => Outcome::Authorized(intent.id),
    }
}
