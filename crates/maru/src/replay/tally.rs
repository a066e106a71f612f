//! Counts what became of the orders, each exactly once.

use std::collections::BTreeMap;
use std::fmt;
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// Longest latency that is told apart, in microseconds: one hour.
const LONGEST_MICROS: u64 = 3_600_000_000;
/// Unresolved orders that are named in the summary.
const MAX_NAMED: usize = 20;

/// How an order ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Paid, its stock consumed.
    Confirmed,
    /// With its reason.
    Cancelled(String),
    /// The server refused to take it, with its code: there is no such order.
    Refused(String),
    /// Nobody knows, with what is known.
    Unresolved(String),
}

/// The counters.
#[derive(Clone, Debug)]
pub(super) struct Tally {
    /// Orders sent or being sent.
    pub(super) due: u64,
    /// Orders that the server has taken.
    placed: u64,
    confirmed: u64,
    cancelled: BTreeMap<String, u64>,
    refused: BTreeMap<String, u64>,
    unresolved: u64,
    /// Some of the unresolved ones.
    named: Vec<String>,
    answers: Histogram<u64>,
    ends: Histogram<u64>,
}

/// Counters that many tasks share.
#[derive(Debug, Default)]
pub(super) struct SharedTally(Mutex<Tally>);

impl Default for Tally {
    fn default() -> Self {
        let histogram = Histogram::new_with_bounds(1, LONGEST_MICROS, 3);
        let histogram = histogram.expect("the bounds are constants");
        Self {
            due: 0,
            placed: 0,
            confirmed: 0,
            cancelled: BTreeMap::new(),
            refused: BTreeMap::new(),
            unresolved: 0,
            named: Vec::new(),
            answers: histogram.clone(),
            ends: histogram,
        }
    }
}

impl SharedTally {
    fn change(&self, change: impl FnOnce(&mut Tally)) {
        change(&mut self.0.lock().expect("no counting panics"));
    }

    /// An order is due.
    pub(super) fn due(&self) {
        self.change(|tally| tally.due += 1);
    }

    /// The server has taken an order, this long after it was due.
    pub(super) fn placed(&self, latency: Duration) {
        self.change(|tally| {
            tally.placed += 1;
            tally.answers.saturating_record(micros(latency));
        });
    }

    /// An order has ended, this long after it was due.
    pub(super) fn ended(&self, fate: &Fate, latency: Duration) {
        self.change(|tally| match fate {
            Fate::Confirmed => {
                tally.confirmed += 1;
                tally.ends.saturating_record(micros(latency));
            }
            Fate::Cancelled(reason) => {
                *tally.cancelled.entry(reason.clone()).or_default() += 1;
                tally.ends.saturating_record(micros(latency));
            }
            Fate::Refused(code) => *tally.refused.entry(code.clone()).or_default() += 1,
            Fate::Unresolved(what) => {
                tally.unresolved += 1;
                if tally.named.len() < MAX_NAMED {
                    tally.named.push(what.clone());
                }
            }
        });
    }

    /// The counters as they are now.
    pub(super) fn snapshot(&self) -> Tally {
        self.0.lock().expect("no counting panics").clone()
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn millis_at(histogram: &Histogram<u64>, quantile: f64) -> u64 {
    histogram.value_at_quantile(quantile).div_ceil(1_000)
}

impl Tally {
    fn cancelled(&self) -> u64 {
        self.cancelled.values().sum()
    }

    fn refused(&self) -> u64 {
        self.refused.values().sum()
    }

    fn pending(&self) -> u64 {
        let ended = self.confirmed + self.cancelled() + self.refused() + self.unresolved;
        self.due - ended
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "placed {}, confirmed {}, cancelled {}, pending {}, failed {}; p50 {} ms, p99 {} ms",
            self.placed,
            self.confirmed,
            self.cancelled(),
            self.pending(),
            self.refused(),
            millis_at(&self.ends, 0.50),
            millis_at(&self.ends, 0.99)
        )
    }
}

/// What a replay came to.
#[derive(Debug, Serialize)]
pub(super) struct Summary {
    run_id: String,
    /// Orders that were due.
    orders: u64,
    /// Orders that the server took.
    placed: u64,
    confirmed: u64,
    cancelled: u64,
    cancelled_by_reason: BTreeMap<String, u64>,
    failed: u64,
    failed_by_code: BTreeMap<String, u64>,
    unresolved: u64,
    /// The first of them.
    unresolved_orders: Vec<String>,
    /// Requests that had to be sent again.
    repeats: u64,
    placed_per_second: f64,
    seconds: f64,
    /// From the moment an order was due until the server took it.
    answer_ms: Latency,
    /// From the moment an order was due until its end was known.
    end_ms: Latency,
}

#[derive(Debug, Serialize)]
struct Latency {
    p50: u64,
    p90: u64,
    p99: u64,
    max: u64,
}

impl Latency {
    fn of(histogram: &Histogram<u64>) -> Self {
        Self {
            p50: millis_at(histogram, 0.50),
            p90: millis_at(histogram, 0.90),
            p99: millis_at(histogram, 0.99),
            max: histogram.max().div_ceil(1_000),
        }
    }
}

impl Summary {
    /// Draws up the summary of a run that has ended.
    pub(super) fn new(
        run_id: String,
        tally: Tally,
        placed_in: Duration,
        took: Duration,
        repeats: u64,
    ) -> Self {
        // What nobody waits for any more is unresolved too.
        let unresolved = tally.unresolved + tally.pending();
        #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
        let placed_per_second = tally.due as f64 / placed_in.as_secs_f64().max(0.001);
        Self {
            run_id,
            orders: tally.due,
            placed: tally.placed,
            confirmed: tally.confirmed,
            cancelled: tally.cancelled(),
            failed: tally.refused(),
            answer_ms: Latency::of(&tally.answers),
            end_ms: Latency::of(&tally.ends),
            cancelled_by_reason: tally.cancelled,
            failed_by_code: tally.refused,
            unresolved,
            unresolved_orders: tally.named,
            repeats,
            placed_per_second,
            seconds: took.as_secs_f64(),
        }
    }

    /// Success when the end of every order is known and none was refused.
    pub(super) fn exit_code(&self) -> ExitCode {
        ExitCode::from(u8::from(self.unresolved > 0 || self.failed > 0))
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Run {}: {} orders in {:.1} s ({:.1}/s): \
             {} confirmed, {} cancelled, {} failed, {} unresolved.",
            self.run_id,
            self.orders,
            self.seconds,
            self.placed_per_second,
            self.confirmed,
            self.cancelled,
            self.failed,
            self.unresolved
        )?;
        let Latency { p50, p90, p99, max } = &self.end_ms;
        write!(
            f,
            "\nUntil the end: p50 {p50} ms, p90 {p90} ms, p99 {p99} ms, at most {max} ms; "
        )?;
        write!(
            f,
            "until the answer: p50 {} ms, p99 {} ms; ",
            self.answer_ms.p50, self.answer_ms.p99
        )?;
        write!(f, "{} requests were sent again.", self.repeats)?;
        for (reason, count) in &self.cancelled_by_reason {
            write!(f, "\n  cancelled, {reason}: {count}")?;
        }
        for (code, count) in &self.failed_by_code {
            write!(f, "\n  failed, {code}: {count}")?;
        }
        for what in &self.unresolved_orders {
            write!(f, "\n  unresolved: {what}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_order_is_counted_once() {
        let tally = SharedTally::default();
        let reasons = ["out_of_stock", "payment_declined", "out_of_stock"];
        let mut fates = vec![Fate::Confirmed, Fate::Confirmed];
        fates.extend(reasons.map(|reason| Fate::Cancelled(reason.to_owned())));
        fates.push(Fate::Refused("invalid_field".to_owned()));
        fates.push(Fate::Unresolved("order 7: no answer".to_owned()));
        for fate in &fates {
            tally.due();
            if matches!(fate, Fate::Confirmed | Fate::Cancelled(_)) {
                tally.placed(Duration::from_millis(10));
            }
            tally.ended(fate, Duration::from_millis(20));
        }
        tally.due();
        let now = tally.snapshot();
        assert_eq!(
            now.to_string(),
            "placed 5, confirmed 2, cancelled 3, pending 1, failed 1; p50 21 ms, p99 21 ms"
        );
        let second = Duration::from_secs(1);
        let summary = Summary::new("r".to_owned(), now, second, second, 0);
        assert_eq!(summary.cancelled_by_reason["out_of_stock"], 2);
        assert_eq!(summary.unresolved_orders, ["order 7: no answer"]);
        assert_eq!(summary.answer_ms.max, 11);
    }
}
