//! Calls and failures of the recent past, in ten buckets: old ones leave a tenth of the window at a
//! time, and the memory does not grow with the traffic.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

const BUCKETS: u32 = 10;

#[derive(Debug)]
pub(super) struct Window {
    length: Duration,
    buckets: VecDeque<Bucket>,
}

#[derive(Debug)]
struct Bucket {
    since: Instant,
    calls: u64,
    failures: u64,
}

impl Window {
    pub(super) fn new(length: Duration) -> Self {
        Self {
            length,
            buckets: VecDeque::new(),
        }
    }

    pub(super) fn record(&mut self, now: Instant, succeeded: bool) {
        let age = |bucket: &Bucket| now.saturating_duration_since(bucket.since);
        while self
            .buckets
            .front()
            .is_some_and(|oldest| age(oldest) >= self.length)
        {
            self.buckets.pop_front();
        }
        let current = self.buckets.back();
        if current.is_none_or(|newest| age(newest) >= self.length / BUCKETS) {
            self.buckets.push_back(Bucket {
                since: now,
                calls: 0,
                failures: 0,
            });
        }
        if let Some(bucket) = self.buckets.back_mut() {
            bucket.calls += 1;
            bucket.failures += u64::from(!succeeded);
        }
    }

    /// Calls and failures, as of the last record.
    pub(super) fn totals(&self) -> (u64, u64) {
        self.buckets
            .iter()
            .fold((0, 0), |(calls, failures), bucket| {
                (calls + bucket.calls, failures + bucket.failures)
            })
    }
}
