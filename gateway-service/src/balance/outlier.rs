//! Passive outlier detection: an instance that fails several times in a row is left alone for a
//! while, each time longer. Whether it may be left alone at all (never the last one, never too many)
//! is decided by its group.

use std::time::Duration;

use resilience::InvalidParams;
use tokio::time::Instant;

/// When an instance is ejected, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OutlierParams {
    /// Failures in a row.
    pub(crate) consecutive_failures: u32,
    /// The first ejection; the second is twice as long, and so on.
    pub(crate) base_ejection: Duration,
    /// The longest ejection.
    pub(crate) max_ejection: Duration,
    /// The largest share of a group that may be ejected at a time, in percent.
    pub(crate) max_ejected_percent: u32,
}

impl OutlierParams {
    pub(crate) fn validate(self) -> Result<Self, InvalidParams> {
        let invalid = |parameter, fault| Err(InvalidParams { parameter, fault });
        if self.consecutive_failures == 0 {
            return invalid("outlier.consecutive_failures", "must not be zero");
        }
        if self.base_ejection.is_zero() || self.max_ejection < self.base_ejection {
            return invalid(
                "outlier.base_ejection_ms",
                "must be from 1 to max_ejection_ms",
            );
        }
        if self.max_ejected_percent > 100 {
            return invalid("outlier.max_ejected_percent", "must not be above 100");
        }
        Ok(self)
    }

    /// How many of `count` instances may be ejected at a time. One of two or three may be, and the
    /// last one never.
    pub(crate) fn most_ejected(&self, count: usize) -> usize {
        let share = count * self.max_ejected_percent as usize / 100;
        let least = usize::from(self.max_ejected_percent > 0);
        share.max(least).min(count.saturating_sub(1))
    }
}

/// How a request to an instance ended, as far as it is the instance's doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It takes no connections: there is nothing to wait for.
    Unreachable,
    /// It did not answer, broke off, or said that it cannot work.
    Failed,
}

/// What is remembered of one instance.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outlier {
    failures: u32,
    ejections: u32,
    ejected_until: Option<Instant>,
}

impl Outlier {
    /// A request that the instance handled.
    pub(crate) fn succeeded(&mut self) {
        self.failures = 0;
        if self.ejected_until.is_none() {
            self.ejections = self.ejections.saturating_sub(1);
        }
    }

    /// A failure of the instance; `true` when it should be ejected now.
    pub(crate) fn failed(&mut self, params: &OutlierParams, fault: Fault) -> bool {
        self.failures = self.failures.saturating_add(1);
        let enough = fault == Fault::Unreachable || self.failures >= params.consecutive_failures;
        enough && self.ejected_until.is_none()
    }

    /// Leaves the instance alone from now on, for as long as its history asks for.
    pub(crate) fn eject(&mut self, params: &OutlierParams) -> Duration {
        let factor = 1_u32.checked_shl(self.ejections).unwrap_or(u32::MAX);
        let length = params.base_ejection.saturating_mul(factor);
        let length = length.min(params.max_ejection);
        self.ejections = self.ejections.saturating_add(1);
        self.ejected_until = Some(Instant::now() + length);
        length
    }

    /// Whether it is ejected now.
    pub(crate) fn is_ejected(&self) -> bool {
        self.ejected_until
            .is_some_and(|until| Instant::now() < until)
    }

    /// Ends an ejection whose time has passed; `true` when it ended one.
    pub(crate) fn readmit_if_due(&mut self) -> bool {
        let due = self
            .ejected_until
            .is_some_and(|until| Instant::now() >= until);
        if due {
            self.readmit();
        }
        due
    }

    /// Ends an ejection: the instance has shown that it works.
    pub(crate) fn readmit(&mut self) {
        self.ejected_until = None;
        self.failures = 0;
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) const PARAMS: OutlierParams = OutlierParams {
        consecutive_failures: 3,
        base_ejection: Duration::from_secs(5),
        max_ejection: Duration::from_secs(15),
        max_ejected_percent: 50,
    };

    #[test]
    fn the_last_instance_is_never_ejected_and_half_of_many_may_be() {
        let most = |count| PARAMS.most_ejected(count);
        assert_eq!([0, 1, 2, 3, 4, 5, 10].map(most), [0, 0, 1, 1, 2, 2, 5]);
        let all = OutlierParams {
            max_ejected_percent: 100,
            ..PARAMS
        };
        assert_eq!([1, 2, 4].map(|count| all.most_ejected(count)), [0, 1, 3]);
        let none = OutlierParams {
            max_ejected_percent: 0,
            ..PARAMS
        };
        assert_eq!(none.most_ejected(10), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn failures_in_a_row_eject_and_each_time_for_longer() {
        let mut outlier = Outlier::default();
        assert!(!outlier.failed(&PARAMS, Fault::Failed));
        assert!(!outlier.failed(&PARAMS, Fault::Failed));
        outlier.succeeded();
        assert!(!outlier.failed(&PARAMS, Fault::Failed));
        assert!(!outlier.failed(&PARAMS, Fault::Failed));
        assert!(outlier.failed(&PARAMS, Fault::Failed));
        for seconds in [5, 10, 15, 15] {
            assert_eq!(outlier.eject(&PARAMS), Duration::from_secs(seconds));
            assert!(outlier.is_ejected() && !outlier.readmit_if_due());
            tokio::time::advance(Duration::from_secs(seconds)).await;
            assert!(!outlier.is_ejected() && outlier.readmit_if_due());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_instance_without_connections_is_ejected_at_once() {
        let mut outlier = Outlier::default();
        assert!(outlier.failed(&PARAMS, Fault::Unreachable));
        outlier.eject(&PARAMS);
        assert!(
            !outlier.failed(&PARAMS, Fault::Unreachable),
            "it is ejected already"
        );
        outlier.readmit();
        assert!(!outlier.is_ejected());
    }

    #[test]
    fn nonsense_is_refused() {
        for params in [
            OutlierParams {
                consecutive_failures: 0,
                ..PARAMS
            },
            OutlierParams {
                base_ejection: Duration::ZERO,
                ..PARAMS
            },
            OutlierParams {
                max_ejection: Duration::from_secs(1),
                ..PARAMS
            },
            OutlierParams {
                max_ejected_percent: 101,
                ..PARAMS
            },
        ] {
            assert!(params.validate().is_err(), "{params:?}");
        }
    }
}
