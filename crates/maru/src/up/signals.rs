//! The signals that ask the launcher to stop. A closed terminal (SIGHUP) keeps its default, so that
//! `nohup` works; the services notice the end of the launcher by themselves.

use std::io;
use std::time::Duration;

#[cfg(unix)]
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;

/// SIGINT and SIGTERM, or Ctrl-C and closing where there are no signals.
#[derive(Debug)]
pub struct Signals {
    #[cfg(unix)]
    interrupt: Signal,
    #[cfg(unix)]
    terminate: Signal,
    #[cfg(windows)]
    interrupt: tokio::signal::windows::CtrlC,
    #[cfg(windows)]
    terminate: tokio::signal::windows::CtrlClose,
}

impl Signals {
    /// Listens from now on.
    ///
    /// # Errors
    /// When the system does not allow it.
    #[cfg(unix)]
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Listens from now on.
    ///
    /// # Errors
    /// When the system does not allow it.
    #[cfg(windows)]
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            interrupt: tokio::signal::windows::ctrl_c()?,
            terminate: tokio::signal::windows::ctrl_close()?,
        })
    }

    /// Comes back with the next signal.
    pub async fn next(&mut self) {
        tokio::select! {
            _signal = self.interrupt.recv() => {}
            _signal = self.terminate.recv() => {}
        }
    }

    /// Comes back with the first signal that arrives after `window`.
    pub async fn next_after(&mut self, window: Duration) {
        let opens = Instant::now() + window;
        loop {
            self.next().await;
            if Instant::now() >= opens {
                return;
            }
        }
    }
}
