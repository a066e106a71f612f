//! One HTTP/1.1 connection to a service.

use std::io;
use std::time::Duration;

use actix_web::rt;
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use socket2::SockRef;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::upload::RequestBody;
use crate::directory::Instance;

/// Most bytes of an answer's head, and of its body that wait to be passed on.
const MAX_BUFFERED_BYTES: usize = 64 * 1024;

/// Bytes of an answer that may wait in the system until they are read, about: of what a client is slow
/// to take, the rest should wait with the service. Left to itself, the system gives room for megabytes
/// once the beginning of an answer has gone fast.
const MAX_UNREAD_BYTES: usize = 128 * 1024;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error("no connection within {0:?}")]
    TimedOut(Duration),
    #[error("no connection")]
    Refused(#[source] io::Error),
    #[error("no HTTP on the connection")]
    Handshake(#[source] hyper::Error),
}

/// A connection. Dropping it closes it, whatever is under way on it.
pub(crate) struct Connection {
    sender: SendRequest<RequestBody>,
    driver: Driver,
    opened: Instant,
}

struct Driver(JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Connection {
    pub(crate) async fn open(instance: &Instance, wait: Duration) -> Result<Self, ConnectError> {
        let connecting = timeout(wait, instance.address().connect()).await;
        let stream = connecting
            .map_err(|_elapsed| ConnectError::TimedOut(wait))?
            .map_err(ConnectError::Refused)?;
        stream.set_nodelay(true).map_err(ConnectError::Refused)?;
        let bounded = SockRef::from(&stream).set_recv_buffer_size(MAX_UNREAD_BYTES);
        bounded.map_err(ConnectError::Refused)?;
        let mut builder = Builder::new();
        builder.max_buf_size(MAX_BUFFERED_BYTES);
        let shaken = builder.handshake(TokioIo::new(stream)).await;
        let (sender, connection) = shaken.map_err(ConnectError::Handshake)?;
        let driver = rt::spawn(async move {
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(error = %error, "a connection to a service ended");
            }
        });
        metrics::counter!("gateway_upstream_connections_total", "instance" => instance.label())
            .increment(1);
        Ok(Self {
            sender,
            driver: Driver(driver),
            opened: Instant::now(),
        })
    }

    /// Sends a request and waits for the head of the answer. A request that never left comes back
    /// inside the error.
    pub(crate) async fn send(
        &mut self,
        request: http::Request<RequestBody>,
    ) -> Result<http::Response<Incoming>, Box<TrySendError<http::Request<RequestBody>>>> {
        self.sender
            .try_send_request(request)
            .await
            .map_err(Box::new)
    }

    /// Whether it can take a request now.
    pub(crate) fn is_ready(&self) -> bool {
        self.sender.is_ready() && !self.driver.0.is_finished()
    }

    /// Waits until it can take a request; `false` when it never will.
    pub(crate) async fn becomes_ready(&mut self) -> bool {
        self.sender.ready().await.is_ok()
    }

    pub(crate) fn age(&self) -> Duration {
        self.opened.elapsed()
    }
}
