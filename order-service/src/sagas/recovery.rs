//! Takes up sagas that nobody drives: after a crash, a lost lease, or a long wait.

use std::sync::Arc;

use common::context::RequestContext;
use common::error::ErrorChain;
use common::ids::OrderId;
use tokio::sync::Semaphore;

use super::driver::{Driver, Work};
use crate::error::UseCaseError;
use crate::store::{orders, sagas};

/// Sagas that the recovery drives at a time.
const MAX_DRIVEN: usize = 256;

/// Looks for due sagas until the service stops: on a timer, and whenever told that one is due.
pub(crate) async fn run(driver: Driver) {
    let period = std::time::Duration::from_millis(driver.settings.poll_interval_ms);
    let mut ticks = tokio::time::interval(period);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let places = Arc::new(Semaphore::new(MAX_DRIVEN));
    loop {
        tokio::select! {
            () = driver.shutdown.triggered() => return,
            () = driver.due.notified() => {}
            _ = ticks.tick() => {}
        }
        if let Err(error) = take_up_all(&driver, &places).await {
            let cause = ErrorChain(&error).to_string();
            tracing::warn!(error = cause, "due sagas could not be taken up");
        }
    }
}

async fn take_up_all(driver: &Driver, places: &Arc<Semaphore>) -> Result<(), UseCaseError> {
    loop {
        let batch = usize::try_from(driver.settings.claim_batch).unwrap_or(usize::MAX);
        let room = places.available_permits().min(batch);
        if room == 0 || !look(driver).await? {
            return Ok(());
        }
        let claimed = claim(driver, room).await?;
        let more = claimed.len() == room;
        for order in claimed {
            take_up(driver, places, order).await?;
        }
        if !more {
            return Ok(());
        }
    }
}

/// Whether anything is due; a cheap look that takes no lock.
async fn look(driver: &Driver) -> Result<bool, UseCaseError> {
    let mut tx = driver.db.glance().await?;
    let parked = sagas::count_parked(&mut tx).await?;
    metrics::gauge!("order_sagas_parked").set(f64::from(u32::try_from(parked).unwrap_or(u32::MAX)));
    Ok(sagas::is_any_due(&mut tx, driver.clock.now()).await?)
}

async fn claim(driver: &Driver, room: usize) -> Result<Vec<OrderId>, UseCaseError> {
    let now = driver.clock.now();
    let leased_until = now.plus(driver.settings.lease());
    let limit = i64::try_from(room).unwrap_or(i64::MAX);
    let mut tx = driver.db.begin().await?;
    let claimed = sagas::claim_due(&mut tx, now, leased_until, limit).await?;
    tx.commit().await?;
    Ok(claimed)
}

async fn take_up(
    driver: &Driver,
    places: &Arc<Semaphore>,
    id: OrderId,
) -> Result<(), UseCaseError> {
    let Ok(place) = Arc::clone(places).try_acquire_owned() else {
        // Nobody else takes places, so there is one; if not, the lease runs out.
        return Ok(());
    };
    let mut tx = driver.db.read().await?;
    let order = orders::find_order(&mut tx, id).await?;
    let order = order.ok_or(UseCaseError::UnknownOrder(id))?;
    let Some(stored) = sagas::find_saga(&mut tx, &order).await? else {
        return Ok(());
    };
    drop(tx);
    let origin = &stored.origin;
    let context = RequestContext::from_texts(Some(&origin.request_id), Some(&origin.traceparent));
    tracing::info!(order.id = %id, saga.step = stored.saga.current().map(|(step, _)| step), "a saga goes on");
    let work = Work {
        order,
        stored,
        steps: Vec::new(),
        answer_to: None,
    };
    let ended = driver.spawn(work, context);
    driver.tasks.spawn(async move {
        // Closed when the saga has ended or was handed over.
        let _ = ended.await;
        drop(place);
    });
    Ok(())
}
