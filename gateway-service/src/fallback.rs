//! Answers given in place of a service that cannot be asked: a fixed one, or the last good one.

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::header::{HeaderMap, HeaderName};
use actix_web::http::{StatusCode, header};
use bytes::{Bytes, BytesMut};
use http::HeaderValue;
use tokio::time::Instant;

use crate::answer::{Content, Draft, set};
use crate::cache::{Asked, Directives, Source, varies};
use crate::edge::auth::{API_KEY_HEADER, sha256};
use crate::proxy::Truncated;

/// Largest answer that is kept, in bytes.
const MAX_BODY_BYTES: u64 = 64 * 1024;
/// Most answers that are kept.
const MAX_ANSWERS: usize = 256;

/// The headers that tell callers apart. An answer that differs by others is not kept.
const ASKER: [HeaderName; 6] = [
    header::AUTHORIZATION,
    header::COOKIE,
    HeaderName::from_static(API_KEY_HEADER),
    header::ACCEPT,
    header::ACCEPT_ENCODING,
    header::ACCEPT_LANGUAGE,
];

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
pub(crate) struct Key {
    /// Scheme, host and target.
    uri: Arc<str>,
    source: Source,
    /// Of the headers that answers depend on.
    asker: [u8; 32],
    /// Whether the caller says who asks.
    is_personal: bool,
}

impl Key {
    /// `None` for a HEAD, whose answer has nothing to give.
    pub(crate) fn of(asked: Asked<'_>) -> Option<Self> {
        if asked.is_head {
            return None;
        }
        let mut values = Vec::new();
        for name in &ASKER {
            let value = asked.value(name);
            // With its length: the end of one value is not the beginning of the next.
            values.extend_from_slice(&value.len().to_le_bytes());
            values.extend_from_slice(&value);
        }
        Some(Self {
            uri: asked.key,
            source: asked.source,
            asker: sha256(&values),
            is_personal: asked.is_personal,
        })
    }
}

impl AnswerCache {
    /// Keeps a good answer that is small enough and meant for more than one reading; the draft
    /// comes back with its whole body.
    pub(crate) async fn keep(&self, key: Key, draft: Draft) -> Result<Draft, Truncated> {
        if !is_keepable(&key, &draft) {
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
        if answers.len() >= MAX_ANSWERS && !answers.contains_key(&key) {
            let oldest = answers.iter().min_by_key(|(_, kept)| kept.at);
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                answers.remove(&oldest);
            }
        }
        answers.insert(key, kept);
        Ok(head.set_body(Content::Bytes(body)))
    }

    /// The last good answer to such a request, if it is not older than `max_age`.
    pub(crate) fn find(&self, key: &Key, max_age: Duration) -> Option<Draft> {
        let answers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = answers.get(key)?;
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

fn is_keepable(key: &Key, draft: &Draft) -> bool {
    let headers = draft.headers();
    let length = match draft.body() {
        Content::Download(download) => download.length(),
        _ => None,
    };
    if draft.status() != StatusCode::OK
        || headers.contains_key(header::SET_COOKIE)
        || length.is_none_or(|length| length > MAX_BODY_BYTES)
    {
        return false;
    }
    let said = Directives::of(headers);
    let is_for_another = said.private && !key.is_personal;
    let told_apart = varies(headers).is_some_and(|names| names.iter().all(|it| ASKER.contains(it)));
    !said.no_store && !is_for_another && told_apart
}
