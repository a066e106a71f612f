//! Sets the amount of an order aside; cash is taken at once.

use common::ids::{IntentId, OrderId, StoreId};
use common::money::Money;
use common::time::Timestamp;

use super::AppState;
use super::drive::{Patience, Progress, drive};
use super::record::record;
use crate::domain::intent::{Intent, IntentState, Method};
use crate::domain::payment::{Driver, Payment, Plan, Report, Want};
use crate::domain::token::Token;
use crate::error::UseCaseError;
use crate::store::payments;

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
        let Some(progress) = begin(&worker, request).await? else {
            return Ok(Outcome::Voided);
        };
        let payment = drive(&worker, progress, PLAN, patience).await?;
        Ok(outcome(&payment))
    })
    .await
}

/// Stores the intent and the intention to ask the provider; `None` when the order was given up.
async fn begin(app: &AppState, request: Request) -> Result<Option<Progress>, UseCaseError> {
    let now = app.clock.now();
    let mut tx = app.db.begin().await?;
    let order = payments::lock_order(&mut tx, request.order_id, now).await?;
    if order.voided {
        return Ok(None);
    }
    let latest = payments::find_intent_of_order(&mut tx, order.id).await?;
    let attempt = match latest {
        Some(intent) if is_answered_by(&intent, &request)? => {
            let mut payment = payments::get_payment(&mut tx, order, intent).await?;
            let (step, next) = payment.advance(Report::Nothing, PLAN, &app.policy, now)?;
            record(&mut tx, &app.outbox, &mut payment, &step, now).await?;
            tx.commit().await?;
            return Ok(Some(Progress { payment, next }));
        }
        Some(declined) => declined.attempt + 1,
        None => 1,
    };
    let mut payment = Payment {
        order,
        intent: new_intent(app, request, attempt, now),
        operations: Vec::new(),
    };
    let (mut step, next) = payment.advance(Report::Nothing, PLAN, &app.policy, now)?;
    // Inserted as the step leaves it; there is nothing to update.
    payments::insert_intent(&mut tx, &payment.intent).await?;
    step.intent_changed = false;
    record(&mut tx, &app.outbox, &mut payment, &step, now).await?;
    tx.commit().await?;
    Ok(Some(Progress { payment, next }))
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

fn new_intent(app: &AppState, request: Request, attempt: i64, now: Timestamp) -> Intent {
    Intent {
        id: IntentId::new(&app.clock),
        order_id: request.order_id,
        store_id: request.store_id,
        attempt,
        command_id: request.command_id,
        method: request.method,
        amount: request.amount,
        state: IntentState::Authorizing,
        captured: 0,
        refunded: 0,
        decline_code: None,
        token: request.token,
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
