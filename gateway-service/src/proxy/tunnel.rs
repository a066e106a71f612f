//! A connection that has switched protocols (RFC 6455): bytes in both directions, unchanged and as
//! they come.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use actix_web::rt;
use actix_web::web::Payload;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::Notify;
use tokio::time::{Instant, Sleep, sleep_until, timeout};

use crate::directory::InFlight;

/// Bytes read at a time. Nothing is held while nothing comes.
const READ_BYTES: usize = 16 * 1024;

/// Longest time that what a client sent last is still written after it has gone.
const LINGER: Duration = Duration::from_secs(1);

/// Why there is no tunnel although the service switched.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TunnelError {
    #[error("the service broke off while it switched")]
    Broken(#[source] hyper::Error),
    #[error("the connection is none of ours")]
    Foreign,
}

/// Both directions. Dropping it closes the service's side.
pub(crate) struct Tunnel {
    reader: OwnedReadHalf,
    /// Came along with the head of the answer.
    early: Bytes,
    last_activity: Rc<Cell<Instant>>,
    idle_timeout: Duration,
    idle: Pin<Box<Sleep>>,
    gone: Rc<Notify>,
    _in_flight: InFlight,
}

impl Tunnel {
    /// Takes over the connection of an answer with the status 101.
    pub(crate) async fn open(
        answer: http::Response<Incoming>,
        client: Payload,
        idle_timeout: Duration,
        in_flight: InFlight,
    ) -> Result<Self, TunnelError> {
        let upgraded = hyper::upgrade::on(answer).await;
        let upgraded = upgraded.map_err(TunnelError::Broken)?;
        let parts = upgraded.downcast::<TokioIo<TcpStream>>();
        let parts = parts.map_err(|_other| TunnelError::Foreign)?;
        let (reader, writer) = parts.io.into_inner().into_split();
        let now = Instant::now();
        let last_activity = Rc::new(Cell::new(now));
        let gone = Rc::new(Notify::new());
        let pump = pump(client, writer, Rc::clone(&last_activity), Rc::clone(&gone));
        rt::spawn(pump);
        metrics::gauge!("gateway_tunnels").increment(1.0);
        Ok(Self {
            reader,
            early: parts.read_buf,
            last_activity,
            idle_timeout,
            idle: Box::pin(sleep_until(now + idle_timeout)),
            gone,
            _in_flight: in_flight,
        })
    }

    /// The next bytes of the service; `None` when it has ended, or nobody has said anything for too
    /// long.
    pub(crate) fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if !self.early.is_empty() {
            return Poll::Ready(Some(std::mem::take(&mut self.early)));
        }
        loop {
            let ready = self.reader.as_ref().poll_read_ready(cx);
            match ready {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => return Poll::Ready(None),
                Poll::Pending => {
                    ready!(self.poll_idle(cx));
                    return Poll::Ready(None);
                }
            }
            let mut buffer = BytesMut::with_capacity(READ_BYTES);
            match self.reader.try_read_buf(&mut buffer) {
                Ok(0) => return Poll::Ready(None),
                Ok(_) => {
                    self.last_activity.set(Instant::now());
                    return Poll::Ready(Some(buffer.freeze()));
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => return Poll::Ready(None),
            }
        }
    }

    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let deadline = self.last_activity.get() + self.idle_timeout;
            if self.idle.deadline() < deadline {
                self.idle.as_mut().reset(deadline);
            }
            ready!(self.idle.as_mut().poll(cx));
            if self.last_activity.get() + self.idle_timeout <= Instant::now() {
                return Poll::Ready(());
            }
        }
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        metrics::gauge!("gateway_tunnels").decrement(1.0);
        self.gone.notify_one();
    }
}

/// Writes what the client sends to the service, and ends the service's half when the client's ends.
/// What came before the client went away is still written.
async fn pump(
    mut client: Payload,
    mut writer: OwnedWriteHalf,
    last_activity: Rc<Cell<Instant>>,
    gone: Rc<Notify>,
) {
    let writing = async {
        while let Some(Ok(data)) = client.next().await {
            last_activity.set(Instant::now());
            if writer.write_all(&data).await.is_err() {
                return;
            }
        }
        let _closed = writer.shutdown().await;
    };
    tokio::pin!(writing);
    tokio::select! {
        () = &mut writing => {}
        () = gone.notified() => {
            let _late = timeout(LINGER, writing).await;
        }
    }
}
