//! What goes back to a client: an answer made here, or one that is passed through.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use actix_web::HttpResponse;
use actix_web::body::{BodySize, MessageBody};
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::http::{ConnectionType, StatusCode};
use actix_web::web::Payload;
use bytes::Bytes;
use common::error::ApiError;
use futures_util::Stream;

use crate::cache::Tee;
use crate::edge::compress::Compressed;
use crate::edge::streams::OpenStream;
use crate::edge::taking::Watched;
use crate::edge::turns::Turn;
use crate::proxy::{Download, Truncated, Tunnel, Upload};
use crate::record::Record;

/// The body of an answer.
pub(crate) enum Content {
    /// None, and no header about it: 204, 304.
    Empty,
    /// None, but this length is announced: an answer to HEAD, or an empty one.
    Announced(u64),
    /// Here as a whole.
    Bytes(Bytes),
    /// Read from a service while it is written.
    Download(Box<Download>),
    /// Read from a service while it is written, and kept if it comes to its end.
    Teed(Box<Tee>),
    /// Compressed while it is read.
    Compressed(Box<Compressed>),
    /// One of these, over HTTP/2.
    Watched(Box<Watched>),
    /// What a service sends after it has switched protocols.
    Tunnel(Box<Tunnel>),
    /// Made here bit by bit, until it ends.
    Events(Pin<Box<dyn Stream<Item = Bytes>>>),
}

impl Content {
    /// The next part of the body; `None` at its end.
    pub(crate) fn poll_part(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Truncated>>> {
        match self {
            Self::Empty | Self::Announced(_) => Poll::Ready(None),
            Self::Bytes(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Bytes(bytes) => Poll::Ready(Some(Ok(std::mem::take(bytes)))),
            Self::Download(body) => body.poll_part(cx),
            Self::Teed(body) => body.poll_part(cx),
            Self::Compressed(body) => body.poll_part(cx),
            Self::Watched(body) => body.poll_part(cx),
            Self::Tunnel(tunnel) => tunnel.poll_part(cx).map(|part| part.map(Ok)),
            Self::Events(events) => events.as_mut().poll_next(cx).map(|part| part.map(Ok)),
        }
    }
}

/// An answer before its record is attached.
pub(crate) type Draft = HttpResponse<Content>;

/// A JSON answer.
pub(crate) fn json(status: StatusCode, body: impl Into<Bytes>) -> Draft {
    with_type(status, "application/json", body)
}

/// An answer of this media type.
pub(crate) fn with_type(
    status: StatusCode,
    media_type: &'static str,
    body: impl Into<Bytes>,
) -> Draft {
    let mut draft = HttpResponse::with_body(status, Content::Bytes(body.into()));
    set(&mut draft, "content-type", media_type);
    set(&mut draft, "x-content-type-options", "nosniff");
    draft
}

/// Sets a header whose text is known to be valid; another is left out.
pub(crate) fn set(draft: &mut Draft, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        draft
            .headers_mut()
            .insert(HeaderName::from_static(name), value);
    }
}

/// The problem document of an error; its cause is logged. Must run inside the request's context.
pub(crate) fn problem(error: &ApiError) -> Draft {
    let (response, body) = actix_web::ResponseError::error_response(error).into_parts();
    let body = body.try_into_bytes().unwrap_or_default();
    let mut draft = response.set_body(Content::Bytes(body));
    set(&mut draft, "cache-control", "no-store");
    draft
}

/// Whose fault an error is, for programs between here and the client: `Proxy-Status` with the error
/// types of RFC 9209, section 2.3.
pub(crate) fn proxy_status(status: StatusCode, code: &str) -> &'static str {
    match (status.as_u16(), code) {
        (_, "service_unavailable") => "maru; error=connection_refused",
        (_, "service_overloaded" | "overloaded") => "maru; error=connection_limit_reached",
        (503, _) => "maru; error=destination_unavailable",
        (504, _) => "maru; error=http_response_timeout",
        (502, _) => "maru; error=http_protocol_error",
        (508, _) => "maru; error=proxy_loop_detected",
        (404, _) => "maru; error=destination_not_found",
        (401 | 403 | 429, _) => "maru; error=http_request_denied",
        (400..=499, _) => "maru; error=http_request_error",
        (501, _) => "maru; error=http_upgrade_failed",
        _ => "maru; error=proxy_internal_error",
    }
}

/// Closes the client's connection after this answer.
pub(crate) fn close_after(draft: &mut Draft) {
    draft.head_mut().set_connection_type(ConnectionType::Close);
}

/// The body of an answer that is under way, with what is to be written down when it has ended.
pub(crate) struct AnswerBody {
    content: Content,
    record: Record,
    _unread: Unread,
}

/// Held until the answer has ended, so that the server closes the connection when the request was not
/// read to its end, and gets to see the next request only then.
#[derive(Default)]
pub(crate) struct Unread {
    _upload: Option<Rc<Upload>>,
    /// What follows a handshake that was refused.
    _stream: Option<Payload>,
    _turn: Option<Turn>,
    _place: Option<OpenStream>,
}

impl Unread {
    pub(crate) const fn new(
        upload: Option<Rc<Upload>>,
        stream: Option<Payload>,
        turn: Option<Turn>,
        place: Option<OpenStream>,
    ) -> Self {
        Self {
            _upload: upload,
            _stream: stream,
            _turn: turn,
            _place: place,
        }
    }
}

impl AnswerBody {
    pub(crate) fn attach(draft: Draft, mut record: Record, unread: Unread) -> HttpResponse<Self> {
        record.set_status(draft.status());
        draft.map_body(|_head, content| {
            let body = Self {
                content,
                record,
                _unread: unread,
            };
            body.checked()
        })
    }

    /// A body without bytes is never asked for any: it is complete already. A tunnel is whole
    /// whenever it ends.
    fn checked(mut self) -> Self {
        let is_tunnel = matches!(self.content, Content::Tunnel(_));
        if is_tunnel || matches!(self.size(), BodySize::None | BodySize::Sized(0)) {
            self.record.complete();
        }
        self
    }
}

impl MessageBody for AnswerBody {
    type Error = Truncated;

    fn size(&self) -> BodySize {
        match &self.content {
            Content::Empty => BodySize::None,
            Content::Announced(length) => BodySize::Sized(*length),
            Content::Bytes(bytes) => BodySize::Sized(bytes.len() as u64),
            Content::Tunnel(_) | Content::Compressed(_) | Content::Teed(_) => BodySize::Stream,
            Content::Download(body) => body.length().map_or(BodySize::Stream, BodySize::Sized),
            Content::Watched(body) => body.length().map_or(BodySize::Stream, BodySize::Sized),
            Content::Events(_) => BodySize::Stream,
        }
    }

    fn poll_next(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Truncated>>> {
        let this = self.get_mut();
        let part = this.content.poll_part(cx);
        match &part {
            Poll::Ready(Some(Ok(data))) => this.record.add_bytes(data.len()),
            Poll::Ready(Some(Err(_))) => this.record.truncated(),
            Poll::Ready(None) => this.record.complete(),
            Poll::Pending => {}
        }
        part
    }
}
