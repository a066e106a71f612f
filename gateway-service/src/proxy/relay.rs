//! The head of a service's answer, turned into the head of ours.

use std::rc::Rc;
use std::time::Duration;

use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::http::{ConnectionType, Method, StatusCode, Version};
use actix_web::{HttpRequest, HttpResponse};
use http::header::{self, HeaderMap};

use super::download::Download;
use super::headers::{connection_options, passes_back};
use super::tunnel::Tunnel;
use super::upload::Upload;
use super::upstreams::Exchange;
use super::via::Via;
use crate::answer::{Content, Draft};

/// An answer that cannot be passed on without guessing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BadAnswer {
    #[error("the service switched protocols unasked")]
    Switched,
    #[error("the service used a transfer coding other than chunked")]
    TransferCoding,
    #[error("the service's status is none")]
    Status,
}

/// Makes the client's answer from a service's.
pub(crate) fn relay(
    exchange: Exchange,
    request: &HttpRequest,
    upload: Option<&Rc<Upload>>,
    via: &Via,
    idle_timeout: Duration,
) -> Result<Draft, BadAnswer> {
    let Exchange { answer, lease } = exchange;
    let (head, incoming) = answer.into_parts();
    let status =
        StatusCode::from_u16(head.status.as_u16()).map_err(|_invalid| BadAnswer::Status)?;
    if status.is_informational() {
        return Err(BadAnswer::Switched);
    }
    let mut codings = head.headers.get_all(header::TRANSFER_ENCODING).iter();
    if codings.any(|coding| {
        !coding
            .as_bytes()
            .trim_ascii()
            .eq_ignore_ascii_case(b"chunked")
    }) {
        return Err(BadAnswer::TransferCoding);
    }
    let mut download = Download::new(incoming, lease, idle_timeout);
    if upload.is_some_and(|upload| !upload.is_finished()) {
        download.do_not_reuse();
    }
    let announced = announced_length(&head.headers);
    if announced.is_none() && !head.headers.contains_key(header::TRANSFER_ENCODING) {
        download.ends_with_connection();
    }
    let content = content(request.method(), status, announced, download);
    let endless = matches!(&content, Content::Download(body) if body.length().is_none());
    let mut draft = HttpResponse::with_body(status, content);
    copy_headers(&head.headers, &mut draft);
    let name = actix_web::http::header::VIA;
    let via = via.to_client(head.version).clone();
    draft.headers_mut().append(name, via);
    if let (StatusCode::NOT_MODIFIED, Some(length)) = (status, announced) {
        let name = actix_web::http::header::CONTENT_LENGTH;
        draft.headers_mut().insert(name, HeaderValue::from(length));
    }
    if endless && request.version() < Version::HTTP_11 {
        // HTTP/1.0 knows no chunks: the end of the connection is the end of the body.
        let head = draft.head_mut();
        head.no_chunking(true);
        head.set_connection_type(ConnectionType::Close);
    }
    Ok(draft)
}

/// Makes the client's answer from that of a service that has switched protocols.
pub(crate) fn relay_switch(headers: &HeaderMap, tunnel: Tunnel, via: &Via) -> Draft {
    let content = Content::Tunnel(Box::new(tunnel));
    let mut draft = HttpResponse::with_body(StatusCode::SWITCHING_PROTOCOLS, content);
    copy_headers(headers, &mut draft);
    let head = draft.head_mut();
    head.set_connection_type(ConnectionType::Upgrade);
    let name = actix_web::http::header::UPGRADE;
    head.headers_mut()
        .insert(name, HeaderValue::from_static("websocket"));
    let name = actix_web::http::header::VIA;
    let via = via.to_client(http::Version::HTTP_11).clone();
    head.headers_mut().append(name, via);
    draft
}

/// Which body follows the head (RFC 9112, section 6.3). Where there is none, the server must not be
/// given a stream: it would end it with a chunk that the next answer's reader stumbles over.
fn content(
    method: &Method,
    status: StatusCode,
    announced: Option<u64>,
    mut download: Download,
) -> Content {
    let bodyless = matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if bodyless || method == Method::HEAD {
        download.finish();
        return match announced {
            Some(length) if !bodyless => Content::Announced(length),
            _ => Content::Empty,
        };
    }
    if status == StatusCode::RESET_CONTENT {
        return Content::Announced(0);
    }
    match download.length() {
        Some(0) => {
            download.finish();
            Content::Announced(0)
        }
        _ => Content::Download(Box::new(download)),
    }
}

/// The one valid Content-Length, if there is one and nothing contradicts it.
fn announced_length(headers: &HeaderMap) -> Option<u64> {
    if headers.contains_key(header::TRANSFER_ENCODING) {
        return None;
    }
    let mut values = headers.get_all(header::CONTENT_LENGTH).iter();
    let first = values.next()?.to_str().ok()?;
    let digits = first.bytes().all(|byte| byte.is_ascii_digit());
    match (values.next(), digits) {
        (None, true) => first.parse().ok(),
        _ => None,
    }
}

fn copy_headers(from: &HeaderMap, to: &mut Draft) {
    let options = connection_options(from);
    for (name, value) in from {
        if !passes_back(name.as_str(), &options) {
            continue;
        }
        let name = HeaderName::from_bytes(name.as_str().as_bytes());
        let value = HeaderValue::from_bytes(value.as_bytes());
        if let (Ok(name), Ok(value)) = (name, value) {
            to.headers_mut().append(name, value);
        }
    }
}
