//! The HTTP server. The services' common one has the right defaults for a service; a proxy needs
//! others, and every byte of a path.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::{App, HttpServer, web};
use common::settings::ServerSettings;
use common::shutdown::Shutdown;
use rustls::ServerConfig;

use crate::dispatch::{Gateway, Worker, handle};
use crate::edge::connection;
use crate::proxy::Upstreams;
use crate::settings::{LimitSettings, UpstreamSettings, millis};

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
}

/// How to serve.
pub(crate) struct ServerParts {
    pub(crate) server: ServerSettings,
    pub(crate) limits: LimitSettings,
    pub(crate) upstream: UpstreamSettings,
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) stopping: Arc<AtomicBool>,
    /// The port of HTTPS, and what it is set up with.
    pub(crate) secure: Option<(u16, ServerConfig)>,
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
    } = parts;
    let server = HttpServer::new(move || {
        let worker = Rc::new(Worker {
            gateway: Arc::clone(&gateway),
            upstreams: Upstreams::start(&upstream),
        });
        App::new().app_data(worker).default_service(web::to(handle))
    })
    .on_connect(connection::begin)
    .workers(settings.workers)
    .max_connections(limits.max_connections)
    .backlog(BACKLOG)
    .keep_alive(Duration::from_secs(limits.keep_alive_seconds))
    .client_request_timeout(millis(limits.head_timeout_ms))
    .client_disconnect_timeout(LINGER_TIMEOUT)
    // A client that closes its half has gone: its request must not go on behind its back.
    .h1_allow_half_closed(false)
    .tcp_nodelay(true)
    .shutdown_timeout(settings.shutdown_grace_ms.div_ceil(1_000))
    .disable_signals();

    let host = settings.host.trim_start_matches('[').trim_end_matches(']');
    let port = settings.port;
    let server = server.bind((host, port)).map_err(|error| {
        io::Error::new(error.kind(), format!("{}:{port}: {error}", settings.host))
    })?;
    let server = match secure {
        None => server,
        Some((port, config)) => server
            .bind_rustls_0_23((host, port), config)
            .map_err(|error| {
                io::Error::new(error.kind(), format!("{}:{port}: {error}", settings.host))
            })?,
    };
    let addresses = server.addrs_with_scheme();
    let secure = addresses.iter().find(|(_, scheme)| *scheme == "https");
    let secure_address = secure.map(|(address, _)| *address);
    let address = server.addrs().first().copied();
    let address = address.ok_or_else(|| io::Error::other("the server has no address"))?;
    let server = server.run();
    Ok(RunningServer {
        address,
        secure_address,
        handle: server.handle(),
        task: tokio::spawn(server),
        stopping,
    })
}

impl RunningServer {
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) const fn secure_address(&self) -> Option<SocketAddr> {
        self.secure_address
    }

    /// Serves until `shutdown`, then accepts nothing more and lets requests under way finish.
    pub(crate) async fn run_until(mut self, shutdown: &Shutdown) -> io::Result<()> {
        tokio::select! {
            ended = &mut self.task => ended.map_err(io::Error::other)?,
            () = shutdown.triggered() => {
                self.stopping.store(true, Ordering::Relaxed);
                self.handle.stop(true).await;
                self.task.await.map_err(io::Error::other)?
            }
        }
    }
}
