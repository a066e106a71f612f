//! Says where an order's payment stands; asks the provider when only it can tell.

use common::ids::OrderId;

use super::AppState;
use super::drive::{Patience, drive, step};
use crate::domain::intent::Intent;
use crate::domain::operation::{Kind, Operation};
use crate::domain::payment::{Driver, Plan, Report, Want};
use crate::error::UseCaseError;
use crate::store::{operations, payments};

const PLAN: Plan = Plan {
    want: Want::Nothing,
    focus: None,
    driver: Driver::Caller,
};

/// The order's latest intent, as settled as the caller's time allows.
pub(crate) async fn status(app: &AppState, order: OrderId) -> Result<Option<Intent>, UseCaseError> {
    let mut tx = app.db.read().await?;
    let Some(intent) = payments::find_intent_of_order(&mut tx, order).await? else {
        return Ok(None);
    };
    let operations = operations::list_of_intent(&mut tx, intent.id).await?;
    drop(tx);
    let open = |operation: &Operation| operation.is_open() && operation.kind != Kind::Refund;
    if !operations.iter().any(open) {
        return Ok(Some(intent));
    }
    let patience = Patience::Until(app.deadline());
    let worker = app.clone();
    app.finish(async move {
        let progress = step(&worker, intent.id, Report::Nothing, PLAN).await?;
        let payment = drive(&worker, progress, PLAN, patience).await?;
        Ok(Some(payment.intent))
    })
    .await
}
