//! The streams of one connection of HTTP/2: how many are under way, and whether their client takes
//! their answers.
//!
//! The server below announces no bound (RFC 9113, section 5.1.2), and keeps a task for each stream until
//! the last byte of its answer was taken. Without a bound here one connection that never opens a window
//! could fill the memory.

use std::cell::Cell;
use std::rc::Rc;

use actix_web::HttpRequest;
use actix_web::http::Version;
use tokio::sync::Notify;

/// Streams that may wait for their client for as long as it likes. A connection with more of them is
/// ended: nothing else takes a stream back from the server below.
const MAX_STUCK: usize = 64;

/// The streams of a connection.
#[derive(Debug)]
pub(crate) struct Streams {
    max: usize,
    open: Cell<usize>,
    stuck: Cell<usize>,
    overrun: Notify,
}

/// A connection has as many streams as it may.
#[derive(Debug)]
pub(crate) struct TooMany;

/// One of the streams, until its answer was taken.
#[derive(Debug)]
pub(crate) struct OpenStream(Rc<Streams>);

/// A stream whose client takes nothing.
#[derive(Debug)]
pub(crate) struct StuckStream(Rc<Streams>);

impl Streams {
    /// Of a connection that may have `max` at a time.
    pub(crate) fn new(max: usize) -> Rc<Self> {
        Rc::new(Self {
            max,
            open: Cell::new(0),
            stuck: Cell::new(0),
            overrun: Notify::new(),
        })
    }

    /// Those of a request's connection; HTTP/1.1 has none.
    pub(crate) fn of(request: &HttpRequest) -> Option<&Rc<Self>> {
        match request.version() {
            Version::HTTP_2 => request.conn_data(),
            _ => None,
        }
    }

    /// Counts one more.
    ///
    /// # Errors
    /// When there are as many as there may be.
    pub(crate) fn open(self: &Rc<Self>) -> Result<OpenStream, TooMany> {
        if self.open.get() >= self.max {
            return Err(TooMany);
        }
        self.open.set(self.open.get() + 1);
        Ok(OpenStream(Rc::clone(self)))
    }

    /// Counts one whose client has taken nothing for too long.
    pub(crate) fn stuck(self: &Rc<Self>) -> StuckStream {
        self.stuck.set(self.stuck.get() + 1);
        if self.stuck.get() > MAX_STUCK {
            self.overrun.notify_one();
        }
        StuckStream(Rc::clone(self))
    }

    /// Waits until too many are stuck.
    pub(crate) async fn overrun(&self) {
        self.overrun.notified().await;
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.0.open.set(self.0.open.get() - 1);
    }
}

impl Drop for StuckStream {
    fn drop(&mut self) {
        self.0.stuck.set(self.0.stuck.get() - 1);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::poll;

    use super::*;

    #[test]
    fn a_connection_has_so_many_streams_and_no_more() {
        let streams = Streams::new(2);
        let first = streams.open().unwrap();
        let _second = streams.open().unwrap();
        assert!(streams.open().is_err());
        drop(first);
        let _third = streams.open().unwrap();
        assert!(streams.open().is_err());
    }

    #[tokio::test]
    async fn it_is_overrun_when_more_than_a_few_are_stuck_at_a_time() {
        let streams = Streams::new(1_000);
        let mut overrun = std::pin::pin!(streams.overrun());
        for _ in 0..2 * MAX_STUCK {
            drop(streams.stuck());
        }
        let mut stuck: Vec<_> = (0..MAX_STUCK).map(|_| streams.stuck()).collect();
        assert!(poll!(overrun.as_mut()).is_pending());
        stuck.push(streams.stuck());
        assert!(poll!(overrun.as_mut()).is_ready());
    }
}
