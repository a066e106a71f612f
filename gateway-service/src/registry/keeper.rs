//! Keeps the registry up to date: learns of other gateways' changes, and removes who is silent.

use std::sync::Arc;
use std::time::Duration;

use common::error::ErrorChain;
use common::shutdown::Shutdown;
use tokio::time::sleep;

use super::book::Registry;

/// How often the database is asked for changes and for what has run out.
const INTERVAL: Duration = Duration::from_millis(250);

/// Runs until `shutdown`.
pub(crate) async fn keep(registry: Arc<Registry>, shutdown: Shutdown) {
    let mut watching_since = registry.now();
    let mut failing = false;
    loop {
        tokio::select! {
            () = sleep(INTERVAL) => {}
            () = shutdown.triggered() => return,
        }
        let round = async {
            registry.refresh().await?;
            registry.sweep(watching_since).await
        };
        match round.await {
            Ok(()) if failing => {
                // Nobody could renew a lease meanwhile.
                watching_since = registry.now();
                failing = false;
                tracing::info!("the registry is kept again");
            }
            Ok(()) => {}
            Err(error) => {
                if !failing {
                    tracing::warn!(error = %ErrorChain(&error), "the registry cannot be kept");
                }
                failing = true;
            }
        }
    }
}
