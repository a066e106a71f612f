//! How long to wait before a service that ended is started again.

use std::time::Duration;

/// The first wait.
const FIRST: Duration = Duration::from_millis(200);
/// The longest wait.
const LONGEST: Duration = Duration::from_secs(10);
/// A service that was ready for this long begins anew with the first wait.
const HEALTHY_AFTER: Duration = Duration::from_secs(30);

/// The waits between restarts of one service: 200 ms, doubled up to 10 s.
#[derive(Debug)]
pub struct RestartDelay {
    next: Duration,
}

impl Default for RestartDelay {
    fn default() -> Self {
        Self { next: FIRST }
    }
}

impl RestartDelay {
    /// The wait after a run that was ready for `ready_for` (zero when it never was).
    pub fn after_run(&mut self, ready_for: Duration) -> Duration {
        if ready_for >= HEALTHY_AFTER {
            self.next = FIRST;
        }
        let wait = self.next;
        self.next = (wait * 2).min(LONGEST);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_to_the_longest_and_begin_anew_after_a_healthy_run() {
        let mut delay = RestartDelay::default();
        let waits: Vec<u128> = (0..8)
            .map(|_| delay.after_run(Duration::from_secs(1)).as_millis())
            .collect();
        assert_eq!(waits, [200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
        assert_eq!(delay.after_run(HEALTHY_AFTER).as_millis(), 200);
        assert_eq!(delay.after_run(Duration::ZERO).as_millis(), 400);
    }
}
