//! Answers given in place of a service that cannot be asked: a fixed one, or the last good one.

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use actix_web::http::header::HeaderMap;
use actix_web::http::{Method, StatusCode, header};
use actix_web::{HttpRequest, HttpResponse};
use bytes::{Bytes, BytesMut};
use http::HeaderValue;
use tokio::time::Instant;

use crate::answer::{Content, Draft, set};
use crate::balance::hash;
use crate::proxy::Truncated;

/// Largest answer that is kept, in bytes.
const MAX_BODY_BYTES: u64 = 64 * 1024;
/// Most answers that are kept.
const MAX_ANSWERS: usize = 256;

/// An answer from the settings.
pub(crate) fn fixed(status: http::StatusCode, media_type: &HeaderValue, body: Bytes) -> Draft {
    // Checked when the policies were read.
    let status = StatusCode::from_u16(status.as_u16()).unwrap_or(StatusCode::OK);
    let bodyless = matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let content = match bodyless {
        true => Content::Empty,
        false => Content::Bytes(body),
    };
    let mut draft = HttpResponse::with_body(status, content);
    if let (false, Ok(media_type)) = (bodyless, media_type.to_str()) {
        set(&mut draft, "content-type", media_type);
    }
    set(&mut draft, "cache-control", "no-store");
    draft
}

struct Kept {
    at: Instant,
    headers: HeaderMap,
    body: Bytes,
}

/// The last good answers to GETs of services whose policy asks for it.
#[derive(Default)]
pub(crate) struct AnswerCache(Mutex<HashMap<Key, Kept>>);

/// What an answer belongs to: one caller's answer is never given to another.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    service: String,
    target: String,
    /// Of the headers that answers depend on.
    asker: Vec<u64>,
}

impl Key {
    fn of(service: &str, request: &HttpRequest) -> Self {
        let names = [
            "authorization",
            "cookie",
            "x-api-key",
            "accept",
            "accept-language",
        ];
        let asker = names.iter().map(|name| {
            let values = request.headers().get_all(*name);
            let joined: Vec<&[u8]> = values.map(|value| value.as_bytes()).collect();
            hash(&joined.join(&b'\n'))
        });
        Self {
            service: service.to_owned(),
            target: request.uri().to_string(),
            asker: asker.collect(),
        }
    }
}

impl AnswerCache {
    /// Keeps a good answer that is small enough and meant for more than one reading; the draft
    /// comes back with its whole body.
    pub(crate) async fn keep(
        &self,
        service: &str,
        request: &HttpRequest,
        draft: Draft,
    ) -> Result<Draft, Truncated> {
        if request.method() != Method::GET || !is_keepable(&draft) {
            return Ok(draft);
        }
        let (head, mut content) = draft.into_parts();
        let mut body = BytesMut::new();
        if let Content::Download(download) = &mut content {
            while let Some(part) = poll_fn(|cx| download.poll_part(cx)).await {
                body.extend_from_slice(&part?);
            }
        }
        let body = body.freeze();
        let kept = Kept {
            at: Instant::now(),
            headers: head.headers().clone(),
            body: body.clone(),
        };
        let mut answers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = Key::of(service, request);
        if answers.len() >= MAX_ANSWERS && !answers.contains_key(&key) {
            let oldest = answers.iter().min_by_key(|(_, kept)| kept.at);
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                answers.remove(&oldest);
            }
        }
        answers.insert(key, kept);
        Ok(head.set_body(Content::Bytes(body)))
    }

    /// The last good answer to this request, if it is not older than `max_age`.
    pub(crate) fn find(
        &self,
        service: &str,
        request: &HttpRequest,
        max_age: Duration,
    ) -> Option<Draft> {
        if request.method() != Method::GET {
            return None;
        }
        let answers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = answers.get(&Key::of(service, request))?;
        let age = kept.at.elapsed();
        if age > max_age {
            return None;
        }
        let content = Content::Bytes(kept.body.clone());
        let mut draft = HttpResponse::with_body(StatusCode::OK, content);
        *draft.headers_mut() = kept.headers.clone();
        // RFC 9111, section 5.1: how old it is.
        set(&mut draft, "age", &age.as_secs().to_string());
        Some(draft)
    }
}

fn is_keepable(draft: &Draft) -> bool {
    let headers = draft.headers();
    let forbidden = headers
        .get(header::CACHE_CONTROL)
        .and_then(|value| value.to_str().ok());
    let forbidden = forbidden.is_some_and(|text| text.contains("no-store"));
    let varies = headers
        .get(header::VARY)
        .is_some_and(|value| value.as_bytes() == b"*");
    let length = match draft.body() {
        Content::Download(download) => download.length(),
        _ => None,
    };
    draft.status() == StatusCode::OK
        && !forbidden
        && !varies
        && !headers.contains_key(header::SET_COOKIE)
        && length.is_some_and(|length| length <= MAX_BODY_BYTES)
}
