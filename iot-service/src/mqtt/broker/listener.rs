//! Accepts connections for the inner broker and runs them, a bounded number at a time.
//!
//! The broker's own listener bounds only the clients it has let in, and when the process is out of
//! open files it tries again at once, for ever, with a line in the log each time. So connections
//! are counted here from their first byte, and one that cannot be accepted is waited for.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use common::shutdown::Shutdown;
use mqtt5::broker::auth::AuthProvider;
use mqtt5::broker::client_handler::ClientHandler;
use mqtt5::broker::config::BrokerConfig;
use mqtt5::broker::resource_monitor::{ResourceLimits, ResourceMonitor};
use mqtt5::broker::router::MessageRouter;
use mqtt5::broker::sys_topics::BrokerStats;
use mqtt5::broker::transport::BrokerTransport;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// Wait before the next try when a connection cannot be accepted.
const ACCEPT_AFTER: Duration = Duration::from_millis(500);
/// How long connections may take to end when the broker stops.
const STOP_TIMEOUT: Duration = Duration::from_secs(3);

/// What all connections have in common.
pub(super) struct Connections {
    config: Arc<BrokerConfig>,
    router: Arc<MessageRouter>,
    auth: Arc<dyn AuthProvider>,
    stats: Arc<BrokerStats>,
    monitor: Arc<ResourceMonitor>,
    stop: broadcast::Sender<()>,
}

impl Connections {
    pub(super) fn new(config: BrokerConfig, auth: Arc<dyn AuthProvider>) -> Self {
        let limits = ResourceLimits {
            // A reading over a limit would be acknowledged and dropped; so there is none.
            max_message_rate_per_client: 0,
            max_bandwidth_per_client: 0,
            ..ResourceLimits::default()
        };
        Self {
            config: Arc::new(config),
            // Without a store of its own: no session outlives its connection, nothing is retained.
            router: Arc::new(MessageRouter::new()),
            auth,
            stats: Arc::new(BrokerStats::new()),
            monitor: Arc::new(ResourceMonitor::new(limits)),
            stop: broadcast::channel(1).0,
        }
    }

    fn handler(&self, stream: TcpStream, address: SocketAddr) -> ClientHandler {
        // Acknowledgments are small and waited for.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection was gone at once");
        }
        ClientHandler::new(
            BrokerTransport::tcp(stream),
            address,
            Arc::clone(&self.config),
            Arc::clone(&self.router),
            Arc::clone(&self.auth),
            None,
            Arc::clone(&self.stats),
            Arc::clone(&self.monitor),
            self.stop.subscribe(),
        )
    }
}

/// Serves at most `most` connections at a time until `shutdown`; further ones wait to be accepted.
pub(super) async fn serve(
    listener: TcpListener,
    connections: Connections,
    most: usize,
    shutdown: &Shutdown,
) {
    let permits = Arc::new(Semaphore::new(most));
    let gauge = metrics::gauge!("iot_mqtt_connections");
    let mut running = JoinSet::new();
    loop {
        let (stream, address, permit) = tokio::select! {
            () = shutdown.triggered() => break,
            Some(_ended) = running.join_next() => {
                gauge.decrement(1);
                continue;
            }
            accepted = accept(&listener, &permits) => accepted,
        };
        let handler = connections.handler(stream, address);
        gauge.increment(1);
        running.spawn(async move {
            if let Err(error) = handler.run().await {
                tracing::debug!(%error, "a connection ended");
            }
            drop(permit);
        });
    }
    drop(listener);
    // Nobody to hear it is as good.
    let _ = connections.stop.send(());
    let ended = async { while running.join_next().await.is_some() {} };
    if timeout(STOP_TIMEOUT, ended).await.is_err() {
        tracing::warn!("connections of devices did not end in time and were cut");
    }
    running.shutdown().await;
    gauge.set(0);
}

/// The next connection, once there is room for it.
async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
) -> (TcpStream, SocketAddr, OwnedSemaphorePermit) {
    let permit = Arc::clone(permits)
        .acquire_owned()
        .await
        .expect("the semaphore is never closed");
    loop {
        match listener.accept().await {
            Ok((stream, address)) => return (stream, address, permit),
            Err(error) => {
                tracing::warn!(%error, "a device's connection could not be accepted");
                sleep(ACCEPT_AFTER).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mqtt5::broker::auth::AllowAllAuthProvider;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    /// MQTT 3.1.1, clean session, no client id.
    const CONNECT: &[u8] = b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00";
    const ACCEPTED: [u8; 4] = *b"\x20\x02\x00\x00";

    #[tokio::test]
    async fn connections_beyond_the_limit_wait_for_their_turn() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Connections::new(BrokerConfig::new(), Arc::new(AllowAllAuthProvider));
        let shutdown = Shutdown::new();
        let stop = shutdown.clone();
        let serving = tokio::spawn(async move { serve(listener, connections, 2, &stop).await });
        let mut waiting = Vec::new();
        for _ in 0..5 {
            let mut socket = TcpStream::connect(address).await.unwrap();
            socket.write_all(CONNECT).await.unwrap();
            waiting.push(socket);
        }
        // Each of the later ones is let in when an earlier one leaves.
        for mut socket in waiting {
            let mut answer = [0; 4];
            socket.read_exact(&mut answer).await.unwrap();
            assert_eq!(answer, ACCEPTED);
        }
        shutdown.trigger();
        serving.await.unwrap();
    }
}
