//! The body of an answer on its way to the client, never held as a whole.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Incoming};
use tokio::time::{Instant, Sleep, sleep_until};

use super::pool::Lease;

/// The body broke off. The client's connection is closed without an end of the body, so that a part is
/// never taken for the whole.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Truncated {
    #[error("the service broke off inside an answer")]
    Broken(#[source] hyper::Error),
    #[error("the service fell silent inside an answer")]
    Stalled,
    #[error("the client took nothing of an answer")]
    NotTaken,
    #[error("the answer could not be compressed")]
    Encoding(#[source] std::io::Error),
}

/// A body that is read from a service's connection.
pub(crate) struct Download {
    incoming: Incoming,
    lease: Option<Lease>,
    length: Option<u64>,
    /// Whether its end is not just that of the connection.
    is_delimited: bool,
    /// Whether the connection may carry another request once this body is read.
    reusable: bool,
    idle_timeout: Duration,
    last_activity: Option<Instant>,
    idle: Option<Pin<Box<Sleep>>>,
}

impl Download {
    pub(crate) fn new(incoming: Incoming, lease: Lease, idle_timeout: Duration) -> Self {
        Self {
            length: incoming.size_hint().exact(),
            incoming,
            is_delimited: true,
            lease: Some(lease),
            reusable: true,
            idle_timeout,
            last_activity: None,
            idle: None,
        }
    }

    /// Bytes announced; `None` when the end will tell.
    pub(crate) const fn length(&self) -> Option<u64> {
        self.length
    }

    /// Whether a body that was broken off can be told from a whole one.
    pub(crate) const fn is_delimited(&self) -> bool {
        self.is_delimited
    }

    /// Its end is the end of the connection (RFC 9112, section 6.3).
    pub(crate) fn ends_with_connection(&mut self) {
        self.is_delimited = false;
    }

    /// Lets go of the connection after this answer: the request's body was not read to its end.
    pub(crate) fn do_not_reuse(&mut self) {
        self.reusable = false;
    }

    /// The next part; `None` at the end of a whole body.
    pub(crate) fn poll_part(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Truncated>>> {
        loop {
            match Pin::new(&mut self.incoming).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    self.last_activity = None;
                    // Trailers cannot be passed on by the server; they end here.
                    if let Ok(data) = frame.into_data()
                        && !data.is_empty()
                    {
                        if self.incoming.is_end_stream() {
                            self.finish();
                        }
                        return Poll::Ready(Some(Ok(data)));
                    }
                }
                Poll::Ready(Some(Err(error))) => {
                    self.break_off();
                    return Poll::Ready(Some(Err(Truncated::Broken(error))));
                }
                Poll::Ready(None) => {
                    self.finish();
                    return Poll::Ready(None);
                }
                Poll::Pending => {
                    return self.poll_idle(cx).map(|()| {
                        self.break_off();
                        Some(Err(Truncated::Stalled))
                    });
                }
            }
        }
    }

    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let since = *self.last_activity.get_or_insert_with(Instant::now);
        let deadline = since + self.idle_timeout;
        let idle = self
            .idle
            .get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if idle.deadline() != deadline {
            idle.as_mut().reset(deadline);
        }
        idle.as_mut().poll(cx)
    }

    fn break_off(&mut self) {
        if let Some(lease) = self.lease.take() {
            lease.broke_off();
        }
    }

    /// Gives the connection back, if it may carry another request.
    pub(super) fn finish(&mut self) {
        match self.lease.take() {
            Some(lease) if self.reusable => lease.give_back(),
            _ => {}
        }
    }
}
