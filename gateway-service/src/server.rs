//! The HTTP server. The services' common one has the right defaults for a service; a proxy needs
//! others, and every byte of a path.

mod crowd;
mod goaway;
mod ports;
mod preface;
mod resting;

use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix_http::error::DispatchError;
use actix_http::{HttpService, Protocol};
use actix_server::GracefulShutdownSignal;
use actix_service::{
    IntoServiceFactory as _, ServiceFactory, ServiceFactoryExt as _, fn_service, map_config,
};
use actix_tls::accept::TlsError;
use actix_tls::accept::rustls_0_23::{Acceptor, TlsStream};
use actix_web::dev::{AppConfig, Server, ServerHandle};
use actix_web::{App, web};
use common::server::set_up_client;
use common::settings::ServerSettings;
use common::shutdown::Shutdown;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::sleep;

use crate::dispatch::{Gateway, Worker, handle};
use crate::edge::host::OpenedFor;
use crate::edge::peers::Scheme;
use crate::edge::turns::Turns;
use crate::proxy::Upstreams;
use crate::settings::{LimitSettings, UpstreamSettings, millis};
use crate::tls::{self, Certificates};
use crowd::Crowd;
use ports::Ports;
use resting::{Accepted, Lent, NEWCOMER, Named, Patience, resting};

/// Connections that wait to be accepted.
const BACKLOG: u32 = 2048;

/// Longest time that the rest of an unwanted request is read and thrown away, so that the client
/// gets to see the answer (RFC 9112, section 9.6).
const LINGER_TIMEOUT: Duration = Duration::from_secs(2);

/// A server that runs.
pub(crate) struct RunningServer {
    address: SocketAddr,
    secure_address: Option<SocketAddr>,
    handle: ServerHandle,
    task: tokio::task::JoinHandle<io::Result<()>>,
    stopping: Arc<AtomicBool>,
    pause: Duration,
    ports: Ports,
}

/// How to serve.
pub(crate) struct ServerParts {
    pub(crate) server: ServerSettings,
    pub(crate) limits: LimitSettings,
    pub(crate) upstream: UpstreamSettings,
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) stopping: Arc<AtomicBool>,
    pub(crate) secure: Option<tls::Listener>,
    /// Whether HTTP/2 is spoken without TLS too.
    pub(crate) h2c: bool,
    /// Whether other processes may listen on the same ports.
    pub(crate) reuse_port: bool,
    /// How long everybody is still served after the signal to stop.
    pub(crate) pause: Duration,
}

/// Starts serving.
///
/// # Errors
/// When the address cannot be listened on.
pub(crate) fn start(parts: ServerParts) -> io::Result<RunningServer> {
    let ServerParts {
        server: settings,
        limits,
        upstream,
        gateway,
        stopping,
        secure,
        h2c,
        reuse_port,
        pause,
    } = parts;
    let listening = Listening {
        upstream,
        limits,
        gateway,
        h2c,
    };
    let mut builder = Server::build()
        .workers(settings.workers)
        .max_concurrent_connections(listening.limits.max_connections)
        .shutdown_timeout(settings.shutdown_grace_ms.div_ceil(1_000))
        .disable_signals();
    let signal = builder.graceful_shutdown_signal();
    let mut address = None;
    let listeners = listen((&settings.host, settings.port), reuse_port)?;
    let mut ports = Ports::of(&listeners)?;
    for listener in listeners {
        address = address.or(listener.local_addr().ok());
        let (listening, signal) = (listening.clone(), signal.clone());
        builder = builder.listen("http", listener, move || plain(&listening, &signal))?;
    }
    let address = address.ok_or_else(|| io::Error::other("the server has no address"))?;
    let mut secure_address = None;
    if let Some(secure) = secure {
        let listeners = listen((&settings.host, secure.port), reuse_port)?;
        ports.extend(Ports::of(&listeners)?);
        for listener in listeners {
            secure_address = secure_address.or(listener.local_addr().ok());
            let (listening, signal, secure) = (listening.clone(), signal.clone(), secure.clone());
            builder = builder.listen("https", listener, move || {
                encrypted(&listening, &signal, secure.clone())
            })?;
        }
    }
    let server = builder.run();
    Ok(RunningServer {
        address,
        secure_address,
        handle: server.handle(),
        task: tokio::spawn(server),
        stopping,
        pause,
        ports,
    })
}

/// What every listener of every worker needs.
#[derive(Clone)]
struct Listening {
    upstream: UpstreamSettings,
    limits: LimitSettings,
    gateway: Arc<Gateway>,
    h2c: bool,
}

/// Listeners at every address of a host.
fn listen((host, port): (&str, u16), reuse_port: bool) -> io::Result<Vec<std::net::TcpListener>> {
    let told = |error: io::Error| io::Error::new(error.kind(), format!("{host}:{port}: {error}"));
    let name = host.trim_start_matches('[').trim_end_matches(']');
    let addresses = (name, port).to_socket_addrs().map_err(told)?;
    let sockets = addresses.map(|address| {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4(),
            SocketAddr::V6(_) => TcpSocket::new_v6(),
        }?;
        socket.set_reuseaddr(true)?;
        if reuse_port {
            share_port(&socket)?;
        }
        socket.bind(address)?;
        socket.listen(BACKLOG)?.into_std()
    });
    let (good, bad): (Vec<_>, Vec<_>) = sockets.partition(Result::is_ok);
    match bad.into_iter().find_map(Result::err) {
        Some(error) if good.is_empty() => Err(told(error)),
        _ => Ok(good.into_iter().flatten().collect()),
    }
}

/// Lets other processes of the same user listen on the same port, if they want that too.
#[cfg(unix)]
fn share_port(socket: &TcpSocket) -> io::Result<()> {
    socket.set_reuseport(true)
}

#[cfg(not(unix))]
fn share_port(_socket: &TcpSocket) -> io::Result<()> {
    let message = "listen.reuse_port is not known on this system";
    Err(io::Error::new(io::ErrorKind::Unsupported, message))
}

/// What serves connections without TLS: HTTP/1, one request at a time, and HTTP/2 if that is enabled.
fn plain(
    listening: &Listening,
    signal: &GracefulShutdownSignal,
) -> impl ServiceFactory<TcpStream, Config = (), Response = (), Error = DispatchError, InitError = ()>
+ use<> {
    let wait = listening
        .h2c
        .then(|| millis(listening.limits.head_timeout_ms));
    let stopping = signal.clone();
    let accept = fn_service(move |stream: TcpStream| {
        let stopping = stopping.clone();
        async move {
            let peer = set_up_client(&stream);
            let begins_with_preface = match wait {
                None => false,
                Some(wait) => {
                    let found = async {
                        tokio::select! {
                            found = preface::follows(&stream, wait) => found,
                            // Whoever speaks HTTP/1 goes on to look for the stop.
                            () = stopping.notified() => Ok(false),
                        }
                    };
                    // In a box: the many that rest should not carry the room for it.
                    Box::pin(found).await?
                }
            };
            Ok(match begins_with_preface {
                true => (stream, Protocol::Http2, peer),
                false => (stream, Protocol::Http1, peer),
            })
        }
    });
    accept.and_then(http(listening, signal, None))
}

/// What serves connections with TLS: HTTP/2, or HTTP/1 as above.
fn encrypted(
    listening: &Listening,
    signal: &GracefulShutdownSignal,
    secure: tls::Listener,
) -> impl ServiceFactory<
    TcpStream,
    Config = (),
    Response = (),
    Error = TlsError<io::Error, DispatchError>,
    InitError = (),
> + use<> {
    let mut config = secure.config;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let accept = Acceptor::new(config)
        .map_init_err(|_never| ())
        .map_err(TlsError::into_service_error);
    let choose = |stream: TlsStream<TcpStream>| async move {
        let (socket, session) = stream.get_ref();
        let peer = set_up_client(socket);
        Ok(match session.alpn_protocol() {
            Some(b"h2") => (stream, Protocol::Http2, peer),
            _ => (stream, Protocol::Http1, peer),
        })
    };
    let http = http(listening, signal, Some(secure.certificates)).map_err(TlsError::Service);
    accept.and_then(fn_service(choose)).and_then(http)
}

/// What serves connections that speak HTTP, over TLS if there are `certificates`.
fn http<T: AsyncRead + AsyncWrite + Named + Unpin + 'static>(
    listening: &Listening,
    signal: &GracefulShutdownSignal,
    certificates: Option<Arc<Certificates>>,
) -> impl ServiceFactory<Accepted<T>, Config = (), Response = (), Error = DispatchError, InitError = ()>
+ use<T> {
    let (limits, signal) = (&listening.limits, signal.clone());
    let worker = Rc::new(Worker {
        gateway: Arc::clone(&listening.gateway),
        upstreams: Upstreams::start(&listening.upstream),
    });
    let scheme = match certificates {
        None => Scheme::Http,
        Some(_) => Scheme::Https,
    };
    let app = App::new().app_data(worker).app_data(scheme);
    let app = app.default_service(web::to(handle));
    let app = map_config(app.into_factory(), |()| AppConfig::default());
    let stopping = move || {
        let signal = signal.clone();
        async move { signal.notified().await }
    };
    let patience = Patience {
        first: millis(limits.head_timeout_ms),
        next: Duration::from_secs(limits.keep_alive_seconds),
        taking: millis(limits.take_timeout_ms),
        max_streams: limits.max_streams_per_connection,
    };
    let told = stopping.clone();
    let later = move || {
        let stopped = told();
        async move {
            stopped.await;
            Box::pin(sleep(NEWCOMER)).await;
        }
    };
    let http = HttpService::build()
        // It throws away what it has not begun to read by then. The connections of others end before:
        // answers say so, and who rests is not here.
        .graceful_shutdown_signal(later)
        .keep_alive(Duration::from_secs(limits.keep_alive_seconds))
        .client_request_timeout(millis(limits.head_timeout_ms))
        .client_disconnect_timeout(LINGER_TIMEOUT)
        // A client that closes its half has gone: its request must not go on behind its back.
        .h1_allow_half_closed(false)
        .on_connect_ext(move |stream: &Turns<Lent<T>>, connection| {
            stream.begin(connection);
            if let Some(streams) = stream.get_ref().streams() {
                connection.insert(Rc::clone(streams));
            }
            let name = stream.get_ref().server_name();
            if let (Some(name), Some(certificates)) = (name, &certificates) {
                let certificates = Arc::clone(certificates);
                connection.insert(OpenedFor { name, certificates });
            }
        })
        .finish(app.map_err(|error| error.error_response()));
    let most = limits.max_connections_per_client;
    let crowd = Crowd::new(most, listening.gateway.peers.clone());
    resting(http, patience, crowd, stopping)
}

impl RunningServer {
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) const fn secure_address(&self) -> Option<SocketAddr> {
        self.secure_address
    }

    /// Serves until the pause after `asked` is over, then gives the signal `begun`, accepts nothing more and
    /// lets requests under way finish. In the pause nobody is refused: who looks at `/ready` sends nothing
    /// more, and answers end their connections.
    pub(crate) async fn run_until(mut self, asked: &Shutdown, begun: &Shutdown) -> io::Result<()> {
        let (stopping, pause) = (Arc::clone(&self.stopping), self.pause);
        let over = async {
            asked.triggered().await;
            stopping.store(true, Ordering::Relaxed);
            if !pause.is_zero() {
                tracing::info!(stop.pause_ms = pause.as_millis(), "stopping after a pause");
                sleep(pause).await;
            }
        };
        tokio::select! {
            ended = &mut self.task => ended.map_err(io::Error::other)?,
            () = over => {
                begun.trigger();
                self.ports.close(&self.handle).await;
                self.handle.stop(true).await;
                self.task.await.map_err(io::Error::other)?
            }
        }
    }
}
