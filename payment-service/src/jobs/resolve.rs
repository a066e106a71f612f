//! Takes up operations whose outcome is not known, and those that wait to be sent: after a time-out,
//! after a crash, and when a cancelled order's money has to go back.

use std::sync::Arc;
use std::time::Duration;

use common::context::RequestContext;
use common::error::ErrorChain;
use common::shutdown::Shutdown;
use futures_util::future::join_all;
use tokio::sync::Notify;

use crate::app::AppState;
use crate::app::drive::{Patience, drive, step};
use crate::domain::operation::OperationId;
use crate::domain::payment::{Driver, Plan, Report, Want};
use crate::error::UseCaseError;
use crate::store::operations::{self, Due};

/// When to look, and how much to take up.
#[derive(Clone, Debug)]
pub(crate) struct Pace {
    /// Time between two looks.
    pub(crate) poll_interval: Duration,
    /// Operations taken up at a time.
    pub(crate) batch_size: u32,
    /// Wakes the resolver before its time.
    pub(crate) due: Arc<Notify>,
}

/// Resolves what is due until `shutdown`. Replicas may resolve the same operation at once: asking
/// changes nothing, and what is sent twice under one key takes effect once.
pub(crate) async fn run(app: AppState, pace: Pace, shutdown: Shutdown) {
    let mut ticks = tokio::time::interval(pace.poll_interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.triggered() => return,
            () = pace.due.notified() => {}
            _ = ticks.tick() => {}
        }
        if let Err(error) = resolve_due(&app, pace.batch_size).await {
            let cause = ErrorChain(&error).to_string();
            tracing::warn!(error = cause, "unsettled operations could not be listed");
        }
    }
}

async fn resolve_due(app: &AppState, batch_size: u32) -> Result<(), UseCaseError> {
    let mut tx = app.db.glance().await?;
    let due = operations::list_due(&mut tx, app.clock.now(), batch_size).await?;
    drop(tx);
    let resolving = due.into_iter().map(|due| {
        let context = RequestContext::from_texts(None, due.traceparent.as_deref());
        context.scope(resolve(app, due))
    });
    join_all(resolving).await;
    Ok(())
}

async fn resolve(app: &AppState, due: Due) {
    let worker = app.clone();
    let (operation, intent) = (due.id, due.intent_id);
    let resolved = app.finish(async move {
        let plan = Plan {
            want: Want::Nothing,
            focus: Some(operation),
            driver: Driver::Patient,
        };
        let progress = step(&worker, intent, Report::Nothing, plan).await?;
        drive(&worker, progress, plan, Patience::WhileDue).await
    });
    let Err(error) = resolved.await else {
        return;
    };
    let cause = ErrorChain(&error).to_string();
    tracing::warn!(operation.id = %operation, error = cause, "an operation could not be resolved");
    if let Err(error) = postpone(app, operation).await {
        let cause = ErrorChain(&error).to_string();
        tracing::warn!(operation.id = %operation, error = cause, "nor could it be put off");
    }
}

async fn postpone(app: &AppState, operation: OperationId) -> Result<(), UseCaseError> {
    let mut tx = app.db.begin().await?;
    let until = app.clock.now().plus(app.policy.max_backoff);
    operations::postpone(&mut tx, operation, until).await?;
    tx.commit().await?;
    Ok(())
}
