//! A kept answer: for whom it is, how old, and how it is given out again.

use std::time::{Duration, SystemTime};

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use bytes::Bytes;
use routing::CachePolicy;
use tokio::time::Instant;

use super::asked::{Asked, Source};
use super::rules::{Rules, date_of, initial_age, varies};
use crate::answer::{Content, Draft, set};

/// What a kept answer takes beside its bytes, about.
const OVERHEAD_BYTES: usize = 512;

/// What a 304 does not replace: it describes bytes that are kept as they are (RFC 9111, section
/// 3.2).
const OF_THE_BODY: [&str; 4] = [
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
];

/// When an answer was asked for and when its head came.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moments {
    pub(crate) asked: Instant,
    pub(crate) came: Instant,
    pub(crate) now: SystemTime,
}

/// An answer without its body.
#[derive(Clone, Debug)]
pub(crate) struct StoredHead {
    source: Source,
    variant: Vec<(HeaderName, Vec<u8>)>,
    status: StatusCode,
    headers: HeaderMap,
    rules: Rules,
    initial_age: Duration,
    came: Instant,
}

/// A kept answer.
#[derive(Debug)]
pub(crate) struct Stored {
    head: StoredHead,
    body: Bytes,
}

impl StoredHead {
    /// The head of an answer to `asked`; `None` when it may not be kept.
    pub(crate) fn of(
        asked: &Asked<'_>,
        status: StatusCode,
        headers: &HeaderMap,
        policy: &CachePolicy,
        moments: Moments,
    ) -> Option<Self> {
        let rules = Rules::of(status, headers, policy)?;
        if asked.is_head || (asked.is_personal && !rules.for_everybody) {
            return None;
        }
        let mut names = varies(headers)?;
        for name in &policy.vary {
            names.extend(HeaderName::from_bytes(name.as_str().as_bytes()));
        }
        if headers.contains_key(header::CONTENT_ENCODING) {
            // Also when the service forgets to say it: not every client can read that.
            names.push(header::ACCEPT_ENCODING);
        }
        names.sort_by(|one, other| one.as_str().cmp(other.as_str()));
        names.dedup();
        let delay = moments.came - moments.asked;
        let mut headers = headers.clone();
        let initial_age = initial_age(&headers, moments.now, delay);
        headers.remove(header::AGE);
        if !headers.contains_key(header::DATE) {
            let date = httpdate::fmt_http_date(moments.now);
            headers.insert(header::DATE, HeaderValue::from_str(&date).ok()?);
        }
        Some(Self {
            source: asked.source.clone(),
            variant: asked.variant(names)?,
            status,
            headers,
            rules,
            initial_age,
            came: moments.came,
        })
    }

    pub(crate) const fn with_body(self, body: Bytes) -> Stored {
        Stored { head: self, body }
    }
}

impl Stored {
    /// Whether it was made for such a request (RFC 9111, section 4.1).
    pub(crate) fn is_for(&self, asked: &Asked<'_>) -> bool {
        let head = &self.head;
        let may_see = head.rules.for_everybody || !asked.is_personal;
        let mut variant = head.variant.iter();
        may_see
            && head.source == asked.source
            && variant.all(|(name, value)| asked.value(name) == *value)
    }

    /// Whether it stands in the place of `other`.
    pub(crate) fn replaces(&self, other: &Self) -> bool {
        self.head.source == other.head.source && self.head.variant == other.head.variant
    }

    fn age(&self) -> Duration {
        self.head.initial_age + self.head.came.elapsed()
    }

    /// Seconds that it is still fresh; negative ones when it is stale.
    pub(crate) fn seconds_left(&self) -> i64 {
        let seconds = |duration: Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
        seconds(self.head.rules.lifetime).saturating_sub(seconds(self.age()))
    }

    /// Whether it may be given out without asking (RFC 9111, section 4.2, and what the client wants
    /// of section 5.2.1).
    pub(crate) fn satisfies(&self, asked: &Asked<'_>) -> bool {
        let (wanted, rules, age) = (&asked.directives, &self.head.rules, self.age());
        if wanted.no_cache
            || rules.validates_always
            || wanted.max_age.is_some_and(|most| age > most)
        {
            return false;
        }
        let fresh_for = wanted.min_fresh.unwrap_or_default();
        let tolerated = match (rules.never_stale, wanted.max_stale) {
            (false, Some(tolerated)) => tolerated,
            _ => Duration::ZERO,
        };
        age + fresh_for < rules.lifetime + tolerated
    }

    /// Whether it may stand in for an answer that cannot be had (RFC 5861, section 4).
    pub(crate) fn stands_in(&self) -> bool {
        let rules = &self.head.rules;
        !rules.stale_if_error.is_zero() && self.age() < rules.lifetime + rules.stale_if_error
    }

    /// What the service is asked by whether it still holds (RFC 9111, section 4.3.1).
    pub(crate) fn validators(&self) -> Vec<(http::HeaderName, http::HeaderValue)> {
        let pairs = [
            (header::ETAG, http::header::IF_NONE_MATCH),
            (header::LAST_MODIFIED, http::header::IF_MODIFIED_SINCE),
        ];
        let validators = pairs.into_iter().filter_map(|(from, to)| {
            let value = self.head.headers.get(from)?;
            let value = http::HeaderValue::from_bytes(value.as_bytes()).ok()?;
            Some((to, value))
        });
        validators.collect()
    }

    /// Whether the service can be asked that.
    pub(crate) fn has_validators(&self) -> bool {
        let headers = &self.head.headers;
        headers.contains_key(header::ETAG) || headers.contains_key(header::LAST_MODIFIED)
    }

    /// Whether others can use it without asking.
    pub(crate) fn is_fresh(&self) -> bool {
        !self.head.rules.validates_always && self.age() < self.head.rules.lifetime
    }

    /// Whether a 304 with these headers is about this answer (RFC 9111, section 4.3.4).
    pub(crate) fn is_confirmed_by(&self, headers: &HeaderMap) -> bool {
        let own = &self.head.headers;
        match (headers.get(header::ETAG), own.get(header::ETAG)) {
            (Some(new), Some(old)) => opaque(new.as_bytes()) == opaque(old.as_bytes()),
            (Some(_), None) => false,
            (None, _) => true,
        }
    }

    /// The answer as a 304 with these headers renews it, and whether it may still be kept.
    pub(crate) fn renewed(
        &self,
        asked: &Asked<'_>,
        headers: &HeaderMap,
        policy: &CachePolicy,
        moments: Moments,
    ) -> (Self, bool) {
        let mut merged = self.head.headers.clone();
        // Without a date of its own the 304 is of this moment.
        merged.remove(header::DATE);
        for name in headers.keys() {
            if OF_THE_BODY.contains(&name.as_str()) {
                continue;
            }
            merged.remove(name);
            for value in headers.get_all(name) {
                merged.append(name.clone(), value.clone());
            }
        }
        let status = self.head.status;
        let kept = StoredHead::of(asked, status, &merged, policy, moments);
        let may_be_kept = kept.is_some();
        let head = kept.unwrap_or_else(|| StoredHead {
            headers: merged,
            initial_age: Duration::ZERO,
            came: moments.came,
            ..self.head.clone()
        });
        (head.with_body(self.body.clone()), may_be_kept)
    }

    /// Bytes that it takes, about.
    pub(crate) fn weight(&self) -> usize {
        let headers = self.head.headers.iter();
        let headers = headers.map(|(name, value)| name.as_str().len() + value.len());
        let variant = self.head.variant.iter();
        let variant = variant.map(|(name, value)| name.as_str().len() + value.len());
        let source = self.head.source.path.len() + self.head.source.service.len();
        OVERHEAD_BYTES + self.body.len() + headers.sum::<usize>() + variant.sum::<usize>() + source
    }

    /// The answer for this client: 304 when it has it already (RFC 9110, section 13.2.2).
    pub(crate) fn draft(&self, asked: &Asked<'_>) -> Draft {
        let head = &self.head;
        let unchanged = head.status == StatusCode::OK && self.is_known_to(asked.headers());
        let bodyless = head.status == StatusCode::NO_CONTENT;
        let (status, content) = match (unchanged, bodyless, asked.is_head) {
            (true, ..) => (StatusCode::NOT_MODIFIED, Content::Empty),
            (_, true, _) => (head.status, Content::Empty),
            (_, _, true) => (head.status, Content::Announced(self.body.len() as u64)),
            _ => (head.status, Content::Bytes(self.body.clone())),
        };
        let mut draft = HttpResponse::with_body(status, content);
        *draft.headers_mut() = head.headers.clone();
        if unchanged {
            for name in OF_THE_BODY {
                draft.headers_mut().remove(name);
            }
        }
        set(&mut draft, "age", &self.age().as_secs().to_string());
        draft
    }

    fn is_known_to(&self, conditions: &HeaderMap) -> bool {
        let own = &self.head.headers;
        if conditions.contains_key(header::IF_NONE_MATCH) {
            let tag = own.get(header::ETAG).map(HeaderValue::as_bytes);
            let mut lines = conditions.get_all(header::IF_NONE_MATCH);
            return lines.any(|line| names_tag(line.as_bytes(), tag));
        }
        let known = date_of(conditions, header::IF_MODIFIED_SINCE);
        let modified = date_of(own, header::LAST_MODIFIED);
        matches!((known, modified), (Some(known), Some(modified)) if modified <= known)
    }
}

/// A tag without its mark of weakness (RFC 9110, section 8.8.3.2).
fn opaque(tag: &[u8]) -> &[u8] {
    let tag = tag.trim_ascii();
    tag.strip_prefix(b"W/").unwrap_or(tag)
}

/// Whether a line of `If-None-Match` names a tag. A tag may have commas.
fn names_tag(line: &[u8], tag: Option<&[u8]>) -> bool {
    let mut rest = line.trim_ascii();
    if rest == b"*" {
        return true;
    }
    let Some(tag) = tag.map(opaque) else {
        return false;
    };
    loop {
        rest = rest.trim_ascii_start();
        rest = rest.strip_prefix(b",").unwrap_or(rest).trim_ascii_start();
        let found = opaque(rest);
        let Some(inside) = found.strip_prefix(b"\"") else {
            return false;
        };
        let Some(end) = inside.iter().position(|byte| *byte == b'"') else {
            return false;
        };
        if found.get(..end + 2) == Some(tag) {
            return true;
        }
        rest = inside.get(end + 1..).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_found_among_others() {
        let tag = Some(&b"\"a,b\""[..]);
        for line in [
            "\"a,b\"",
            "W/\"a,b\"",
            "\"x\", \"a,b\"",
            "\"x\",W/\"a,b\"",
            "*",
        ] {
            assert!(names_tag(line.as_bytes(), tag), "{line}");
        }
        for line in ["\"a\"", "\"x\", \"b\"", "a,b", "\"a,b", "", "\"x\" \"a,b"] {
            assert!(!names_tag(line.as_bytes(), tag), "{line}");
        }
        assert!(names_tag(b"\"a\"", Some(b"W/\"a\"")));
        assert!(names_tag(b"*", None) && !names_tag(b"\"a\"", None));
    }
}
