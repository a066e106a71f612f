//! One request of a client's connection at a time.
//!
//! The server below parses everything that a client has sent ahead at once, and then answers by the
//! last head that it has seen: a HEAD or a request of HTTP/1.0 in a row with others would change the
//! form of the answers before it, and what is wrong behind a good request would cost that one its
//! answer. So the server gets to see the next request when the answer to the one before it has been
//! written. What a client sends ahead waits here, and behind the last answer of a connection it is
//! thrown away (RFC 9112, section 9.6).

mod boundary;
mod rest;

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::dev::Extensions;
use actix_web::http::{ConnectionType, Version};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use crate::answer::{Draft, close_after};
use boundary::Boundary;
use rest::Watch;
pub(crate) use rest::{LOOK_INTERVAL, Rests};

/// Bytes that a client may send ahead before it is left to wait.
const MAX_AHEAD_BYTES: usize = 64 * 1024;

/// Bytes that are read ahead at once.
const PART_BYTES: usize = 1024;

/// Parts that are thrown away before other connections get their turn.
const MAX_PARTS: usize = 64;

/// Longest wait for the end of a client that has sent more than it got an answer to (RFC 9112,
/// section 9.6).
const LINGER: Duration = Duration::from_secs(2);

/// What the server's side of a connection tells the reading side.
#[derive(Debug, Default)]
struct Talk {
    /// Answers that have been written since the reading side has looked.
    answered: Cell<bool>,
    /// Whether the last answer has been made.
    over: Cell<bool>,
    /// Who waits to read on.
    waiting: RefCell<Option<Waker>>,
}

/// A request's turn on its connection. The next one's comes when this is dropped: when the answer is on
/// its way as a whole.
#[derive(Debug)]
pub(crate) struct Turn(Rc<Talk>);

impl Turn {
    /// The turn of this request; the streams of HTTP/2 have none.
    pub(crate) fn of(request: &HttpRequest) -> Option<Self> {
        let talk = match request.version() {
            Version::HTTP_2 => None,
            _ => request.conn_data::<Rc<Talk>>(),
        };
        talk.map(|talk| Self(Rc::clone(talk)))
    }

    /// Remembers it when this answer is the last one of its connection, and says so in the answer.
    pub(crate) fn finish(turn: Option<&Self>, request: &HttpRequest, draft: &mut Draft) {
        // Heads are used again and keep the version of the answer before, which could be an old one's
        // and would make every answer the last one.
        draft.head_mut().version = Version::HTTP_11;
        let last = [
            request.head().connection_type(),
            draft.head().connection_type(),
        ];
        if !last.contains(&ConnectionType::Close) {
            return;
        }
        close_after(draft);
        if let Some(turn) = turn {
            turn.0.over.set(true);
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.answered.set(true);
        if let Some(waiting) = self.0.waiting.take() {
            waiting.wake();
        }
    }
}

/// A client's connection.
#[derive(Debug)]
pub(crate) struct Turns<T> {
    stream: T,
    boundary: Boundary,
    talk: Rc<Talk>,
    /// What was read and may not be seen yet.
    ahead: Vec<u8>,
    /// Whether the client has ended its half.
    ended: bool,
    /// Whether the last answer is on its way as a whole.
    over: bool,
    /// Whether something of the client's was thrown away: its answer must not be lost with it.
    discarded: bool,
    /// Until when the client's end is awaited, once this side has ended.
    linger: Option<Pin<Box<Sleep>>>,
    /// Whether something was written that the system may not have taken yet.
    unflushed: bool,
    watch: Option<Watch>,
}

impl<T> Turns<T> {
    /// For a connection on which requests follow each other, and of which these bytes have been read.
    /// When it rests, the server is told that it has ended, and nothing is done to the stream.
    pub(crate) fn new(stream: T, begun: Vec<u8>, rests: Rests) -> Self {
        Self {
            ahead: begun,
            watch: Some(Watch::new(rests)),
            ..Self::with(stream, Boundary::new())
        }
    }

    /// For a connection that has a protocol of its own for that.
    pub(crate) fn untouched(stream: T) -> Self {
        Self::with(stream, Boundary::none())
    }

    fn with(stream: T, boundary: Boundary) -> Self {
        Self {
            stream,
            boundary,
            talk: Rc::default(),
            ahead: Vec::new(),
            ended: false,
            over: false,
            discarded: false,
            linger: None,
            unflushed: false,
            watch: None,
        }
    }

    /// Whether it rests from now on, or has before.
    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.watch {
            Some(watch) if self.boundary.is_between() && !self.unflushed => watch.poll(cx),
            _ => Poll::Pending,
        }
    }

    fn rests(&self) -> bool {
        self.watch.as_ref().is_some_and(Watch::rests)
    }

    /// The connection below.
    pub(crate) const fn get_ref(&self) -> &T {
        &self.stream
    }

    /// For the server: every request finds its connection's turn.
    pub(crate) fn begin(&self, connection: &mut Extensions) {
        connection.insert(Rc::clone(&self.talk));
    }

    /// Takes in what the server's side has said.
    fn look(&mut self) {
        let answered = self.talk.answered.replace(false);
        if self.talk.over.get() && answered {
            // Whatever comes now, nobody reads it; for the server the client has gone.
            self.discarded |= !self.boundary.is_complete();
            self.boundary.seal();
            self.over = true;
        } else if self.talk.over.get() && self.boundary.is_complete() {
            self.boundary.seal();
        } else if answered && self.boundary.is_complete() {
            self.boundary.answered();
        } else if answered {
            // The answer came before the request was whole; it counts when it is.
            self.talk.answered.set(true);
        }
    }
}

impl<T: AsyncRead + Unpin> Turns<T> {
    /// Hands out what waits here, as far as it may be seen.
    fn hand_out(&mut self, buffer: &mut ReadBuf<'_>) -> bool {
        let room = buffer.remaining().min(self.ahead.len());
        let part = self.ahead.get(..room).unwrap_or_default();
        let count = self.boundary.pass(part);
        buffer.put_slice(part.get(..count).unwrap_or_default());
        self.ahead.drain(..count);
        if self.ahead.is_empty() {
            self.ahead = Vec::new();
        }
        count > 0
    }

    /// Reads while nothing may be seen: what comes waits or is thrown away, and the end of the client
    /// is told at once.
    fn poll_ahead(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        for _ in 0..MAX_PARTS {
            if self.ended {
                return Poll::Ready(Ok(()));
            }
            if self.ahead.len() >= MAX_AHEAD_BYTES {
                break;
            }
            let mut part = [0; PART_BYTES];
            let mut part = ReadBuf::new(&mut part);
            match Pin::new(&mut self.stream).poll_read(cx, &mut part) {
                Poll::Ready(Ok(())) if part.filled().is_empty() => self.ended = true,
                Poll::Ready(Ok(())) if self.boundary.is_sealed() => self.discarded = true,
                Poll::Ready(Ok(())) => self.ahead.extend_from_slice(part.filled()),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    self.wait(cx);
                    return Poll::Pending;
                }
            }
        }
        if self.ahead.len() < MAX_AHEAD_BYTES {
            cx.waker().wake_by_ref();
        }
        self.wait(cx);
        Poll::Pending
    }

    /// To be woken by the answer, when something waits for it.
    fn wait(&self, cx: &Context<'_>) {
        if !self.ahead.is_empty() {
            self.talk.waiting.replace(Some(cx.waker().clone()));
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Turns<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.look();
        if this.boundary.is_sealed() {
            this.discarded |= !this.ahead.is_empty();
            this.ahead = Vec::new();
        }
        if this.over || this.rests() {
            return Poll::Ready(Ok(()));
        }
        if this.boundary.is_sealed() || this.boundary.is_complete() {
            return this.poll_ahead(cx);
        }
        if !this.ahead.is_empty() {
            return match this.hand_out(buffer) {
                true => Poll::Ready(Ok(())),
                false => this.poll_ahead(cx),
            };
        }
        if this.ended {
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        match Pin::new(&mut this.stream).poll_read(cx, buffer) {
            Poll::Ready(Ok(())) => {}
            // Only when nothing is there: what comes later finds the connection at rest.
            Poll::Pending => return this.poll_rest(cx).map(Ok),
            other => return other,
        }
        let read = buffer.filled().get(before..).unwrap_or_default();
        if read.is_empty() {
            this.ended = true;
            return Poll::Ready(Ok(()));
        }
        if let Some(watch) = &mut this.watch {
            watch.stir();
        }
        let count = this.boundary.pass(read);
        if this.boundary.is_sealed() {
            this.discarded |= count < read.len();
        } else {
            this.ahead
                .extend_from_slice(read.get(count..).unwrap_or_default());
        }
        buffer.set_filled(before + count);
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Turns<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.unflushed = true;
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.unflushed = true;
        Pin::new(&mut self.stream).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.unflushed &= flushed.is_pending();
        flushed
    }

    /// Where the client has sent more than it gets an answer to, its end is awaited for a while: closing
    /// at once would take the last answer from it.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.rests() {
            return Poll::Ready(Ok(()));
        }
        if this.linger.is_none() {
            match Pin::new(&mut this.stream).poll_shutdown(cx) {
                Poll::Ready(Ok(())) => this.linger = Some(Box::pin(sleep(LINGER))),
                other => return other,
            }
            this.discarded |= !this.ahead.is_empty() || this.boundary.is_inside();
            this.ahead = Vec::new();
            this.boundary.seal();
        }
        let read = this.poll_ahead(cx);
        let Some(linger) = this
            .linger
            .as_mut()
            .filter(|_| this.discarded && read.is_pending())
        else {
            return Poll::Ready(Ok(()));
        };
        linger.as_mut().poll(cx).map(Ok)
    }
}
