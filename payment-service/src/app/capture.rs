//! Takes what was set aside.

use common::ids::IntentId;

use super::AppState;
use super::drive::{Patience, drive, step};
use crate::domain::intent::IntentState;
use crate::domain::payment::{Driver, Payment, Plan, Report, Want};
use crate::error::UseCaseError;

/// What became of a capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The money is taken, now or before.
    Captured,
    /// It was refused for good, or the payment was given up.
    Failed,
    /// Only the provider can tell.
    Unknown,
}

const PLAN: Plan = Plan {
    want: Want::Capture,
    focus: None,
    driver: Driver::Caller,
};

/// Takes the authorized amount. Repeated, it answers what it answered the first time.
pub(crate) async fn capture(app: &AppState, intent: IntentId) -> Result<Outcome, UseCaseError> {
    let patience = Patience::Until(app.deadline());
    let worker = app.clone();
    app.finish(async move {
        let progress = step(&worker, intent, Report::Nothing, PLAN).await?;
        let payment = drive(&worker, progress, PLAN, patience).await?;
        Ok(outcome(&payment))
    })
    .await
}

fn outcome(payment: &Payment) -> Outcome {
    match payment.intent.state {
        IntentState::Captured | IntentState::PartiallyRefunded | IntentState::Refunded => {
            Outcome::Captured
        }
        IntentState::Declined
        | IntentState::Failed
        | IntentState::Voided
        | IntentState::Voiding => Outcome::Failed,
        IntentState::Authorized if payment.order.voided => Outcome::Failed,
        IntentState::Authorizing | IntentState::Authorized | IntentState::Capturing => {
            Outcome::Unknown
        }
    }
}
