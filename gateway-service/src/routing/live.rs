//! The snapshot in force, replaced as a whole when the file changes. A file with a fault changes
//! nothing.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use common::shutdown::Shutdown;
use contracts::services::ServiceName;
use routing::{DEFAULT_FILE, Faults, Table};

use super::snapshot::{Bindings, Snapshot, Unbound};
use crate::directory::Directory;
use crate::edge::cors::Cors;
use crate::edge::limit::Limiters;

/// How often the file is looked at. A look is one call for its text, which is short.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// A routing file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RoutingError {
    #[error("{file} cannot be read")]
    Unreadable {
        file: String,
        source: std::io::Error,
    },
    #[error("{file}: {faults}")]
    Faults { file: String, faults: Faults },
    #[error("{file}")]
    Unbound { file: String, source: Unbound },
}

/// What the routes are bound to.
pub(crate) struct LiveParts {
    /// The file; empty means the compiled-in one.
    pub(crate) file: PathBuf,
    pub(crate) directory: Directory,
    pub(crate) default_cors: Arc<Cors>,
    pub(crate) limiters: Limiters,
    pub(crate) max_target_bytes: usize,
}

/// The routes in force.
pub(crate) struct Live {
    current: ArcSwap<Snapshot>,
    parts: LiveParts,
    /// The text in force, or the one that was refused last.
    text: Mutex<String>,
}

impl Live {
    /// Reads the routes for the first time.
    pub(crate) fn load(parts: LiveParts) -> Result<Self, RoutingError> {
        let text = read(&parts.file)?;
        let snapshot = parts.bind(&text, None)?;
        Ok(Self {
            current: ArcSwap::from_pointee(snapshot),
            parts,
            text: Mutex::new(text),
        })
    }

    /// The routes in force. A request keeps them to its end.
    pub(crate) fn current(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// Takes over the file if it has changed; says whether it has.
    pub(crate) fn reload(&self) -> Result<bool, RoutingError> {
        let text = read(&self.parts.file)?;
        let mut known = self.text.lock().unwrap_or_else(PoisonError::into_inner);
        if *known == text {
            return Ok(false);
        }
        // Also when it is refused: the same fault is not told twice.
        known.clone_from(&text);
        let snapshot = self.parts.bind(&text, Some(&self.current()))?;
        self.current.store(Arc::new(snapshot));
        Ok(true)
    }

    fn reload_and_tell(&self) {
        let outcome = match self.reload() {
            Ok(false) => return,
            Ok(true) => {
                let routes = self.current().len();
                tracing::info!(routes, "the routing file was taken over");
                "taken_over"
            }
            Err(error) => {
                let cause = common::error::ErrorChain(&error);
                tracing::error!(error = %cause, "the routing file was refused; the routes before it hold");
                "refused"
            }
        };
        metrics::counter!("gateway_routing_reloads_total", "outcome" => outcome).increment(1);
    }
}

impl AsRef<Limiters> for Live {
    fn as_ref(&self) -> &Limiters {
        &self.parts.limiters
    }
}

impl LiveParts {
    fn bind(&self, text: &str, previous: Option<&Snapshot>) -> Result<Snapshot, RoutingError> {
        let file = || name_of(&self.file);
        let known: Vec<&str> = ServiceName::all()
            .filter(|name| *name != ServiceName::Gateway)
            .map(ServiceName::as_str)
            .collect();
        let table = Table::parse(text, &known).map_err(|faults| RoutingError::Faults {
            file: file(),
            faults,
        })?;
        let bindings = Bindings {
            directory: &self.directory,
            default_cors: &self.default_cors,
            limiters: &self.limiters,
            max_target_bytes: self.max_target_bytes,
            previous,
        };
        Snapshot::bind(table, &bindings).map_err(|source| RoutingError::Unbound {
            file: file(),
            source,
        })
    }
}

fn name_of(file: &Path) -> String {
    match file.as_os_str().is_empty() {
        true => "the compiled-in routing file".to_owned(),
        false => file.display().to_string(),
    }
}

fn read(file: &Path) -> Result<String, RoutingError> {
    if file.as_os_str().is_empty() {
        return Ok(DEFAULT_FILE.to_owned());
    }
    std::fs::read_to_string(file).map_err(|source| RoutingError::Unreadable {
        file: name_of(file),
        source,
    })
}

/// Takes over changes of the file until `shutdown`, and at once on SIGHUP, which is received from
/// the moment of the call.
pub(crate) fn watch(live: Arc<Live>, shutdown: Shutdown) -> impl Future<Output = ()> {
    keep_up(live, hang_ups(), shutdown)
}

async fn keep_up(live: Arc<Live>, mut hang_ups: HangUps, shutdown: Shutdown) {
    let has_file = !live.parts.file.as_os_str().is_empty();
    let mut told_unreadable = false;
    loop {
        tokio::select! {
            () = hang_ups.next() => {}
            () = tokio::time::sleep(POLL_INTERVAL), if has_file => {}
            () = shutdown.triggered() => return,
        }
        // An editor may have moved the file away for a moment: told once, not at every look.
        if has_file && !live.parts.file.exists() {
            if !std::mem::replace(&mut told_unreadable, true) {
                tracing::error!("the routing file is gone; the routes before it hold");
            }
            continue;
        }
        told_unreadable = false;
        live.reload_and_tell();
    }
}

/// Signals to read the file again. Without a receiver the first one would end the process.
struct HangUps {
    #[cfg(unix)]
    signals: Option<tokio::signal::unix::Signal>,
}

#[cfg(unix)]
fn hang_ups() -> HangUps {
    use tokio::signal::unix::{SignalKind, signal};
    let signals = signal(SignalKind::hangup());
    if let Err(error) = &signals {
        tracing::warn!(error = %error, "SIGHUP is not watched");
    }
    HangUps {
        signals: signals.ok(),
    }
}

#[cfg(not(unix))]
fn hang_ups() -> HangUps {
    HangUps {}
}

impl HangUps {
    #[cfg(unix)]
    async fn next(&mut self) {
        let received = match &mut self.signals {
            Some(signals) => signals.recv().await,
            None => None,
        };
        if received.is_none() {
            std::future::pending().await
        }
    }

    #[cfg(not(unix))]
    async fn next(&mut self) {
        std::future::pending().await
    }
}
