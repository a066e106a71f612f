//! The end of listening. A system resets the connections that nobody has accepted when a port is closed,
//! and the server below those that none of its workers has begun with when it stops. So both are left none,
//! as far as that can be done from here.

use std::net::{Shutdown, TcpListener};
use std::time::Duration;

use actix_web::dev::ServerHandle;
use socket2::SockRef;
use tokio::time::sleep;

/// How often it is looked whether all connections have been accepted.
const LOOK_INTERVAL: Duration = Duration::from_millis(1);

/// Looks before a port is closed all the same: a server that has all the connections it may have accepts no
/// more.
const MAX_LOOKS: u32 = 200;

/// How long workers are given to begin with what was accepted.
const BEGINNING: Duration = Duration::from_millis(50);

/// Listeners that the server has too.
pub(super) struct Ports(Vec<TcpListener>);

impl Ports {
    /// # Errors
    /// When the process has too many files open.
    pub(super) fn of(listeners: &[TcpListener]) -> std::io::Result<Self> {
        let ports = listeners.iter().map(TcpListener::try_clone);
        ports.collect::<Result<_, _>>().map(Self)
    }

    pub(super) fn extend(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    /// Closes the ports when everything that came was accepted. Nobody can connect to them afterwards.
    pub(super) async fn close(self, server: &ServerHandle) {
        for look in 0..MAX_LOOKS {
            if look > 0 {
                // At its return to work it accepts everything that waits.
                server.resume().await;
            }
            // So it does not mind that a port is closed.
            server.pause().await;
            sleep(LOOK_INTERVAL).await;
            if !self.0.iter().any(somebody_waits) {
                break;
            }
        }
        for port in &self.0 {
            // Systems on which this is an error close it at the stop.
            let _best_effort = SockRef::from(port).shutdown(Shutdown::Read);
        }
        sleep(BEGINNING).await;
    }
}

#[cfg(unix)]
fn somebody_waits(port: &TcpListener) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    let mut waiting = [PollFd::new(port, PollFlags::IN)];
    poll(&mut waiting, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
}

#[cfg(not(unix))]
fn somebody_waits(_port: &TcpListener) -> bool {
    false
}
