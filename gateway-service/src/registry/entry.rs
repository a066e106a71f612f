//! What the registry knows: instances, their checks, and how they are.

use std::collections::BTreeMap;
use std::time::Duration;

use common::time::Timestamp;
use serde_json::Value;

use crate::status::ServiceStatus;

/// Longest name of a service or an instance, in characters.
const MAX_NAME: usize = 63;
/// Longest id of an instance or a check.
const MAX_ID: usize = 128;
/// Most entries of `metadata` or `tags`.
pub(crate) const MAX_ENTRIES: usize = 64;
/// Most bytes of all of them together.
pub(crate) const MAX_METADATA_BYTES: usize = 8 * 1024;
/// Longest text that a check may leave.
const MAX_OUTPUT: usize = 512;

/// Whether a text names a service: letters, digits, `-`, `_` and `.`, beginning with a letter or
/// digit; it stands in paths, logs and time series.
pub(crate) fn is_service_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    text.len() <= MAX_NAME
        && bytes
            .next()
            .is_some_and(|first| first.is_ascii_alphanumeric())
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

/// Whether a text is the id of an instance or a check; Consul's clients put colons into them.
pub(crate) fn is_id(text: &str) -> bool {
    (1..=MAX_ID).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.:@#".contains(&byte))
}

/// How a check turned out last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum CheckStatus {
    /// It works.
    Passing,
    /// It has not been asked yet.
    Unknown,
    /// It works, with a reservation.
    Warning,
    /// It does not work.
    Critical,
}

impl CheckStatus {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Passing => "passing",
            Self::Unknown => "unknown",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::Passing, Self::Unknown, Self::Warning, Self::Critical]
            .into_iter()
            .find(|status| status.as_str() == text)
    }
}

/// What makes up the word of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CheckKind {
    /// The instance renews it, or it is gone.
    Lease,
    /// The instance tells how it is, or it is critical.
    Ttl,
    /// A gateway asks.
    Http,
}

impl CheckKind {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Lease => "lease",
            Self::Ttl => "ttl",
            Self::Http => "http",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::Lease, Self::Ttl, Self::Http]
            .into_iter()
            .find(|kind| kind.as_str() == text)
    }
}

/// One check of an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Check {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) kind: CheckKind,
    /// What is asked, for [`CheckKind::Http`].
    pub(crate) url: Option<String>,
    /// Time between two questions, or within which the instance must tell.
    pub(crate) period: Duration,
    /// Longest wait for an answer, for [`CheckKind::Http`].
    pub(crate) timeout: Option<Duration>,
    /// The instance is removed when this has been critical for so long.
    pub(crate) remove_after: Option<Duration>,
    pub(crate) status: CheckStatus,
    pub(crate) output: String,
    /// When it becomes critical if nothing is told.
    pub(crate) expires_at: Option<Timestamp>,
    pub(crate) change_index: u64,
}

impl Check {
    /// Whether two checks ask the same, whatever they found.
    pub(crate) fn asks_the_same(&self, other: &Self) -> bool {
        (
            self.kind,
            &self.url,
            self.period,
            self.timeout,
            self.remove_after,
        ) == (
            other.kind,
            &other.url,
            other.period,
            other.timeout,
            other.remove_after,
        )
    }
}

/// A text for [`Check::output`], cut to what is kept.
pub(crate) fn output(text: &str) -> String {
    let printable = text.chars().filter(|one| !one.is_control() || *one == '\n');
    printable.take(MAX_OUTPUT).collect()
}

/// What a caller registers.
#[derive(Clone, Debug)]
pub(crate) struct Registration {
    pub(crate) service: String,
    pub(crate) instance_id: String,
    pub(crate) base_url: String,
    pub(crate) metadata: BTreeMap<String, Value>,
    pub(crate) tags: Vec<String>,
    pub(crate) weight: u32,
    pub(crate) checks: Vec<Check>,
}

/// An instance as the registry has it.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) service: String,
    pub(crate) instance_id: String,
    pub(crate) base_url: String,
    pub(crate) metadata: BTreeMap<String, Value>,
    pub(crate) tags: Vec<String>,
    pub(crate) weight: u32,
    pub(crate) registered_by: String,
    pub(crate) registered_at: Timestamp,
    pub(crate) created_index: u64,
    pub(crate) change_index: u64,
    pub(crate) checks: Vec<Check>,
}

impl Entry {
    /// The worst of its checks; one without checks is taken at its word.
    pub(crate) fn check_status(&self) -> CheckStatus {
        let worst = self.checks.iter().map(|check| check.status).max();
        worst.unwrap_or(CheckStatus::Passing)
    }

    /// How it is.
    pub(crate) fn status(&self) -> ServiceStatus {
        match self.check_status() {
            CheckStatus::Passing | CheckStatus::Warning => ServiceStatus::Healthy,
            CheckStatus::Unknown => ServiceStatus::Unknown,
            CheckStatus::Critical => ServiceStatus::Unhealthy,
        }
    }

    /// When it is gone if nothing is heard of it.
    pub(crate) fn lease(&self) -> Option<(Duration, Timestamp)> {
        let lease = self
            .checks
            .iter()
            .find(|check| check.kind == CheckKind::Lease)?;
        Some((lease.period, lease.expires_at?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_safe_in_paths_logs_and_labels() {
        for (text, name, id) in [
            ("order", true, true),
            ("order-service.v2_b", true, true),
            ("web:80", false, true),
            ("-a", false, true),
            ("..", false, true),
            ("", false, false),
            ("a b", false, false),
            ("a/b", false, false),
            ("a\n", false, false),
            ("caf\u{e9}", false, false),
        ] {
            assert_eq!((is_service_name(text), is_id(text)), (name, id), "{text:?}");
        }
        assert!(!is_service_name(&"a".repeat(64)) && !is_id(&"a".repeat(129)));
    }

    #[test]
    fn output_is_cut_and_printable() {
        assert_eq!(output("a\u{7}b\nc"), "ab\nc");
        assert_eq!(output(&"\u{e9}".repeat(600)).chars().count(), 512);
    }
}
