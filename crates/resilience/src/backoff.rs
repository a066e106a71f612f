//! How long to wait before trying again: exponential with full jitter.
//!
//! The wait is drawn evenly from zero to `base * 2^attempt`, cut at `max`. Of the usual variants
//! this one spreads the callers of a recovering service best (Brooker, "Exponential Backoff And
//! Jitter", AWS Architecture Blog, 2015).

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

use crate::InvalidParams;

/// Randomness for spreading load; not for secrets. Splitmix64 (Steele et al., OOPSLA 2014).
#[derive(Clone, Debug)]
pub struct Jitter(u64);

impl Jitter {
    /// The same numbers each time, for tests.
    #[must_use]
    pub const fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    /// Other numbers in each process and each call.
    #[must_use]
    pub fn from_entropy() -> Self {
        // The standard library seeds its hashers from the system's entropy.
        Self(RandomState::new().build_hasher().finish())
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// An even draw from zero to `max`, both included, in microseconds' steps.
    pub fn up_to(&mut self, max: Duration) -> Duration {
        let steps = max.as_micros().saturating_add(1);
        let drawn = u128::from(self.next()).saturating_mul(steps) >> 64;
        Duration::from_micros(u64::try_from(drawn).unwrap_or(u64::MAX)).min(max)
    }

    /// A generator of its own, seeded from this one.
    pub fn split(&mut self) -> Self {
        Self(self.next())
    }
}

/// How waits grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackoffParams {
    /// Upper end of the first wait; default 50 ms.
    pub base: Duration,
    /// Upper end of every wait; default 2 s.
    pub max: Duration,
}

impl Default for BackoffParams {
    fn default() -> Self {
        Self {
            base: Duration::from_millis(50),
            max: Duration::from_secs(2),
        }
    }
}

impl BackoffParams {
    pub(crate) fn validate(&self) -> Result<(), InvalidParams> {
        InvalidParams::check(!self.base.is_zero(), "backoff.base", "must not be zero")?;
        InvalidParams::check(
            self.max >= self.base,
            "backoff.max",
            "must not be below base",
        )
    }
}

/// The waits of one series of attempts.
#[derive(Clone, Debug)]
pub struct Backoff {
    params: BackoffParams,
    jitter: Jitter,
    attempt: u32,
}

impl Backoff {
    /// A series that has not waited yet.
    ///
    /// # Errors
    /// When `base` is zero or above `max`.
    pub fn try_new(params: BackoffParams, jitter: Jitter) -> Result<Self, InvalidParams> {
        params.validate()?;
        Ok(Self {
            params,
            jitter,
            attempt: 0,
        })
    }

    /// The upper end of the next wait.
    #[must_use]
    pub fn ceiling(&self) -> Duration {
        let factor = 1_u32.checked_shl(self.attempt).unwrap_or(u32::MAX);
        self.params.base.saturating_mul(factor).min(self.params.max)
    }

    /// Draws the next wait; the one after it may be twice as long.
    pub fn next_delay(&mut self) -> Duration {
        let delay = self.jitter.up_to(self.ceiling());
        self.attempt = self.attempt.saturating_add(1);
        delay
    }

    /// Starts over, after a success.
    pub fn reset(&mut self) {
        self.attempt = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(base_ms: u64, max_ms: u64) -> BackoffParams {
        BackoffParams {
            base: Duration::from_millis(base_ms),
            max: Duration::from_millis(max_ms),
        }
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(Backoff::try_new(params(0, 10), Jitter::seeded(1)).is_err());
        assert!(Backoff::try_new(params(11, 10), Jitter::seeded(1)).is_err());
        assert!(Backoff::try_new(params(10, 10), Jitter::seeded(1)).is_ok());
    }

    #[test]
    fn ceilings_double_up_to_the_maximum_for_ever() {
        let mut backoff = Backoff::try_new(params(100, 700), Jitter::seeded(1)).unwrap();
        for expected_ms in [100, 200, 400, 700, 700] {
            assert_eq!(backoff.ceiling(), Duration::from_millis(expected_ms));
            assert!(backoff.next_delay() <= Duration::from_millis(expected_ms));
        }
        for _ in 0..100 {
            assert!(backoff.next_delay() <= Duration::from_millis(700));
        }
        backoff.reset();
        assert_eq!(backoff.ceiling(), Duration::from_millis(100));
    }

    #[test]
    fn one_seed_gives_one_series() {
        let series = |seed| {
            let mut backoff = Backoff::try_new(params(10, 1_000), Jitter::seeded(seed)).unwrap();
            (0..20).map(|_| backoff.next_delay()).collect::<Vec<_>>()
        };
        assert_eq!(series(7), series(7));
        assert_ne!(series(7), series(8));
    }

    #[test]
    fn jitter_fills_the_whole_range_evenly() {
        let mut jitter = Jitter::seeded(42);
        let max = Duration::from_millis(1_000);
        let draws: Vec<u128> = (0..10_000).map(|_| jitter.up_to(max).as_millis()).collect();
        let mean = draws.iter().sum::<u128>() / 10_000;
        assert!((480..=520).contains(&mean), "mean {mean} ms");
        assert!(draws.iter().any(|ms| *ms < 10) && draws.iter().any(|ms| *ms > 990));
        assert_eq!(jitter.up_to(Duration::ZERO), Duration::ZERO);
        assert!(jitter.up_to(Duration::MAX) <= Duration::MAX);
    }

    #[test]
    fn entropy_differs_from_call_to_call() {
        assert_ne!(Jitter::from_entropy().next(), Jitter::from_entropy().next());
    }
}
