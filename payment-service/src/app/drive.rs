//! Does what [`Payment::advance`] says, until the payment rests or the caller's time is up.

use std::time::Duration;

use common::error::ErrorChain;
use common::ids::IntentId;
use resilience::Deadline;

use super::AppState;
use super::drafts::Cue;
use super::steps::StepOf;
use crate::domain::operation::{Kind, OperationId, Settlement};
use crate::domain::payment::{Driver, Move, Payment, Plan, Report};
use crate::error::UseCaseError;
use crate::provider::{Authorization, Finding, FollowUp, ProviderError};

/// First and longest wait between two looks at what another driver is doing.
const LOOK_AGAIN: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(200));
/// Kept back of the caller's time to ask what became of a request that was not answered.
const ASK_RESERVE: Duration = Duration::from_millis(150);

/// A payment, and what to do next about it. What led there is stored.
#[derive(Debug)]
pub(crate) struct Progress {
    /// The payment.
    pub(crate) payment: Payment,
    /// What to do next.
    pub(crate) next: Move,
}

/// How long a driver keeps at it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Patience {
    /// Until the caller's time is up; waits for others and for the provider.
    Until(Deadline),
    /// As long as there is something to do now.
    WhileDue,
}

impl Patience {
    /// The time for one request to the provider.
    fn for_request(self, longest: Duration) -> Duration {
        match self {
            Self::WhileDue => longest,
            Self::Until(deadline) => {
                let left = deadline.remaining();
                longest.min(left.saturating_sub(ASK_RESERVE).max(left / 2))
            }
        }
    }
}

/// Drives a payment on from what is stored, beginning with `progress`.
pub(crate) async fn drive(
    app: &AppState,
    mut progress: Progress,
    mut plan: Plan,
    patience: Patience,
) -> Result<Payment, UseCaseError> {
    // Only the first look is impatient; after that the provider sets the pace.
    plan.driver = Driver::Patient;
    let mut look_again = LOOK_AGAIN.0;
    loop {
        let report = match (progress.next, patience) {
            (Move::Rest, _) | (Move::Wait(_), Patience::WhileDue) => return Ok(progress.payment),
            (Move::Wait(until), Patience::Until(deadline)) => {
                let wait = until.since(app.clock.now()).min(look_again);
                look_again = (look_again * 2).min(LOOK_AGAIN.1);
                if wait >= deadline.remaining() {
                    return Ok(progress.payment);
                }
                tokio::time::sleep(wait).await;
                Report::Nothing
            }
            (Move::Send(id), _) => {
                let time = patience.for_request(app.policy.provider_timeout);
                send(app, &progress.payment, id, time).await?
            }
            (Move::Ask(id), _) => ask(app, id, app.policy.provider_timeout).await,
        };
        progress = step(app, progress.payment.intent.id, report, plan).await?;
    }
}

/// Takes in a report, decides and stores what follows from it.
pub(crate) async fn step(
    app: &AppState,
    intent: IntentId,
    report: Report,
    plan: Plan,
) -> Result<Progress, UseCaseError> {
    let cue = Cue::new(report, plan);
    let progress = app.steps.run(StepOf::Known(intent, cue)).await?;
    progress.ok_or(UseCaseError::NotFound)
}

async fn send(
    app: &AppState,
    payment: &Payment,
    id: OperationId,
    time: Duration,
) -> Result<Report, UseCaseError> {
    let operation = payment.operation(id).ok_or_else(|| missing("operation"))?;
    let answer = if operation.kind == Kind::Authorize {
        let token = payment.intent.token.clone();
        let request = Authorization {
            key: id,
            token: token.ok_or_else(|| missing("token"))?,
            amount: operation.amount,
        };
        tokio::time::timeout(time, app.provider.authorize(&request)).await
    } else {
        let reference = payment.intent.provider_reference.clone();
        let request = FollowUp {
            key: id,
            reference: reference.ok_or_else(|| missing("provider reference"))?,
            amount: operation.amount,
        };
        let send = async {
            match operation.kind {
                Kind::Capture => app.provider.capture(&request).await,
                Kind::Void => app.provider.void(&request).await,
                Kind::Refund | Kind::Authorize => app.provider.refund(&request).await,
            }
        };
        tokio::time::timeout(time, send).await
    };
    Ok(match answer {
        Ok(Ok(settlement)) => Report::Settled(id, settlement),
        Ok(Err(error)) => report_failure(app, id, &error),
        Err(_elapsed) => {
            log_silence(app, id, "it took too long to answer");
            Report::Unanswered(id)
        }
    })
}

async fn ask(app: &AppState, id: OperationId, time: Duration) -> Report {
    match tokio::time::timeout(time, app.provider.query(id)).await {
        Ok(Ok(Finding::Settled(settlement))) => Report::Settled(id, known(settlement)),
        Ok(Ok(Finding::Processing)) => Report::Processing(id),
        Ok(Ok(Finding::NotFound)) => Report::NotFound(id),
        // Not to reach the provider says nothing about the request that was sent before.
        Ok(Err(error)) => {
            log_silence(app, id, &ErrorChain(&error).to_string());
            Report::Unanswered(id)
        }
        Err(_elapsed) => {
            log_silence(app, id, "it took too long to answer");
            Report::Unanswered(id)
        }
    }
}

fn known(settlement: Settlement) -> Settlement {
    metrics::counter!("payment_operations_resolved_total").increment(1);
    settlement
}

fn report_failure(app: &AppState, id: OperationId, error: &ProviderError) -> Report {
    log_silence(app, id, &ErrorChain(error).to_string());
    match error {
        ProviderError::Unreachable(_) => Report::Unreachable(id),
        ProviderError::Unanswered(_) => Report::Unanswered(id),
    }
}

fn log_silence(app: &AppState, id: OperationId, cause: &str) {
    tracing::warn!(
        provider.name = app.provider.name(),
        operation.id = %id,
        error = cause,
        "the payment provider gave no answer; it is asked again"
    );
}

fn missing(what: &str) -> UseCaseError {
    UseCaseError::Inconsistent(format!("an operation that is to be sent has no {what}"))
}
