//! How slowly the body of a request may come: whoever sends a byte now and then keeps a connection here
//! and one at the service as busy as an honest client does.

use std::cell::Cell;
use std::time::Duration;

use tokio::time::Instant;

/// How slowly a body may come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Longest silence.
    pub(crate) idle_timeout: Duration,
    /// What each second of waiting beyond the longest silence must have brought; 0 asks for nothing.
    pub(crate) min_bytes_per_second: u64,
}

impl Pace {
    /// How long a body may be waited for that has brought so many bytes.
    fn patience(self, received: u64) -> Duration {
        let earned = received.saturating_mul(1_000);
        match earned.checked_div(self.min_bytes_per_second) {
            None => Duration::MAX,
            Some(earned) => self
                .idle_timeout
                .saturating_add(Duration::from_millis(earned)),
        }
    }
}

/// The time that a client has let itself be waited for. While the service does not take what has come,
/// nobody waits for the client.
#[derive(Debug)]
pub(super) struct Wait {
    pace: Pace,
    since: Cell<Option<Instant>>,
    before: Cell<Duration>,
}

impl Wait {
    pub(super) const fn new(pace: Pace) -> Self {
        Self {
            pace,
            since: Cell::new(None),
            before: Cell::new(Duration::ZERO),
        }
    }

    /// Until when to wait on, now that nothing is there.
    pub(super) fn deadline(&self, received: u64, now: Instant) -> Instant {
        let since = self.since.get().unwrap_or(now);
        self.since.set(Some(since));
        let left = self.pace.patience(received);
        let left = left.saturating_sub(self.before.get());
        since + left.min(self.pace.idle_timeout)
    }

    /// Something has come.
    pub(super) fn end(&self, now: Instant) {
        if let Some(since) = self.since.take() {
            let waited = now.saturating_duration_since(since);
            self.before.set(self.before.get().saturating_add(waited));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn wait(min_bytes_per_second: u64) -> (Wait, Instant) {
        let pace = Pace {
            idle_timeout: 10 * SECOND,
            min_bytes_per_second,
        };
        (Wait::new(pace), Instant::now())
    }

    #[test]
    fn each_byte_earns_time_up_to_the_longest_silence() {
        let (wait, start) = wait(100);
        assert_eq!(wait.deadline(0, start), start + 10 * SECOND);
        // Asking again does not begin anew.
        assert_eq!(wait.deadline(0, start + SECOND), start + 10 * SECOND);
        wait.end(start + 8 * SECOND);
        // 8 of 10 seconds are gone, and a hundred bytes earn one.
        let next = start + 20 * SECOND;
        assert_eq!(wait.deadline(100, next), next + 3 * SECOND);
        wait.end(next + 3 * SECOND);
        let last = start + 30 * SECOND;
        assert_eq!(wait.deadline(100, last), last, "nothing is left");
        assert_eq!(wait.deadline(100_000, last), last + 10 * SECOND);
    }

    #[test]
    fn what_the_service_takes_its_time_for_is_not_the_clients() {
        let (wait, start) = wait(100);
        for minute in 0..60 {
            let now = start + minute * 60 * SECOND;
            assert_eq!(wait.deadline(0, now), now + 10 * SECOND, "{minute}");
            wait.end(now);
        }
    }

    #[test]
    fn without_a_rate_only_silence_counts() {
        let (wait, start) = wait(0);
        for step in 0..60 {
            let now = start + step * 9 * SECOND;
            assert_eq!(wait.deadline(0, now), now + 10 * SECOND, "{step}");
            wait.end(now + 9 * SECOND);
        }
    }
}
