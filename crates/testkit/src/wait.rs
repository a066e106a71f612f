//! Waiting for what should happen, instead of sleeping and hoping.

use std::future::Future;
use std::time::{Duration, Instant};

/// How long a condition may take before the test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(15);

/// Asks `condition` again and again until it holds.
///
/// # Panics
/// When it does not hold in time; `what` says what was waited for.
pub async fn wait_until<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    wait_for(what, || {
        let holds = condition();
        async move { holds.await.then_some(()) }
    })
    .await;
}

/// Asks `probe` again and again until it has a value.
///
/// # Panics
/// When it has none in time; `what` says what was waited for.
pub async fn wait_for<T, F: Future<Output = Option<T>>>(what: &str, probe: impl FnMut() -> F) -> T {
    let value = eventually(PATIENCE, probe).await;
    value.unwrap_or_else(|| panic!("waited {PATIENCE:?} in vain for: {what}"))
}

/// Asks `probe` again and again until it has a value; `None` when `patience` ends first.
pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(
    patience: Duration,
    mut probe: impl FnMut() -> F,
) -> Option<T> {
    let started = Instant::now();
    let mut pause = Duration::from_millis(1);
    loop {
        let value = probe().await;
        if value.is_some() || started.elapsed() > patience {
            return value;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[tokio::test]
    async fn it_returns_as_soon_as_the_condition_holds() {
        let asked = Cell::new(0);
        let value = wait_for("the third time", || {
            asked.set(asked.get() + 1);
            std::future::ready((asked.get() == 3).then_some("third"))
        })
        .await;
        assert_eq!((value, asked.get()), ("third", 3));
    }
}
