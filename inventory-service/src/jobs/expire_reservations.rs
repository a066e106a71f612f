//! Frees the stock of orders that nobody committed in time.

use common::shutdown::Shutdown;

use crate::app::AppState;
use crate::app::release::expire;

/// Reservations freed in one transaction.
const BATCH: i64 = 100;

/// Looks for reservations that ran out until `shutdown`.
pub(crate) async fn run(app: AppState, shutdown: Shutdown) {
    let mut ticks = tokio::time::interval(app.reservations.sweep_interval());
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.triggered() => return,
            _ = ticks.tick() => {}
        }
        if let Err(error) = expire(&app, BATCH).await {
            let cause = common::error::ErrorChain(&error).to_string();
            tracing::warn!(
                error = cause,
                "reservations that ran out could not be freed"
            );
        }
    }
}
