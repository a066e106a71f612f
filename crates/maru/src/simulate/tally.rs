//! Counts what became of the readings.

use std::collections::BTreeMap;
use std::fmt;
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;
use tokio::time::Instant;

/// Longest latency that is told apart, in microseconds: one hour.
const LONGEST_MICROS: u64 = 3_600_000_000;
/// Different failures that are told apart.
const MAX_FAILURES: usize = 10;

/// The counters.
#[derive(Clone, Debug)]
pub(super) struct Tally {
    devices: u64,
    /// Devices connected now.
    connected: u64,
    /// Connections made by devices that had one before.
    reconnects: u64,
    published: u64,
    acknowledged: u64,
    sent_again: u64,
    skipped: u64,
    refused: u64,
    /// Failures of connections, by what was said.
    failures: BTreeMap<String, u64>,
    last_failure: Option<String>,
    latencies: Histogram<u64>,
}

impl Tally {
    fn new(devices: u64) -> Self {
        let latencies = Histogram::new_with_bounds(1, LONGEST_MICROS, 3);
        Self {
            devices,
            connected: 0,
            reconnects: 0,
            published: 0,
            acknowledged: 0,
            sent_again: 0,
            skipped: 0,
            refused: 0,
            failures: BTreeMap::new(),
            last_failure: None,
            latencies: latencies.expect("the bounds are constants"),
        }
    }

    /// Readings acknowledged.
    pub(super) fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    fn unacknowledged(&self) -> u64 {
        self.published - self.acknowledged
    }

    /// In milliseconds.
    fn latency_at(&self, quantile: f64) -> f64 {
        millis(self.latencies.value_at_quantile(quantile))
    }

    fn fail(&mut self, why: String) {
        if self.failures.contains_key(&why) || self.failures.len() < MAX_FAILURES {
            *self.failures.entry(why.clone()).or_default() += 1;
        }
        self.last_failure = Some(why);
    }
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn millis(micros: u64) -> f64 {
    (micros as f64 / 100.0).round() / 10.0
}

/// Counters that all devices share.
#[derive(Debug)]
pub(super) struct SharedTally(Mutex<Tally>);

impl SharedTally {
    /// Counters of so many devices.
    pub(super) fn new(devices: u64) -> Self {
        Self(Mutex::new(Tally::new(devices)))
    }

    fn change(&self, change: impl FnOnce(&mut Tally)) {
        change(&mut self.0.lock().expect("no counting panics"));
    }

    /// A device was let in for the first time.
    pub(super) fn connected(&self) {
        self.change(|tally| tally.connected += 1);
    }

    /// A device was let in once more.
    pub(super) fn reconnected(&self) {
        self.change(|tally| {
            tally.connected += 1;
            tally.reconnects += 1;
        });
    }

    /// A connection that was up has ended, for whatever reason.
    pub(super) fn disconnected(&self) {
        self.change(|tally| tally.connected -= 1);
    }

    /// A connection broke or could not be made.
    pub(super) fn lost(&self, why: String) {
        self.change(|tally| tally.fail(why));
    }

    /// A device is not let in and gives up.
    pub(super) fn refused(&self, why: String) {
        self.change(|tally| {
            tally.refused += 1;
            tally.fail(why);
        });
    }

    /// A device has taken a reading and will not rest until it is acknowledged.
    pub(super) fn published(&self) {
        self.change(|tally| tally.published += 1);
    }

    /// A reading is acknowledged, this long after it was taken.
    pub(super) fn acknowledged(&self, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.change(|tally| {
            tally.acknowledged += 1;
            tally.latencies.saturating_record(micros);
        });
    }

    /// A reading was sent once more, on a new connection.
    pub(super) fn sent_again(&self) {
        self.change(|tally| tally.sent_again += 1);
    }

    /// A device with a full memory has not measured.
    pub(super) fn skipped(&self) {
        self.change(|tally| tally.skipped += 1);
    }

    /// The counters as they are now.
    pub(super) fn snapshot(&self) -> Tally {
        self.0.lock().expect("no counting panics").clone()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}/{} connected, {} reconnects; published {}, acknowledged {}, unacknowledged {}; \
             p50 {:.1} ms, p99 {:.1} ms",
            self.connected,
            self.devices,
            self.reconnects,
            self.published,
            self.acknowledged,
            self.unacknowledged(),
            self.latency_at(0.50),
            self.latency_at(0.99)
        )?;
        match &self.last_failure {
            Some(why) if self.connected < self.devices => write!(f, "; {why}"),
            _ => Ok(()),
        }
    }
}

/// What has happened per second since the last time one asked.
#[derive(Debug)]
pub(super) struct Rate {
    count: u64,
    at: Instant,
}

impl Rate {
    /// Counts from 0 at `start`.
    pub(super) fn new(start: Instant) -> Self {
        Self {
            count: 0,
            at: start,
        }
    }

    /// The rate until `now`, when the count is `count`.
    pub(super) fn next(&mut self, count: u64, now: Instant) -> f64 {
        let rate = per_second(count - self.count, now - self.at);
        *self = Self { count, at: now };
        rate
    }
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn per_second(count: u64, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64().max(0.001)
}

/// What a run came to.
#[derive(Debug, Serialize)]
pub(super) struct Summary {
    devices: u64,
    /// Devices that were not let in and gave up.
    refused_devices: u64,
    /// Readings that were taken to be published.
    published: u64,
    /// Of these, how many the broker has taken.
    acknowledged: u64,
    unacknowledged: u64,
    /// Readings sent once more after a connection was lost.
    sent_again: u64,
    /// Readings not taken, as a device could not keep more.
    skipped: u64,
    reconnects: u64,
    /// Connections that failed or were not made, by what was said.
    failures: BTreeMap<String, u64>,
    seconds: f64,
    acknowledged_per_second: f64,
    /// From the moment a reading was taken until it was acknowledged.
    acknowledged_after_ms: Latency,
}

#[derive(Debug, Serialize)]
struct Latency {
    p50: f64,
    p90: f64,
    p99: f64,
    max: f64,
}

impl Summary {
    /// Draws up the summary of a run during which devices measured for `played`.
    pub(super) fn new(tally: &Tally, played: Duration) -> Self {
        Self {
            devices: tally.devices,
            refused_devices: tally.refused,
            published: tally.published,
            acknowledged: tally.acknowledged,
            unacknowledged: tally.unacknowledged(),
            sent_again: tally.sent_again,
            skipped: tally.skipped,
            reconnects: tally.reconnects,
            failures: tally.failures.clone(),
            seconds: played.as_secs_f64(),
            acknowledged_per_second: per_second(tally.acknowledged, played),
            acknowledged_after_ms: Latency {
                p50: tally.latency_at(0.50),
                p90: tally.latency_at(0.90),
                p99: tally.latency_at(0.99),
                max: millis(tally.latencies.max()),
            },
        }
    }

    /// Success when every reading is acknowledged and every device was let in.
    pub(super) fn exit_code(&self) -> ExitCode {
        ExitCode::from(u8::from(
            self.unacknowledged > 0 || self.refused_devices > 0,
        ))
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} devices, {:.1} s: {} readings published, {} acknowledged ({:.1}/s), {} unacknowledged.",
            self.devices,
            self.seconds,
            self.published,
            self.acknowledged,
            self.acknowledged_per_second,
            self.unacknowledged
        )?;
        let Latency { p50, p90, p99, max } = &self.acknowledged_after_ms;
        write!(
            f,
            "\nAcknowledged after: p50 {p50:.1} ms, p90 {p90:.1} ms, p99 {p99:.1} ms, at most {max:.1} ms. \
             {} reconnects, {} readings sent again, {} not taken.",
            self.reconnects, self.sent_again, self.skipped
        )?;
        if self.refused_devices > 0 {
            write!(f, "\n  devices not let in: {}", self.refused_devices)?;
        }
        for (why, count) in &self.failures {
            write!(f, "\n  connection failed, {why}: {count}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reading_is_acknowledged_or_not() {
        let tally = SharedTally::new(2);
        tally.connected();
        tally.connected();
        for latency_ms in [1, 2, 3, 40] {
            tally.published();
            tally.acknowledged(Duration::from_millis(latency_ms));
        }
        tally.published();
        tally.disconnected();
        tally.lost("the broker is gone".to_owned());
        let now = tally.snapshot();
        assert_eq!(
            now.to_string(),
            "1/2 connected, 0 reconnects; published 5, acknowledged 4, unacknowledged 1; \
             p50 2.0 ms, p99 40.0 ms; the broker is gone"
        );
        tally.reconnected();
        tally.sent_again();
        let summary = Summary::new(&tally.snapshot(), Duration::from_secs(2));
        assert_eq!(
            (
                summary.unacknowledged,
                summary.reconnects,
                summary.sent_again
            ),
            (1, 1, 1)
        );
        assert_eq!(summary.failures["the broker is gone"], 1);
        assert!((summary.acknowledged_per_second - 2.0).abs() < 1e-9);
        assert_eq!(summary.exit_code(), ExitCode::FAILURE);
    }

    #[test]
    fn the_rate_is_that_since_the_last_time() {
        let start = Instant::now();
        let mut rate = Rate::new(start);
        assert_eq!(rate.next(10, start + Duration::from_secs(2)), 5.0);
        assert_eq!(rate.next(40, start + Duration::from_secs(3)), 30.0);
    }
}
