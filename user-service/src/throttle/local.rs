//! Counts of failed logins in this process.

use std::time::Duration;

use common::time::Timestamp;
use moka::sync::Cache;

use super::SCOPES;
use crate::domain::progression::{Failures, Progression};

/// Most keys kept; beyond it those used least give way. About 20 MB if ever full.
const MAX_KEYS: u64 = 100_000;

pub(super) struct LocalCounts(Cache<String, Failures>);

impl LocalCounts {
    pub(super) fn new(forget_after: Duration) -> Self {
        let cache = Cache::builder()
            .max_capacity(MAX_KEYS)
            .time_to_live(forget_after);
        Self(cache.build())
    }

    pub(super) fn read(&self, keys: &[String; SCOPES]) -> [Option<Failures>; SCOPES] {
        keys.each_ref().map(|key| self.0.get(key))
    }

    pub(super) fn add(&self, key: &str, delays: &Progression, now: Timestamp) {
        self.0.entry_by_ref(key).and_upsert_with(|before| {
            delays.after_failure(before.map(moka::Entry::into_value), now)
        });
    }

    pub(super) fn forget(&self, key: &str) {
        self.0.invalidate(key);
    }
}
