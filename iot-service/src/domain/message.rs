//! What a device says: `{"measured_at": "...", "metrics": {"temperature_c": 3.4}}`.

use std::collections::BTreeMap;
use std::time::Duration;

use common::time::Timestamp;
use serde::Deserialize;

/// Metrics in one message at most.
const MAX_METRICS: usize = 32;
/// Longest name of a metric, in bytes.
const MAX_NAME_BYTES: usize = 64;
/// A device's clock may be ahead by this much.
const MAX_AHEAD: Duration = Duration::from_secs(24 * 3_600);
/// 2020-01-01T00:00:00Z. However long a device was offline, it measured nothing for Maru before
/// then: Maru is younger. Clocks that were never set begin in 1970, 1980 or 2000.
const EARLIEST: Timestamp = Timestamp::from_unix_seconds(1_577_836_800);

/// A message as it is sent.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct MessageIn {
    measured_at: Timestamp,
    metrics: BTreeMap<String, f64>,
}

/// What one device measured at one moment.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Telemetry {
    pub(crate) measured_at: Timestamp,
    /// Name and value, at least one.
    pub(crate) metrics: BTreeMap<String, f64>,
}

/// Why a message cannot be stored, now or later.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BadMessage {
    /// Not the expected JSON.
    #[error("the payload is not telemetry")]
    Unreadable(#[source] serde_json::Error),
    /// No metric, or too many.
    #[error("a message holds from 1 to {MAX_METRICS} metrics")]
    MetricCount,
    /// A metric's name is not `[a-z][a-z0-9_]*`.
    #[error("a metric is named with lower-case letters, digits and underscores")]
    MetricName,
    /// Neither infinity nor NaN is a reading.
    #[error("a value is a finite number")]
    Value,
    /// The device's clock is wrong.
    #[error("measured more than a day in the future")]
    Future,
    /// The device's clock was never set.
    #[error("measured before {EARLIEST}")]
    Past,
}

impl Telemetry {
    /// Reads a payload.
    pub(crate) fn parse(payload: &[u8], now: Timestamp) -> Result<Self, BadMessage> {
        let message: MessageIn = serde_json::from_slice(payload).map_err(BadMessage::Unreadable)?;
        if !(1..=MAX_METRICS).contains(&message.metrics.len()) {
            return Err(BadMessage::MetricCount);
        }
        if !message.metrics.keys().all(|name| is_metric(name)) {
            return Err(BadMessage::MetricName);
        }
        if !message.metrics.values().all(|value| value.is_finite()) {
            return Err(BadMessage::Value);
        }
        if message.measured_at > now.plus(MAX_AHEAD) {
            return Err(BadMessage::Future);
        }
        if message.measured_at < EARLIEST {
            return Err(BadMessage::Past);
        }
        Ok(Self {
            measured_at: message.measured_at,
            metrics: message.metrics,
        })
    }
}

/// Whether `name` names a metric.
pub(crate) fn is_metric(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_lowercase())
        && name.len() <= MAX_NAME_BYTES
        && bytes.all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_read_or_refused() {
        let now = "2026-03-01T00:00:00Z".parse().unwrap();
        let good = br#"{"measured_at":"2026-03-01T00:00:00Z","metrics":{"temperature_c":3.5}}"#;
        assert_eq!(
            Telemetry::parse(good, now).unwrap().metrics["temperature_c"],
            3.5
        );
        for bad in [
            "",
            "{}",
            r#"{"measured_at":"2026-03-01T00:00:00Z","metrics":{}}"#,
            r#"{"measured_at":"2026-03-01T00:00:00Z","metrics":{"Temp":1}}"#,
            r#"{"measured_at":"2026-03-01T00:00:00Z","metrics":{"t":"1"}}"#,
            r#"{"measured_at":"2026-03-01T00:00:00Z","metrics":{"t":1},"x":1}"#,
            r#"{"measured_at":"2026-03-01T00:00:00Z","metrics":{"t":1e999}}"#,
            r#"{"measured_at":"2026-03-03T00:00:00Z","metrics":{"t":1}}"#,
            r#"{"measured_at":"yesterday","metrics":{"t":1}}"#,
        ] {
            assert!(Telemetry::parse(bad.as_bytes(), now).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_late_reading_is_taken_and_one_of_a_clock_that_was_never_set_is_not() {
        let now = "2026-03-01T00:00:00Z".parse().unwrap();
        let check = |measured_at: &str, expected: bool| {
            let message = format!(r#"{{"measured_at":"{measured_at}","metrics":{{"t":1}}}}"#);
            let read = Telemetry::parse(message.as_bytes(), now);
            assert_eq!(read.is_ok(), expected, "{measured_at}");
        };
        for late in [
            "2026-02-28T23:59:59Z",
            "2025-01-01T00:00:00Z",
            "2020-01-01T00:00:00Z",
        ] {
            check(late, true);
        }
        for unset in [
            "2019-12-31T23:59:59.999999Z",
            "2000-01-01T00:00:10Z",
            "1970-01-01T00:00:10Z",
            "0001-01-01T00:00:00Z",
            // Before anything that PostgreSQL can hold.
            "-005000-01-01T00:00:00Z",
        ] {
            check(unset, false);
        }
    }
}
