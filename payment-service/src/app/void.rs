//! Makes an order hold no money: lets go of what is set aside, refunds what was taken.

use std::collections::BTreeSet;

use common::ids::OrderId;

use super::AppState;
use super::drafts::{Cue, Drafts};
use super::drive::{Patience, Progress, drive};
use crate::domain::intent::IntentState;
use crate::domain::payment::{Driver, Payment, Plan, Report, Want};
use crate::error::UseCaseError;
use crate::store::payments;

/// What became of a void.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The order holds no money and never did.
    Voided,
    /// It was captured and is refunded in full.
    Refunded,
    /// Not settled yet.
    Unknown,
}

const PLAN: Plan = Plan {
    want: Want::Nothing,
    focus: None,
    driver: Driver::Caller,
};

/// Gives up the order's money. An order that never asked is remembered as given up, so that an
/// authorization still on its way sets nothing aside.
pub(crate) async fn void(app: &AppState, order: OrderId) -> Result<Outcome, UseCaseError> {
    let patience = Patience::Until(app.deadline());
    let worker = app.clone();
    app.finish(async move {
        let Some(progress) = begin(&worker, order).await? else {
            return Ok(Outcome::Voided);
        };
        let payment = drive(&worker, progress, PLAN, patience).await?;
        Ok(outcome(&payment))
    })
    .await
}

async fn begin(app: &AppState, order: OrderId) -> Result<Option<Progress>, UseCaseError> {
    let now = app.clock.now();
    let mut tx = app.db.begin().await?;
    let mut held = payments::lock_orders(&mut tx, &BTreeSet::from([order]), now).await?;
    payments::update_order_voided(&mut tx, order, now).await?;
    let latest = held.remove(&order).and_then(|held| held.latest);
    let Some(mut payment) = latest else {
        tx.commit().await?;
        return Ok(None);
    };
    payment.order.voided = true;
    let id = payment.intent.id;
    let mut drafts = Drafts::of([payment]);
    let cue = Cue::new(Report::Nothing, PLAN);
    let progress = drafts.advance(id, &cue, &app.policy, now)?;
    drafts.store(&mut tx, &app.outbox, now).await?;
    tx.commit().await?;
    Ok(Some(progress))
}

fn outcome(payment: &Payment) -> Outcome {
    match payment.intent.state {
        _ if !payment.is_over() => Outcome::Unknown,
        IntentState::Refunded => Outcome::Refunded,
        _ => Outcome::Voided,
    }
}
