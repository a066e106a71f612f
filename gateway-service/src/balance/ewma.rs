//! How slow an instance has been lately: a moving average of its answer times that jumps up at once
//! and comes down slowly, so that trouble is seen with its first answer.
//!
//! The form is Finagle's "peak EWMA": a sample above the average replaces it; a lower one is mixed
//! in with the weight `1 - exp(-elapsed / decay)`. While nothing is heard the average fades by the
//! same law, so that an instance that was slow once is tried again.

use std::time::Duration;

use resilience::InvalidParams;
use tokio::time::Instant;

/// How the average moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EwmaParams {
    /// After this time a sample counts for about a third.
    pub(crate) decay: Duration,
    /// What is assumed of an instance that has not answered yet.
    pub(crate) initial: Duration,
    /// The answer time that a failure counts as: a quick refusal must not look like a quick answer.
    pub(crate) penalty: Duration,
}

impl EwmaParams {
    fn validate(self) -> Result<Self, InvalidParams> {
        let invalid = |parameter, fault| Err(InvalidParams { parameter, fault });
        if self.decay.is_zero() {
            return invalid("balance.decay_ms", "must not be zero");
        }
        if self.initial.is_zero() {
            return invalid("balance.initial_ms", "must not be zero");
        }
        if self.penalty < self.initial {
            return invalid("balance.penalty_ms", "must not be below initial_ms");
        }
        Ok(self)
    }
}

/// The average of one instance.
#[derive(Clone, Debug)]
pub(crate) struct PeakEwma {
    params: EwmaParams,
    millis: f64,
    updated: Instant,
}

impl PeakEwma {
    /// # Errors
    /// When a parameter makes no sense.
    pub(crate) fn try_new(params: EwmaParams) -> Result<Self, InvalidParams> {
        let params = params.validate()?;
        Ok(Self {
            params,
            millis: millis(params.initial),
            updated: Instant::now(),
        })
    }

    /// An answer that took this long.
    pub(crate) fn answered(&mut self, took: Duration) {
        let now = Instant::now();
        let sample = millis(took);
        self.millis = match self.at(now) {
            average if sample > average => sample,
            average => {
                let kept = self.kept(now);
                // Fading while idle and mixing in are the same law: only the sample is new here.
                average + sample * (1.0 - kept)
            }
        };
        self.updated = now;
    }

    /// A failure. `retry_after` is what the instance asked for, and counts instead of the penalty
    /// when it is longer, up to twice the penalty.
    pub(crate) fn failed(&mut self, retry_after: Option<Duration>) {
        let asked = retry_after.unwrap_or_default();
        let penalty = self.params.penalty;
        self.answered(asked.clamp(penalty, penalty * 2));
    }

    /// Forgets what was: the instance is back after an absence.
    pub(crate) fn reset(&mut self) {
        self.millis = millis(self.params.initial);
        self.updated = Instant::now();
    }

    /// The average now, in milliseconds.
    pub(crate) fn current(&self) -> f64 {
        self.at(Instant::now())
    }

    fn at(&self, now: Instant) -> f64 {
        self.millis * self.kept(now)
    }

    /// The share of the average that is left at `now`.
    fn kept(&self, now: Instant) -> f64 {
        let elapsed = now.saturating_duration_since(self.updated);
        (-elapsed.as_secs_f64() / self.params.decay.as_secs_f64()).exp()
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) const PARAMS: EwmaParams = EwmaParams {
        decay: Duration::from_secs(5),
        initial: Duration::from_millis(30),
        penalty: Duration::from_secs(5),
    };

    #[test]
    fn nonsense_is_refused() {
        let zero = Duration::ZERO;
        for params in [
            EwmaParams {
                decay: zero,
                ..PARAMS
            },
            EwmaParams {
                initial: zero,
                ..PARAMS
            },
            EwmaParams {
                penalty: Duration::from_millis(29),
                ..PARAMS
            },
        ] {
            assert!(params.validate().is_err(), "{params:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_answer_counts_at_once_and_is_forgotten_slowly() {
        let mut ewma = PeakEwma::try_new(PARAMS).unwrap();
        assert!((ewma.current() - 30.0).abs() < 1e-9);
        ewma.answered(Duration::from_millis(400));
        assert!((ewma.current() - 400.0).abs() < 1e-9);
        ewma.answered(Duration::from_millis(10));
        assert!(
            ewma.current() > 399.0,
            "no time has passed: {}",
            ewma.current()
        );
        tokio::time::advance(Duration::from_secs(5)).await;
        ewma.answered(Duration::from_millis(10));
        let expected = 400.0 / std::f64::consts::E + 10.0 * (1.0 - 1.0 / std::f64::consts::E);
        assert!(
            (ewma.current() - expected).abs() < 1.0,
            "{}",
            ewma.current()
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_is_a_slow_answer_however_quick_it_was() {
        let mut ewma = PeakEwma::try_new(PARAMS).unwrap();
        ewma.failed(None);
        assert!((ewma.current() - 5_000.0).abs() < 1e-9);
        ewma.failed(Some(Duration::from_secs(7)));
        assert!((ewma.current() - 7_000.0).abs() < 1e-9);
        ewma.failed(Some(Duration::from_secs(3_600)));
        assert!((ewma.current() - 10_000.0).abs() < 1e-9);
        ewma.reset();
        assert!((ewma.current() - 30.0).abs() < 1e-9);
    }
}
