//! Counts of failed logins in this process.

use std::time::Duration;

use common::time::Timestamp;
use moka::ops::compute::Op;
use moka::sync::Cache;

use super::SCOPES;
use crate::domain::progression::{Failures, Progression};

/// Most keys kept; beyond it those used least give way. About 20 MB if ever full.
const MAX_KEYS: u64 = 100_000;

pub(super) struct LocalCounts(Cache<String, Counted>);

#[derive(Clone, Copy)]
struct Counted {
    failures: Failures,
    /// Some of them Redis did not take.
    is_alone: bool,
}

impl LocalCounts {
    pub(super) fn new(forget_after: Duration) -> Self {
        let cache = Cache::builder()
            .max_capacity(MAX_KEYS)
            .time_to_live(forget_after);
        Self(cache.build())
    }

    pub(super) fn read(&self, keys: &[String; SCOPES]) -> [Option<Failures>; SCOPES] {
        keys.each_ref()
            .map(|key| self.0.get(key).map(|counted| counted.failures))
    }

    /// Those of which Redis does not know all.
    pub(super) fn read_alone(&self, keys: &[String; SCOPES]) -> [Option<Failures>; SCOPES] {
        let alone = |key: &String| self.0.get(key).filter(|counted| counted.is_alone);
        keys.each_ref()
            .map(|key| alone(key).map(|counted| counted.failures))
    }

    pub(super) fn add(&self, key: &str, delays: &Progression, now: Timestamp) {
        self.0.entry_by_ref(key).and_upsert_with(|before| {
            let before = before.map(moka::Entry::into_value);
            Counted {
                failures: delays.after_failure(before.map(|counted| counted.failures), now),
                is_alone: before.is_some_and(|counted| counted.is_alone),
            }
        });
    }

    /// Remembers that Redis did not take a failure.
    pub(super) fn keep_alone(&self, key: &str) {
        self.0.entry_by_ref(key).and_compute_with(|entry| {
            entry.map_or(Op::Nop, |entry| {
                Op::Put(Counted {
                    is_alone: true,
                    ..entry.into_value()
                })
            })
        });
    }

    pub(super) fn forget(&self, key: &str) {
        self.0.invalidate(key);
    }
}
