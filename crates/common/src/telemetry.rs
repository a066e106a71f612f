//! Logs and metrics of a process.

mod fields;
mod pausing;

use std::io::{BufWriter, IsTerminal as _};
use std::sync::OnceLock;
use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::settings::Profile;
use fields::PlainFields;
use pausing::Pausing;

/// Lines of the log that may wait to be written, about 1 MB.
const MAX_WAITING_LINES: usize = 4 * 1024;

/// Bytes of lines that are written at once.
const WRITTEN_AT_ONCE: usize = 16 * 1024;

/// How many lines were dropped because too many waited.
static DROPPED_LINES: OnceLock<ErrorCounter> = OnceLock::new();

/// The log of this process. What waits to be written is written when it is dropped.
#[derive(Debug)]
#[must_use]
pub struct Logs {
    _writer: WorkerGuard,
}

/// Starts logging to standard output: readable lines in development, JSON lines in production.
/// Repeating it changes nothing.
///
/// Nobody waits for the output: a thread of its own writes, every 10 ms, what has come meanwhile at once.
/// While more than 4,096 lines wait, because nobody reads them, further ones are dropped, and counted in
/// `log_lines_dropped_total`.
///
/// # Errors
/// When `filter` is not a list of [`Targets`].
pub fn init_logs(
    filter: &str,
    profile: Profile,
) -> Result<Logs, tracing_subscriber::filter::ParseError> {
    let registry = tracing_subscriber::registry().with(filter.parse::<Targets>()?);
    let (output, guard) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(MAX_WAITING_LINES)
        .thread_name("log")
        .finish(BufWriter::with_capacity(
            WRITTEN_AT_ONCE,
            Pausing::of(std::io::stdout()),
        ));
    let dropped = output.error_counter();
    let layer = fmt::layer().with_writer(output);
    // A second initialisation in one process fails and leaves the first in place.
    let begun = match profile {
        Profile::Production => registry.with(layer.json().flatten_event(true)).try_init(),
        Profile::Development => {
            let layer = layer.compact().fmt_fields(PlainFields);
            let layer = layer.with_ansi(shows_colours());
            registry.with(layer).try_init()
        }
    };
    if begun.is_ok() {
        let _first = DROPPED_LINES.set(dropped);
    }
    Ok(Logs { _writer: guard })
}

/// On a terminal, unless its user wants none (<https://no-color.org>).
fn shows_colours() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty())
}

/// The process-wide Prometheus recorder.
#[derive(Clone)]
pub struct Metrics(PrometheusHandle);

impl Metrics {
    /// Installs the recorder, once in a process.
    #[must_use]
    pub fn install() -> Self {
        static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
        let handle = HANDLE.get_or_init(|| {
            let builder = PrometheusBuilder::new()
                .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), LATENCY_BUCKETS);
            let recorder = builder
                .unwrap_or_else(|_empty| PrometheusBuilder::new())
                .build_recorder();
            let handle = recorder.handle();
            // Another recorder in place can only be one that a test installed.
            let _ = metrics::set_global_recorder(recorder);
            handle
        });
        Self(handle.clone())
    }

    /// The text exposition (Prometheus text format 0.0.4).
    #[must_use]
    pub fn render(&self) -> String {
        if let Some(dropped) = DROPPED_LINES.get() {
            let lines = dropped.dropped_lines() as u64;
            metrics::counter!("log_lines_dropped_total").absolute(lines);
        }
        self.0.run_upkeep();
        self.0.render()
    }

    /// Keeps the recorder's buffers short until the task is dropped.
    pub async fn run_upkeep(self) {
        let mut ticks = tokio::time::interval(Duration::from_secs(5));
        loop {
            ticks.tick().await;
            self.0.run_upkeep();
        }
    }
}

/// Upper bounds of latency buckets, in seconds.
const LATENCY_BUCKETS: &[f64] = &[
    0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];
