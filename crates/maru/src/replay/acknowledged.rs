//! The list of what the server acknowledged, for `maru verify --acknowledged`: a line each, an
//! order's id and its status. An order that was pending first and confirmed later has two lines.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::Mutex;

use anyhow::Context as _;
use common::ids::OrderId;

/// Writes the list, or nothing when nobody asked for it.
#[derive(Debug, Default)]
pub(super) struct Acknowledged(Option<Mutex<File>>);

impl Acknowledged {
    /// Begins the list in `file`.
    ///
    /// # Errors
    /// When the file cannot be created.
    pub(super) fn begin(file: Option<&Path>) -> anyhow::Result<Self> {
        let Some(path) = file else {
            return Ok(Self(None));
        };
        let file =
            File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self(Some(Mutex::new(file))))
    }

    /// Adds what an answer said. Written at once, so that the list outlives this program.
    pub(super) fn record(&self, order: OrderId, status: &str) {
        let Some(file) = &self.0 else { return };
        let written = writeln!(file.lock().expect("no writing panics"), "{order} {status}");
        if let Err(error) = written {
            tracing::warn!(%error, "an acknowledgment could not be listed");
        }
    }
}
