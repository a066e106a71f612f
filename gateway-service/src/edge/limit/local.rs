//! Counts in this process.

use std::hash::{BuildHasher as _, RandomState};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use governor::clock::{Clock as _, MonotonicClock};
use governor::middleware::StateInformationMiddleware;
use governor::nanos::Nanos;
use governor::state::StateStore;
use governor::state::keyed::{DashMapStateStore, ShrinkableKeyedStateStore};
use governor::{Quota, RateLimiter};
use routing::RateLimit;

use super::Standing;

/// Callers with a count of their own. Beyond them new ones share counts, so that nobody can fill the
/// memory with names.
const MAX_KEYS: usize = 50_000;

/// Counts that are shared then.
const SHARED_COUNTS: u64 = 1_024;

type Counts = RateLimiter<u64, Store, MonotonicClock, StateInformationMiddleware>;

pub(super) struct LocalCounts {
    counts: Counts,
    clock: MonotonicClock,
    hasher: RandomState,
    burst: u32,
    /// Between two requests, when they come evenly.
    interval: Duration,
    is_full: Arc<AtomicBool>,
}

/// The counts by caller.
#[derive(Default)]
struct Store {
    counts: DashMapStateStore<u64>,
    /// Those who come from now on share counts.
    is_full: Arc<AtomicBool>,
}

impl StateStore for Store {
    type Key = u64;

    fn measure_and_replace<T, F, E>(&self, key: &u64, measure: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        // Whoever has a count keeps it: a flood of others must not take it away.
        let shares = self.is_full.load(Ordering::Relaxed) && !self.counts.contains_key(key);
        let key = if shares { key % SHARED_COUNTS } else { *key };
        self.counts.measure_and_replace(&key, measure)
    }
}

impl ShrinkableKeyedStateStore<u64> for Store {
    fn retain_recent(&self, drop_below: Nanos) {
        self.counts.retain_recent(drop_below);
    }

    fn shrink_to_fit(&self) {
        ShrinkableKeyedStateStore::shrink_to_fit(&self.counts);
    }

    fn len(&self) -> usize {
        self.counts.len()
    }

    fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }
}

impl LocalCounts {
    pub(super) fn new(limit: &RateLimit) -> Self {
        let burst = NonZeroU32::new(limit.burst).unwrap_or(NonZeroU32::MIN);
        let interval = interval(limit);
        let quota = Quota::with_period(interval).unwrap_or_else(|| Quota::per_second(burst));
        let clock = MonotonicClock;
        let store = Store::default();
        let is_full = Arc::clone(&store.is_full);
        Self {
            counts: Counts::new(quota.allow_burst(burst), store, clock.clone()),
            clock,
            hasher: RandomState::new(),
            burst: burst.get(),
            interval,
            is_full,
        }
    }

    pub(super) fn count(&self, key: &str) -> Standing {
        let key = self.hasher.hash_one(key);
        match self.counts.check_key(&key) {
            Ok(state) => {
                let remaining = state.remaining_burst_capacity();
                Standing {
                    wait: None,
                    remaining,
                    reset: self.interval * self.burst.saturating_sub(remaining),
                }
            }
            Err(until) => Standing {
                wait: Some(until.wait_time_from(self.clock.now())),
                remaining: 0,
                reset: self.interval * self.burst,
            },
        }
    }

    /// Forgets those who could ask with their whole burst again.
    pub(super) fn tidy(&self) {
        self.counts.retain_recent();
        self.counts.shrink_to_fit();
        let is_full = self.counts.len() >= MAX_KEYS;
        self.is_full.store(is_full, Ordering::Relaxed);
    }
}

/// Between two requests, when they come evenly.
pub(super) fn interval(limit: &RateLimit) -> Duration {
    let interval = limit.window / limit.requests.max(1);
    interval.max(Duration::from_nanos(1))
}

#[cfg(test)]
mod tests {
    use routing::RateKey;

    use super::*;

    fn limit(requests: u32, burst: u32) -> RateLimit {
        RateLimit {
            name: Arc::from("test"),
            by: RateKey::Address,
            requests,
            window: Duration::from_secs(3_600),
            burst,
        }
    }

    #[test]
    fn a_burst_passes_and_then_the_wait_is_told() {
        let counts = LocalCounts::new(&limit(60, 3));
        for remaining in [2, 1, 0] {
            let standing = counts.count("a");
            assert_eq!((standing.wait, standing.remaining), (None, remaining));
        }
        let standing = counts.count("a");
        let wait = standing.wait.unwrap();
        assert!(
            wait > Duration::from_secs(59) && wait <= Duration::from_secs(60),
            "{wait:?}"
        );
        assert_eq!(counts.count("b").wait, None);
    }

    #[test]
    fn a_flood_of_names_takes_nobody_s_count_away() {
        let counts = LocalCounts::new(&limit(60, 3));
        for known in ["quiet", "busy", "busy", "busy"] {
            counts.count(known);
        }
        for name in 0..MAX_KEYS {
            counts.count(&name.to_string());
        }
        counts.tidy();
        for name in 0..MAX_KEYS {
            counts.count(&format!("more {name}"));
        }
        // All that is shared is used up by now.
        assert!(counts.count("new").wait.is_some());
        assert!(counts.count("busy").wait.is_some());
        let standing = counts.count("quiet");
        assert_eq!((standing.wait, standing.remaining), (None, 1));
    }

    #[test]
    fn a_flood_of_names_does_not_fill_the_memory() {
        let counts = LocalCounts::new(&limit(60, 3));
        for name in 0..MAX_KEYS {
            counts.count(&name.to_string());
        }
        counts.tidy();
        for name in 0..MAX_KEYS {
            counts.count(&format!("more {name}"));
        }
        let shared = usize::try_from(SHARED_COUNTS).unwrap();
        assert!(counts.counts.len() <= MAX_KEYS + shared);
    }
}
