//! Gives some of a captured payment back because a person asked for it.

use ::store::idempotency::{self, IdempotencyRequest};
use common::ids::IntentId;
use common::money::Money;
use serde_json::Value;

use super::AppState;
use super::drafts::{Cue, Drafts};
use super::drive::{Patience, Progress, drive};
use crate::domain::operation::{Operation, OperationId, Request};
use crate::domain::payment::{Driver, Payment, Plan, Report, Want};
use crate::error::UseCaseError;
use crate::store::payments;

/// A refund that a person asks for.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) intent: IntentId,
    pub(crate) amount: Money,
    pub(crate) reason: String,
    /// Who asked, with which key.
    pub(crate) request: Request,
    /// The same for the stored answers.
    pub(crate) idempotency: IdempotencyRequest,
}

/// What became of it.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The refund as it stands now.
    Refund(Box<Operation>),
    /// The request was answered before.
    Stored(idempotency::Outcome),
}

enum Begun {
    New(OperationId, Box<Progress>),
    Known(Box<Operation>),
    Stored(idempotency::Outcome),
}

/// Refunds; what is refunded and being refunded never exceeds what was captured, however many ask
/// at once. Repeated with its key, it tells what became of the first request.
///
/// The operation is the truth about the refund; the stored answer only repeats it. So a crash between
/// the two leaves a key in flight until its next use, which finds the operation.
pub(crate) async fn refund(app: &AppState, asked: Asked) -> Result<Outcome, UseCaseError> {
    let patience = Patience::Until(app.deadline());
    let worker = app.clone();
    app.finish(async move {
        let (id, progress) = match begin(&worker, &asked).await? {
            Begun::New(id, progress) => (id, *progress),
            Begun::Known(operation) => return Ok(Outcome::Refund(operation)),
            Begun::Stored(outcome) => return Ok(Outcome::Stored(outcome)),
        };
        let payment = drive(&worker, progress, plan(id), patience).await?;
        let operation = payment.operation(id).cloned();
        let operation = operation.ok_or(UseCaseError::NotFound)?;
        Ok(Outcome::Refund(Box::new(operation)))
    })
    .await
}

const fn plan(refund: OperationId) -> Plan {
    Plan {
        want: Want::Nothing,
        focus: Some(refund),
        driver: Driver::Caller,
    }
}

/// Claims the key and stores the refund as one that is being sent: stored and only then taken up, it
/// could be taken up by the resolver in between, whose trace is not that of the request.
async fn begin(app: &AppState, asked: &Asked) -> Result<Begun, UseCaseError> {
    let now = app.clock.now();
    let mut tx = app.db.begin().await?;
    let claim = idempotency::begin(&mut tx, &asked.idempotency, now).await?;
    let payment = payments::lock_payments(&mut tx, &[asked.intent])
        .await?
        .pop();
    let payment = payment.ok_or(UseCaseError::NotFound)?;
    if let Some(before) = begun_before(claim, &payment, &asked.request) {
        tx.commit().await?;
        return Ok(before);
    }
    let mut drafts = Drafts::of([payment]);
    let id = drafts.add_refund(asked, now)?;
    let cue = Cue::new(Report::Nothing, plan(id));
    let progress = drafts.advance(asked.intent, &cue, &app.policy, now)?;
    drafts.store(&mut tx, &app.outbox, now).await?;
    tx.commit().await?;
    Ok(Begun::New(id, Box::new(progress)))
}

/// What became of the first request with the key; `None` when there was none.
fn begun_before(
    claim: idempotency::Outcome,
    payment: &Payment,
    request: &Request,
) -> Option<Begun> {
    let known = find(payment, request);
    let begun = |operation: &Operation| Begun::Known(Box::new(operation.clone()));
    match claim {
        // A key that is older than the memory of answers still stands with its refund.
        idempotency::Outcome::Fresh => known.map(begun),
        // Either its sender is still at it, or died before it could store the answer.
        idempotency::Outcome::InFlight => {
            let settled = known.filter(|known| !known.is_open());
            Some(settled.map_or(Begun::Stored(claim), begun))
        }
        stored => Some(Begun::Stored(stored)),
    }
}

fn find<'p>(payment: &'p Payment, request: &Request) -> Option<&'p Operation> {
    let mut operations = payment.operations.iter();
    operations.find(|operation| operation.request.as_ref() == Some(request))
}

/// Stores the answer to a refund, for repetitions of its key.
pub(crate) async fn remember_answer(
    app: &AppState,
    request: &IdempotencyRequest,
    status: u16,
    body: &Value,
) -> Result<(), UseCaseError> {
    let mut tx = app.db.begin().await?;
    idempotency::finish(&mut tx, request, status, body).await?;
    tx.commit().await?;
    Ok(())
}
