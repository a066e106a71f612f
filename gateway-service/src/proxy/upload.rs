//! The body of a request on its way to a service, never held as a whole.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use actix_web::HttpRequest;
use actix_web::error::PayloadError;
use actix_web::http::{Version, header};
use actix_web::web::Payload;
use bytes::Bytes;
use futures_util::{FutureExt as _, Stream as _, StreamExt as _};
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};

use super::pace::{Pace, Wait};

/// Most bytes of a request's body that are kept so that it can be sent again.
const MAX_REPLAYED_BYTES: u64 = 64 * 1024;

/// Why a request's body did not arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UploadFault {
    #[error("the body has more than {0} bytes")]
    TooLarge(u64),
    #[error("the body came too slowly")]
    Stalled,
    #[error("the body's encoding is broken")]
    Malformed,
    #[error("the client went away inside the body")]
    Disconnected,
}

/// The body of one request. The answer holds it too: as long as it is not read to its end, the
/// server knows that the connection cannot be used again.
pub(crate) struct Upload {
    payload: RefCell<Payload>,
    /// Bytes announced; `None` when the body is chunked.
    length: Option<u64>,
    max_bytes: Cell<u64>,
    wait: Wait,
    received: Cell<u64>,
    finished: Cell<bool>,
    last_activity: Cell<Instant>,
    /// What was received, as long as all of it can be kept.
    kept: RefCell<Option<Vec<Bytes>>>,
}

impl Upload {
    /// The body of a request; `None` when it has none. The server has checked that there is either
    /// one Content-Length or chunked coding.
    pub(crate) fn of(request: &HttpRequest, payload: Payload, pace: Pace) -> Option<Rc<Self>> {
        let headers = request.headers();
        let length = match headers.get(header::CONTENT_LENGTH) {
            _ if headers.contains_key(header::TRANSFER_ENCODING) => None,
            None if request.version() > Version::HTTP_11 => {
                return Self::unannounced(payload, pace);
            }
            None => return None,
            Some(value) => match value.to_str().ok()?.trim().parse().ok()? {
                0 => return None,
                length => Some(length),
            },
        };
        Some(Self::new(payload, length, pace))
    }

    fn new(payload: Payload, length: Option<u64>, pace: Pace) -> Rc<Self> {
        Rc::new(Self {
            payload: RefCell::new(payload),
            length,
            max_bytes: Cell::new(u64::MAX),
            wait: Wait::new(pace),
            received: Cell::new(0),
            finished: Cell::new(false),
            last_activity: Cell::new(Instant::now()),
            kept: RefCell::new(Some(Vec::new())),
        })
    }

    /// HTTP/2 needs no header for a body: there is none when the stream has ended already.
    fn unannounced(mut payload: Payload, pace: Pace) -> Option<Rc<Self>> {
        match payload.next().now_or_never() {
            Some(None) => None,
            None => Some(Self::new(payload, None, pace)),
            Some(Some(first)) => {
                let upload = Self::new(payload, None, pace);
                // It waits among what is sent again, which is sent first.
                match first.map(|data| upload.accept(&data)) {
                    Ok(Ok(())) => {}
                    _ => upload.max_bytes.set(0),
                }
                Some(upload)
            }
        }
    }

    /// Sets the largest acceptable size; `false` when the announced one is above it.
    pub(crate) fn limit(&self, max_bytes: u64) -> bool {
        self.max_bytes.set(max_bytes);
        self.length.unwrap_or(self.received.get()) <= max_bytes
    }

    /// Bytes announced; `None` when the body is chunked.
    pub(crate) const fn length(&self) -> Option<u64> {
        self.length
    }

    /// Whether the service has been given all of it.
    pub(crate) fn is_finished(&self) -> bool {
        self.finished.get()
    }

    /// Whether it can be sent again from its beginning.
    pub(crate) fn is_replayable(&self) -> bool {
        self.kept.borrow().is_some()
    }

    /// All of it, if it has come to its end and could be kept.
    pub(crate) fn whole(&self) -> Option<Vec<Bytes>> {
        self.kept.borrow().clone().filter(|_| self.is_finished())
    }

    /// When the last byte passed.
    pub(crate) fn last_activity(&self) -> Instant {
        self.last_activity.get()
    }

    fn accept(&self, data: &Bytes) -> Result<(), UploadFault> {
        let received = self.received.get().saturating_add(data.len() as u64);
        let now = Instant::now();
        self.received.set(received);
        self.last_activity.set(now);
        self.wait.end(now);
        if self.length == Some(received) {
            self.finished.set(true);
        }
        let mut kept = self.kept.borrow_mut();
        match &mut *kept {
            Some(parts) if received <= MAX_REPLAYED_BYTES => parts.push(data.clone()),
            kept => *kept = None,
        }
        match received > self.max_bytes.get() {
            true => Err(UploadFault::TooLarge(self.max_bytes.get())),
            false => Ok(()),
        }
    }
}

/// The body as the client connection to the service reads it.
pub(crate) struct RequestBody {
    upload: Option<Rc<Upload>>,
    /// A body of its own, without an upload; the last part first.
    copied: Vec<Bytes>,
    /// How much of the body this attempt has been given.
    parts: usize,
    bytes: u64,
    idle: Option<Pin<Box<Sleep>>>,
}

impl RequestBody {
    pub(crate) fn new(upload: Option<Rc<Upload>>) -> Self {
        Self {
            upload,
            copied: Vec::new(),
            parts: 0,
            bytes: 0,
            idle: None,
        }
    }

    /// A body that has been read already.
    pub(super) fn copied(mut parts: Vec<Bytes>) -> Self {
        parts.reverse();
        Self {
            copied: parts,
            ..Self::new(None)
        }
    }

    /// The next part of what an earlier attempt has read.
    fn replayed(&mut self, upload: &Upload) -> Option<Bytes> {
        let part = upload.kept.borrow().as_ref()?.get(self.parts).cloned()?;
        self.parts += 1;
        self.bytes += part.len() as u64;
        Some(part)
    }

    fn poll_idle(&mut self, upload: &Upload, cx: &mut Context<'_>) -> Poll<UploadFault> {
        let deadline = upload.wait.deadline(upload.received.get(), Instant::now());
        let idle = self
            .idle
            .get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if idle.deadline() != deadline {
            idle.as_mut().reset(deadline);
        }
        idle.as_mut().poll(cx).map(|()| UploadFault::Stalled)
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = UploadFault;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UploadFault>>> {
        let Some(upload) = self.upload.clone() else {
            let part = self.copied.pop();
            return Poll::Ready(part.map(|part| Ok(Frame::data(part))));
        };
        if let Some(part) = self.replayed(&upload) {
            return Poll::Ready(Some(Ok(Frame::data(part))));
        }
        let polled = Pin::new(&mut *upload.payload.borrow_mut()).poll_next(cx);
        match polled {
            Poll::Ready(Some(Ok(data))) => {
                self.parts += 1;
                self.bytes += data.len() as u64;
                let accepted = upload.accept(&data).map(|()| Frame::data(data));
                Poll::Ready(Some(accepted))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(fault_of(&error)))),
            Poll::Ready(None) => {
                upload.finished.set(true);
                Poll::Ready(None)
            }
            Poll::Pending => self.poll_idle(&upload, cx).map(|fault| Some(Err(fault))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.upload {
            None => self.copied.is_empty(),
            Some(upload) => upload.is_finished() && self.bytes == upload.received.get(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.upload {
            None => {
                let left = self.copied.iter().map(|part| part.len() as u64);
                SizeHint::with_exact(left.sum())
            }
            Some(upload) => match upload.length {
                Some(length) => SizeHint::with_exact(length.saturating_sub(self.bytes)),
                None => SizeHint::default(),
            },
        }
    }
}

fn fault_of(error: &PayloadError) -> UploadFault {
    match error {
        PayloadError::Incomplete(_) | PayloadError::Io(_) => UploadFault::Disconnected,
        _ => UploadFault::Malformed,
    }
}
