//! Self-preservation: when nearly all of many instances are silent together, what lies between them and
//! the gateways has failed more likely than they have, and they should be known still when it is back.

use std::collections::BTreeSet;
use std::time::Duration;

use common::time::Timestamp;

/// Fewer leases than this may well end together.
const FEWEST: usize = 10;

/// More than this many of a hundred are nearly all.
const PERCENT: usize = 85;

/// The lease of an instance.
#[derive(Clone, Debug)]
pub(super) struct Lease {
    /// Service and id.
    pub(super) instance: (String, String),
    pub(super) expires_at: Timestamp,
    pub(super) length: Duration,
}

impl Lease {
    /// Whether it has not been renewed for half its length; who renews in time does so earlier.
    fn is_late(&self, now: Timestamp) -> bool {
        self.expires_at <= now.plus(self.length / 2)
    }

    fn has_run_out_once(&self, now: Timestamp) -> bool {
        self.expires_at <= now && now < self.expires_at.plus(self.length)
    }
}

/// The instances that are left alone although their leases have run out: once more for the length of
/// the lease, and only when nearly all leases are late.
pub(super) fn given_more_time(leases: &[Lease], now: Timestamp) -> BTreeSet<&(String, String)> {
    let late = leases.iter().filter(|lease| lease.is_late(now)).count();
    if leases.len() < FEWEST || late * 100 <= leases.len() * PERCENT {
        return BTreeSet::new();
    }
    let spared = leases.iter().filter(|lease| lease.has_run_out_once(now));
    spared.map(|lease| &lease.instance).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTH: Duration = Duration::from_secs(30);

    fn leases(count: usize, expires_at: Timestamp) -> Vec<Lease> {
        let lease = |number: usize| Lease {
            instance: ("web".to_owned(), format!("{expires_at}-{number}")),
            expires_at,
            length: LENGTH,
        };
        (0..count).map(lease).collect()
    }

    #[test]
    fn only_nearly_all_of_many_are_given_more_time_and_only_once() {
        let now = Timestamp::from_unix_seconds(1_000);
        for (fresh, late, ended, ended_twice, expected) in [
            (0, 0, 9, 0, 0),
            (0, 0, 10, 0, 10),
            (1, 0, 9, 0, 9),
            (2, 0, 9, 0, 0),
            (15, 0, 85, 0, 0),
            (14, 0, 86, 0, 86),
            (14, 85, 1, 0, 1),
            (15, 84, 1, 0, 0),
            (9_999, 0, 1, 0, 0),
            (0, 10, 3, 7, 3),
        ] {
            let mut all = leases(fresh, now.plus(LENGTH * 2 / 3));
            all.extend(leases(late, now.plus(LENGTH / 3)));
            all.extend(leases(ended, now));
            all.extend(leases(ended_twice, now.minus(LENGTH)));
            let spared = given_more_time(&all, now).len();
            assert_eq!(spared, expected, "{fresh} {late} {ended} {ended_twice}");
        }
    }
}
