//! Delays that grow with each failure.

use std::time::Duration;

use common::time::Timestamp;

/// How delays grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Progression {
    /// Failures without any delay.
    pub(crate) free: u32,
    /// The delay after the first failure that is not free; each further one doubles it.
    pub(crate) first_delay: Duration,
    /// The longest delay.
    pub(crate) max_delay: Duration,
    /// Failures are forgotten after this long without another.
    pub(crate) forget_after: Duration,
}

/// Failures counted so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Failures {
    pub(crate) count: u32,
    pub(crate) last: Timestamp,
}

impl Progression {
    /// How long to wait from `now` on, if at all.
    pub(crate) fn wait(&self, failures: Failures, now: Timestamp) -> Option<Duration> {
        let passed = now.since(failures.last);
        let over = failures.count.checked_sub(self.free)?;
        if passed >= self.forget_after {
            return None;
        }
        let doublings = over.checked_sub(1)?.min(31);
        let delay = self.first_delay.saturating_mul(1 << doublings);
        let left = delay.min(self.max_delay).saturating_sub(passed);
        (!left.is_zero()).then_some(left)
    }

    /// The count after one more failure.
    pub(crate) fn after_failure(&self, before: Option<Failures>, now: Timestamp) -> Failures {
        let kept = before.filter(|failures| now.since(failures.last) < self.forget_after);
        Failures {
            count: kept.map_or(0, |failures| failures.count).saturating_add(1),
            last: now,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DELAYS: Progression = Progression {
        free: 3,
        first_delay: Duration::from_secs(1),
        max_delay: Duration::from_secs(60),
        forget_after: Duration::from_secs(600),
    };

    #[test]
    fn delays_double_up_to_the_longest() {
        let start = Timestamp::from_unix_seconds(0);
        let check = |count, expected: u64| {
            let wait = DELAYS.wait(Failures { count, last: start }, start);
            let expected = (expected > 0).then(|| Duration::from_secs(expected));
            assert_eq!(wait, expected, "{count}");
        };
        for (count, expected) in [(0, 0), (3, 0), (4, 1), (5, 2), (6, 4), (9, 32), (10, 60)] {
            check(count, expected);
        }
        check(u32::MAX, 60);
    }

    #[test]
    fn waiting_helps_and_time_heals() {
        let at = Timestamp::from_unix_seconds;
        let failures = Failures {
            count: 6,
            last: at(100),
        };
        assert_eq!(DELAYS.wait(failures, at(103)), Some(Duration::from_secs(1)));
        assert_eq!(DELAYS.wait(failures, at(104)), None);
        assert_eq!(DELAYS.after_failure(Some(failures), at(699)).count, 7);
        assert_eq!(DELAYS.after_failure(Some(failures), at(700)).count, 1);
        assert_eq!(DELAYS.after_failure(None, at(700)).count, 1);
    }
}
