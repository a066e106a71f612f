//! Everything that a test's process logs, down to the finest level, spans and their fields included.

use std::io::Write;
use std::sync::{LazyLock, Mutex, Once, PoisonError};

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt;
use tracing_subscriber::fmt::format::FmtSpan;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

static LOG: LazyLock<Mutex<Vec<u8>>> = LazyLock::new(Mutex::default);

/// Keeps everything that is logged from now on, but for what the test's own HTTP client says about
/// itself. Repeating it changes nothing.
///
/// # Panics
/// When the process logs somewhere else already.
pub fn capture() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let client = ["hyper_util", "hyper", "reqwest"].map(|target| (target, LevelFilter::OFF));
        let everything_else = Targets::new()
            .with_targets(client)
            .with_default(LevelFilter::TRACE);
        let lines = fmt::layer()
            .with_ansi(false)
            .with_span_events(FmtSpan::NEW | FmtSpan::CLOSE)
            .with_writer(|| LogWriter);
        tracing_subscriber::registry()
            .with(everything_else)
            .with(lines)
            .init();
    });
}

/// Everything logged by this process so far.
#[must_use]
pub fn so_far() -> String {
    let log = LOG.lock().unwrap_or_else(PoisonError::into_inner);
    String::from_utf8_lossy(&log).into_owned()
}

struct LogWriter;

impl Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let mut log = LOG.lock().unwrap_or_else(PoisonError::into_inner);
        log.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
