//! What an import came to.

use std::fmt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use super::upload::Uploaded;

/// The figures of one run.
#[derive(Debug)]
pub(crate) struct Summary {
    pub(crate) uploaded: Uploaded,
    pub(crate) items: usize,
    pub(crate) products: usize,
    pub(crate) stores: usize,
    pub(crate) rejected_rows: u64,
    pub(crate) report: PathBuf,
    pub(crate) took: Duration,
}

impl Summary {
    /// Success, unless orders were found and none is in the system, or `strict` and a row was
    /// rejected.
    pub(crate) fn exit_code(&self, strict: bool) -> ExitCode {
        let Uploaded {
            created,
            known,
            resumed,
            ..
        } = self.uploaded;
        let nothing = created + known + resumed == 0 && self.rejected_rows > 0;
        if nothing || (strict && self.rejected_rows > 0) {
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Uploaded {
            tally,
            created,
            known,
            refused,
            resumed,
        } = self.uploaded;
        let done = created + known + resumed;
        let seconds = self.took.as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
        let rate = done as f64 / seconds.max(0.001);
        writeln!(
            f,
            "{} stores, {} items, {} stock products; {} orders read: {created} new, {known} known, \
             {resumed} acknowledged before, {} left out, {} rejected.",
            self.stores,
            self.items,
            self.products,
            tally.orders,
            tally.skipped,
            tally.rejected + refused,
        )?;
        write!(f, "{rate:.0} orders/s over {seconds:.1} s")?;
        if let Some(peak) = peak_memory_kib() {
            write!(f, ", peak memory {} MB", peak.div_ceil(1024))?;
        }
        match self.rejected_rows {
            0 => write!(f, "; no row rejected."),
            rows => write!(f, "; {rows} rejected rows in {}.", self.report.display()),
        }
    }
}

/// The most resident memory that this process has had, in KiB, where the system tells (Linux,
/// `proc(5)`).
fn peak_memory_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}
