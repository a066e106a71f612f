//! Answers in fewer bytes, where the client can read that and nothing is lost by it (RFC 9110,
//! sections 7.7, 8.4, 8.8.3 and 12.5.3).

mod encoder;

use std::task::{Context, Poll};

use actix_web::HttpRequest;
use actix_web::http::header::{self, HeaderMap, HeaderValue};
use actix_web::http::{Method, StatusCode, Version};
use bytes::Bytes;

pub(crate) use self::encoder::Coding;
use self::encoder::Encoder;
use super::cors::merge_vary;
use crate::answer::{Content, Draft};
use crate::proxy::Truncated;

/// Shorter answers fit into one packet anyhow.
const MIN_BYTES: u64 = 1_024;

/// What says something about the bytes of one form of an answer, and nothing about another form.
const OF_ONE_FORM: [&str; 5] = [
    "accept-ranges",
    "content-digest",
    "content-length",
    "content-md5",
    "digest",
];

/// Compresses an answer if that is possible and asked for.
pub(crate) fn compress(request: &HttpRequest, draft: Draft) -> Draft {
    if !is_compressible(draft.status(), draft.headers()) {
        return draft;
    }
    let mut draft = draft;
    // Also when this client gets it as it is: the next one may not.
    merge_vary(draft.headers_mut(), "accept-encoding");
    let coding = accepted(request.headers());
    let asked = request.version() > Version::HTTP_10
        && request.method() != Method::HEAD
        && !request.headers().contains_key(header::RANGE)
        && !has_directive(request.headers(), "no-transform");
    let Some(coding) = coding.filter(|_| asked) else {
        return draft;
    };
    let is_long = match draft.body() {
        Content::Download(body) => body.length().is_none_or(|length| length >= MIN_BYTES),
        Content::Bytes(body) => body.len() as u64 >= MIN_BYTES,
        Content::Teed(_) => true,
        _ => false,
    };
    if !is_long {
        return draft;
    }
    announce(coding, draft.headers_mut());
    draft.map_body(|_head, body| {
        Content::Compressed(Box::new(Compressed {
            body,
            encoder: Some(Encoder::new(coding)),
            holds_back: false,
        }))
    })
}

fn is_compressible(status: StatusCode, headers: &HeaderMap) -> bool {
    let has_body = !matches!(
        status,
        StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED | StatusCode::PARTIAL_CONTENT
    );
    has_body
        && !headers.contains_key(header::CONTENT_ENCODING)
        && !headers.contains_key(header::CONTENT_RANGE)
        && !has_directive(headers, "no-transform")
        && headers
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .is_some_and(is_text)
}

/// Media types that become shorter. An event stream must arrive event by event, and gRPC frames
/// compress by themselves.
fn is_text(media_type: &str) -> bool {
    let name = media_type.split(';').next().unwrap_or_default().trim();
    let name = name.to_ascii_lowercase();
    match name.split_once('/') {
        Some(("text", kind)) => kind != "event-stream",
        Some(("application", kind)) => {
            matches!(
                kind,
                "json" | "javascript" | "xml" | "wasm" | "x-ndjson" | "x-javascript" | "graphql"
            ) || kind.ends_with("+json")
                || kind.ends_with("+xml")
        }
        Some(("image", kind)) => kind == "svg+xml",
        _ => false,
    }
}

fn has_directive(headers: &HeaderMap, directive: &str) -> bool {
    let values = headers.get_all(header::CACHE_CONTROL);
    let mut directives = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    directives.any(|found| found.trim().eq_ignore_ascii_case(directive))
}

/// The coding that the client likes best; among equals the one that costs us least.
fn accepted(headers: &HeaderMap) -> Option<Coding> {
    let mut best: Option<(u16, Coding)> = None;
    let values = headers.get_all(header::ACCEPT_ENCODING);
    let values = values.filter_map(|value| value.to_str().ok());
    let all: Vec<(&str, u16)> = values
        .flat_map(|value| value.split(','))
        .filter_map(weighted)
        .collect();
    for coding in Coding::ALL {
        let named = all.iter().find(|(name, _)| coding.is_called(name));
        let any = || all.iter().find(|(name, _)| *name == "*");
        let Some((_, quality)) = named.or_else(any) else {
            continue;
        };
        if *quality > 0 && best.is_none_or(|(known, _)| *quality > known) {
            best = Some((*quality, coding));
        }
    }
    // Whoever likes it better as it is gets it so.
    let plain = all
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case("identity"));
    let plain = plain.map_or(0, |(_, quality)| *quality);
    best.filter(|(quality, _)| *quality >= plain)
        .map(|(_, coding)| coding)
}

/// A coding and its quality in thousandths (RFC 9110, section 12.4.2). A malformed one is left out.
fn weighted(item: &str) -> Option<(&str, u16)> {
    let (name, parameter) = match item.split_once(';') {
        Some((name, parameter)) => (name, Some(parameter.trim())),
        None => (item, None),
    };
    let quality = match parameter {
        None => 1_000,
        Some(parameter) => {
            let value = parameter
                .strip_prefix("q=")
                .or_else(|| parameter.strip_prefix("Q="))?;
            thousandths(value)?
        }
    };
    Some((name.trim(), quality))
}

fn thousandths(value: &str) -> Option<u16> {
    let (whole, part) = value.split_once('.').unwrap_or((value, ""));
    let is_short = part.len() <= 3 && part.bytes().all(|byte| byte.is_ascii_digit());
    let part: u16 = format!("{part:0<3}").parse().ok().filter(|_| is_short)?;
    match whole {
        "0" => Some(part),
        "1" if part == 0 => Some(1_000),
        _ => None,
    }
}

fn announce(coding: Coding, headers: &mut HeaderMap) {
    headers.insert(
        header::CONTENT_ENCODING,
        HeaderValue::from_static(coding.as_str()),
    );
    for name in OF_ONE_FORM {
        headers.remove(name);
    }
    // Two forms of one answer are not the same byte for byte.
    let weak = headers
        .get(header::ETAG)
        .filter(|tag| tag.as_bytes().starts_with(b"\""))
        .and_then(|tag| HeaderValue::from_bytes(&[b"W/", tag.as_bytes()].concat()).ok());
    if let Some(weak) = weak {
        headers.insert(header::ETAG, weak);
    }
}

/// A body that is compressed while it is read. What has come is never held back for what has not.
pub(crate) struct Compressed {
    body: Content,
    /// None when the end was written.
    encoder: Option<Encoder>,
    /// Whether the encoder has bytes that were not given out.
    holds_back: bool,
}

impl Compressed {
    pub(crate) fn poll_part(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Truncated>>> {
        while let Some(encoder) = &mut self.encoder {
            let output = match self.body.poll_part(cx) {
                Poll::Ready(Some(Ok(data))) => {
                    self.holds_back = true;
                    encoder.write(&data)
                }
                Poll::Ready(Some(Err(error))) => {
                    // Without an end the client sees that it is not whole.
                    self.encoder = None;
                    return Poll::Ready(Some(Err(error)));
                }
                Poll::Ready(None) => match self.encoder.take() {
                    Some(encoder) => encoder.finish(),
                    None => return Poll::Ready(None),
                },
                Poll::Pending if self.holds_back => {
                    self.holds_back = false;
                    encoder.flush()
                }
                Poll::Pending => return Poll::Pending,
            };
            match output {
                Err(error) => return Poll::Ready(Some(Err(Truncated::Encoding(error)))),
                Ok(output) if !output.is_empty() => return Poll::Ready(Some(Ok(output))),
                Ok(_) => {}
            }
        }
        Poll::Ready(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_s_wish_decides() {
        for (wish, expected) in [
            ("gzip", Some("gzip")),
            ("x-gzip", Some("gzip")),
            ("br", Some("br")),
            ("gzip, deflate, br, zstd", Some("zstd")),
            ("gzip;q=0.9, br;q=0.1", Some("gzip")),
            ("gzip;q=0.5, identity", None),
            ("identity;q=0.5, gzip", Some("gzip")),
            ("*", Some("zstd")),
            ("*;q=0.1, zstd;q=0", Some("br")),
            ("gzip;q=0", None),
            ("gzip;q=2", None),
            ("gzip;q=0.1234", None),
            ("gzip;level=1", None),
            ("deflate", None),
            ("GZIP", Some("gzip")),
            ("", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(wish));
            assert_eq!(accepted(&headers).map(Coding::as_str), expected, "{wish}");
        }
    }

    #[test]
    fn only_text_becomes_shorter() {
        for media_type in [
            "text/html; charset=utf-8",
            "application/json",
            "application/problem+json",
            "Application/XML",
            "image/svg+xml",
        ] {
            assert!(is_text(media_type), "{media_type}");
        }
        for media_type in [
            "text/event-stream",
            "application/grpc",
            "application/octet-stream",
            "image/png",
            "",
        ] {
            assert!(!is_text(media_type), "{media_type}");
        }
    }
}
