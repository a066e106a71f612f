//! When to stop: SIGINT, SIGTERM, or the launcher's end.

use tokio_util::sync::CancellationToken;

/// Set by the launcher: stop when standard input ends, which it does when the launcher dies.
pub const PARENT_PIPE_VARIABLE: &str = "MARU_PARENT_PIPE";

/// Tells every part of a service to stop. Clones are the same signal.
#[derive(Clone, Debug, Default)]
pub struct Shutdown(CancellationToken);

impl Shutdown {
    /// A signal that nobody has given yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A signal that SIGINT, SIGTERM or the end of the launcher gives.
    #[must_use]
    pub fn on_signals() -> Self {
        let shutdown = Self::new();
        let trigger = shutdown.clone();
        tokio::spawn(async move {
            wait_for_signal().await;
            trigger.trigger();
        });
        if std::env::var_os(PARENT_PIPE_VARIABLE).is_some() {
            stop_with_parent(shutdown.clone());
        }
        shutdown
    }

    /// Gives the signal.
    pub fn trigger(&self) {
        self.0.cancel();
    }

    /// Whether it was given.
    #[must_use]
    pub fn is_triggered(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Waits until it is given.
    pub async fn triggered(&self) {
        self.0.cancelled().await;
    }
}

fn stop_with_parent(shutdown: Shutdown) {
    // A blocking read needs a thread of its own; it ends with the process.
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        shutdown.trigger();
    });
}

#[cfg(unix)]
async fn wait_for_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupt), Ok(mut terminate)) = (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
    ) else {
        tracing::error!("signals cannot be watched; stop the process with SIGKILL");
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

#[cfg(not(unix))]
async fn wait_for_signal() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending().await
    }
}
