//! Logins that are done hashing go on together, a few at a time.
//!
//! A hash leaves nothing of the service in the processor's caches, so that the little that is left to
//! do of a login (a transaction, a signature, an answer) takes twice as long as it would right after
//! another one. Only while others wait for a turn is anybody held up: by hashes that they would have
//! waited for themselves, had they come a moment later.

use std::sync::Mutex;
use std::time::Duration;

use tokio::sync::oneshot;

/// Logins that go on together. From two on a login takes less of the processor; from four on there is
/// little more to be had.
pub(super) const ROUND: usize = 4;
/// The longest wait for others.
const PATIENCE: Duration = Duration::from_millis(50);

/// Those who wait for each other.
#[derive(Default)]
pub(super) struct Rounds(Mutex<Vec<oneshot::Sender<()>>>);

impl Rounds {
    /// Waits until enough others have joined, or one who `is_last`, for whom nobody need wait.
    pub(super) async fn join(&self, is_last: bool) {
        let (start, started) = oneshot::channel();
        let complete = {
            let mut waiting = self.0.lock().expect("no code panics while holding it");
            waiting.retain(|start| !start.is_closed());
            waiting.push(start);
            let is_complete = is_last || waiting.len() >= ROUND;
            is_complete.then(|| std::mem::take(&mut *waiting))
        };
        for start in complete.into_iter().flatten() {
            let _lost_patience = start.send(());
        }
        let _in_vain = tokio::time::timeout(PATIENCE, started).await;
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;
    use futures_util::poll;
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn whoever_is_last_goes_at_once_with_all_who_waited() {
        let (rounds, begun) = (Rounds::default(), Instant::now());
        let mut early = Box::pin(rounds.join(false));
        assert!(poll!(early.as_mut()).is_pending());
        rounds.join(true).await;
        early.await;
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_round_goes_and_the_next_one_waits() {
        let (rounds, begun) = (Rounds::default(), Instant::now());
        let all = (0..ROUND + 1).map(|_| async {
            rounds.join(false).await;
            begun.elapsed()
        });
        let mut waited = join_all(all).await;
        waited.sort_unstable();
        assert_eq!(waited.pop(), Some(PATIENCE));
        assert_eq!(waited, [Duration::ZERO; ROUND]);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_gave_up_does_not_count() {
        let rounds = Rounds::default();
        for _ in 1..ROUND {
            let gone = tokio::time::timeout(Duration::ZERO, rounds.join(false));
            assert!(gone.await.is_err());
        }
        let begun = Instant::now();
        rounds.join(false).await;
        assert_eq!(begun.elapsed(), PATIENCE);
    }
}
