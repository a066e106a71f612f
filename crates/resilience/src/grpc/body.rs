//! The answer of a call, watched to its end: a gRPC call has succeeded only when its trailers say
//! so, and it may hang after its headers as well as before.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::Sleep;
use tonic::body::Body;
use tonic::{Code, Status};

use super::channel::timed_out;
use crate::breaker::Permit;
use crate::bulkhead::BulkheadPermit;
use crate::deadline::Deadline;

/// The body of an answer, cut off at the deadline. At its end the breaker learns how the call went;
/// dropped before, it learns nothing.
pub struct WatchedBody {
    inner: Body,
    deadline: Pin<Box<Sleep>>,
    permit: Option<Permit>,
    _place: BulkheadPermit,
}

impl WatchedBody {
    pub(super) fn new(
        response: http::Response<Body>,
        deadline: Deadline,
        permit: Permit,
        place: BulkheadPermit,
    ) -> http::Response<Self> {
        // An error without an answer puts its status into the headers ("Trailers-Only").
        let early = code_in(response.headers());
        response.map(|inner| {
            let mut watched = Self {
                inner,
                deadline: Box::pin(tokio::time::sleep_until(deadline.as_instant())),
                permit: Some(permit),
                _place: place,
            };
            if let Some(code) = early {
                watched.settle(code);
            }
            watched
        })
    }

    fn settle(&mut self, code: Code) {
        let Some(permit) = self.permit.take() else {
            return;
        };
        match code {
            // The neighbour, or something on the way to it, is in trouble.
            Code::Unavailable
            | Code::DeadlineExceeded
            | Code::Internal
            | Code::Unknown
            | Code::DataLoss
            | Code::ResourceExhausted => permit.failed(),
            // The caller gave up.
            Code::Cancelled => drop(permit),
            // An answer, be it a refusal.
            _ => permit.succeeded(),
        }
    }
}

impl HttpBody for WatchedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(cx) else {
            ready!(self.deadline.as_mut().poll(cx));
            self.settle(Code::DeadlineExceeded);
            return Poll::Ready(Some(Err(timed_out())));
        };
        match &frame {
            Some(Ok(frame)) => {
                if let Some(trailers) = frame.trailers_ref() {
                    self.settle(code_in(trailers).unwrap_or(Code::Unknown));
                }
            }
            Some(Err(_)) => self.settle(Code::Unavailable),
            // The end without trailers is a broken answer, unless the headers told the status.
            None => self.settle(Code::Unknown),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

pub(super) fn code_in(headers: &HeaderMap) -> Option<Code> {
    let code = headers.get("grpc-status")?;
    Some(Code::from_bytes(code.as_bytes()))
}
