//! Accepts connections for the inner broker and runs them, a bounded number at a time.
//!
//! The broker's own listener bounds only the clients it has let in, and when the process is out of
//! open files it tries again at once, for ever, with a line in the log each time. So connections
//! are counted here from their first byte, and one that cannot be accepted is waited for. The registry
//! knows each of them, and can end it.

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
use tokio::time::sleep;

use crate::app::connections::{Connection, ConnectionId, ConnectionRegistry};

/// Wait before the next try when a connection cannot be accepted.
const ACCEPT_AFTER: Duration = Duration::from_millis(500);
/// How long a connection may take to end once it is told to.
const END_TIMEOUT: Duration = Duration::from_secs(2);

/// Makes what says who may do what on a connection.
type MakeGuard = Box<dyn Fn(ConnectionId) -> Arc<dyn AuthProvider> + Send + Sync>;

/// What all connections have in common.
pub(super) struct Connections {
    config: Arc<BrokerConfig>,
    router: Arc<MessageRouter>,
    make_guard: MakeGuard,
    stats: Arc<BrokerStats>,
    monitor: Arc<ResourceMonitor>,
    registry: ConnectionRegistry,
}

impl Connections {
    pub(super) fn new(
        config: BrokerConfig,
        registry: ConnectionRegistry,
        make_guard: impl Fn(ConnectionId) -> Arc<dyn AuthProvider> + Send + Sync + 'static,
    ) -> Self {
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
            make_guard: Box::new(make_guard),
            stats: Arc::new(BrokerStats::new()),
            monitor: Arc::new(ResourceMonitor::new(limits)),
            registry,
        }
    }

    fn handler(
        &self,
        connection: &Connection,
        stream: TcpStream,
        address: SocketAddr,
    ) -> ClientHandler {
        // Acknowledgments are small and waited for.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection was gone at once");
        }
        ClientHandler::new(
            BrokerTransport::tcp(stream),
            address,
            Arc::clone(&self.config),
            Arc::clone(&self.router),
            (self.make_guard)(connection.id()),
            None,
            Arc::clone(&self.stats),
            Arc::clone(&self.monitor),
            connection.end_signal(),
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
        let connection = connections.registry.enter();
        let handler = connections.handler(&connection, stream, address);
        gauge.increment(1);
        let told_to_end = connection.end_signal();
        running.spawn(async move {
            run(handler, told_to_end).await;
            drop((connection, permit));
        });
    }
    drop(listener);
    connections.registry.end_all();
    while running.join_next().await.is_some() {}
    gauge.set(0);
}

/// Runs a connection until it ends, or did not end in time when it was told to: it may be waiting for
/// the database, or for a client that reads nothing.
async fn run(handler: ClientHandler, mut told_to_end: broadcast::Receiver<()>) {
    let overdue = async {
        // The channel closes no sooner than the connection, so this is no other news.
        let _ = told_to_end.recv().await;
        sleep(END_TIMEOUT).await;
    };
    tokio::select! {
        ended = handler.run() => {
            if let Err(error) = ended {
                tracing::debug!(%error, "a connection ended");
            }
        }
        () = overdue => tracing::debug!("a connection did not end in time and was cut"),
    }
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
    use common::clock::Clock;
    use common::ids::DeviceId;
    use mqtt5::broker::auth::{AllowAllAuthProvider, AuthResult};
    use mqtt5_protocol::packet::connect::ConnectPacket;
    use std::future::{self, Future};
    use std::pin::Pin;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    /// MQTT 3.1.1, clean session, no client id.
    const CONNECT: &[u8] = b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00";
    const ACCEPTED: [u8; 4] = *b"\x20\x02\x00\x00";

    #[tokio::test]
    async fn connections_beyond_the_limit_wait_for_their_turn() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let registry = ConnectionRegistry::default();
        let connections = Connections::new(BrokerConfig::new(), registry, |_connection| {
            Arc::new(AllowAllAuthProvider)
        });
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

    type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

    /// Lets anybody in as one device, and never comes to a word on what it publishes.
    struct Hesitant {
        registry: ConnectionRegistry,
        connection: ConnectionId,
        device: DeviceId,
        asked: Arc<Semaphore>,
    }

    impl AuthProvider for Hesitant {
        fn authenticate<'a>(
            &'a self,
            _connect: &'a ConnectPacket,
            _address: SocketAddr,
        ) -> Answer<'a, mqtt5::Result<AuthResult>> {
            self.registry.claim(self.connection, self.device);
            Box::pin(future::ready(Ok(AuthResult::success())))
        }

        fn authorize_publish<'a>(
            &'a self,
            _client_id: &str,
            _user_id: Option<&'a str>,
            _topic: &'a str,
        ) -> Answer<'a, bool> {
            self.asked.add_permits(1);
            Box::pin(future::pending())
        }

        fn authorize_subscribe<'a>(
            &'a self,
            _client_id: &str,
            _user_id: Option<&'a str>,
            _filter: &'a str,
        ) -> Answer<'a, bool> {
            Box::pin(future::ready(false))
        }
    }

    #[tokio::test]
    async fn a_connection_that_cannot_end_in_time_is_cut() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let registry = ConnectionRegistry::default();
        let device = DeviceId::new(&Clock::system());
        let asked = Arc::new(Semaphore::new(0));
        let (known, hears) = (registry.clone(), Arc::clone(&asked));
        let connections = Connections::new(BrokerConfig::new(), registry.clone(), move |id| {
            Arc::new(Hesitant {
                registry: known.clone(),
                connection: id,
                device,
                asked: Arc::clone(&hears),
            })
        });
        let shutdown = Shutdown::new();
        let stop = shutdown.clone();
        let serving = tokio::spawn(async move { serve(listener, connections, 2, &stop).await });
        let mut socket = TcpStream::connect(address).await.unwrap();
        socket.write_all(CONNECT).await.unwrap();
        let mut answer = [0; 4];
        socket.read_exact(&mut answer).await.unwrap();
        // QoS 1, topic `a`, packet 1.
        socket
            .write_all(b"\x32\x06\x00\x01a\x00\x01x")
            .await
            .unwrap();
        let _ = asked.acquire().await.unwrap();

        // From here on only the wait for the connection's end takes time.
        tokio::time::pause();
        registry.end_of(device);
        let mut rest = Vec::new();
        // A reset is an end as well; an acknowledgment would not be.
        let _ = socket.read_to_end(&mut rest).await;
        assert!(rest.is_empty(), "{rest:?}");
        shutdown.trigger();
        serving.await.unwrap();
    }
}
