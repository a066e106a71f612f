//! Progress of a long command: a bar on a terminal, a line now and then elsewhere.

use std::convert::Infallible;
use std::io::{IsTerminal as _, Write as _};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::output::complain;

/// Between two lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(2);

/// How far a command has come.
#[derive(Debug)]
pub(crate) struct Progress {
    what: &'static str,
    total: u64,
    done: AtomicU64,
    started: Instant,
    next_line: Mutex<Instant>,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Begins to count `what` up to `total`.
    pub(crate) fn new(what: &'static str, total: u64) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let template = "{bar:30} {pos}/{len} {msg}, {per_sec}, {eta} left";
            let style = ProgressStyle::with_template(template);
            let bar = ProgressBar::new(total).with_message(what);
            bar.with_style(style.expect("the template is a constant"))
        });
        let started = Instant::now();
        Self {
            what,
            total,
            done: AtomicU64::new(0),
            started,
            next_line: Mutex::new(started + LINE_EVERY),
            bar,
        }
    }

    /// Counts `more`.
    pub(crate) fn advance(&self, more: u64) {
        let done = self.done.fetch_add(more, Ordering::Relaxed) + more;
        if let Some(bar) = &self.bar {
            bar.inc(more);
            return;
        }
        let now = Instant::now();
        let mut next_line = self
            .next_line
            .lock()
            .expect("nobody panics while holding it");
        if now >= *next_line {
            *next_line = now + LINE_EVERY;
            complain(line(self.what, done, self.total, now - self.started));
        }
    }

    /// Takes the bar away.
    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Shows a line of counters for as long as it is awaited: in place on a terminal, as a line of its
/// own now and then elsewhere. When dropped it takes the line off the terminal.
pub(crate) async fn show_counters(mut line: impl FnMut() -> String) -> Infallible {
    let is_terminal = std::io::stderr().is_terminal();
    let every = Duration::from_secs(if is_terminal { 1 } else { 5 });
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    let _cleared_at_end = is_terminal.then(|| ClearLine);
    loop {
        ticks.tick().await;
        if is_terminal {
            write_in_place(&line());
        } else {
            complain(line());
        }
    }
}

/// Leaves an empty line where the counters were.
struct ClearLine;

impl Drop for ClearLine {
    fn drop(&mut self) {
        write_in_place("");
    }
}

fn write_in_place(line: &str) {
    let mut terminal = std::io::stderr().lock();
    let _gone_reader = write!(terminal, "\r\x1b[2K{line}").and_then(|()| terminal.flush());
}

/// `5000/21350 orders, 23 %, 1250/s, 13 s left`
fn line(what: &str, done: u64, total: u64, elapsed: Duration) -> String {
    let percent = done.saturating_mul(100) / total.max(1);
    let millis = u64::try_from(elapsed.as_millis())
        .unwrap_or(u64::MAX)
        .max(1);
    let rate = done.saturating_mul(1000) / millis;
    let left = total.saturating_sub(done).div_ceil(rate.max(1));
    format!("{done}/{total} {what}, {percent} %, {rate}/s, {left} s left")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_far_how_fast_and_how_long_yet() {
        for (done, total, seconds, expected) in [
            (
                5000,
                21_350,
                4,
                "5000/21350 orders, 23 %, 1250/s, 14 s left",
            ),
            (0, 0, 0, "0/0 orders, 0 %, 0/s, 0 s left"),
        ] {
            assert_eq!(
                line("orders", done, total, Duration::from_secs(seconds)),
                expected
            );
        }
    }
}
