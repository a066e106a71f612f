//! Makes an order hold no money: lets go of what is set aside, refunds what was taken.

use common::ids::OrderId;

use super::AppState;
use super::drive::{Patience, Progress, drive};
use super::record::record;
use crate::domain::intent::IntentState;
use crate::domain::payment::{Driver, Order, Payment, Plan, Report, Want};
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
    let order = payments::lock_order(&mut tx, order, now).await?;
    if !order.voided {
        payments::update_order_voided(&mut tx, order.id, now).await?;
    }
    let Some(intent) = payments::find_intent_of_order(&mut tx, order.id).await? else {
        tx.commit().await?;
        return Ok(None);
    };
    let order = Order {
        voided: true,
        ..order
    };
    let mut payment = payments::get_payment(&mut tx, order, intent).await?;
    let (step, next) = payment.advance(Report::Nothing, PLAN, &app.policy, now)?;
    record(&mut tx, &app.outbox, &mut payment, &step, now).await?;
    tx.commit().await?;
    Ok(Some(Progress { payment, next }))
}

fn outcome(payment: &Payment) -> Outcome {
    match payment.intent.state {
        _ if !payment.is_over() => Outcome::Unknown,
        IntentState::Refunded => Outcome::Refunded,
        _ => Outcome::Voided,
    }
}
