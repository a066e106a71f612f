//! Whether an answer may be kept for others, and for how long it is as good as new (RFC 9111,
//! sections 3, 4.2 and 5.2.2; RFC 5861).

use std::time::{Duration, SystemTime};

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderMap, HeaderName};
use routing::CachePolicy;

use super::control::{Directives, seconds};

/// How an answer may be used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rules {
    /// How long it is fresh, counted from its making.
    pub(crate) lifetime: Duration,
    /// Whether it must be validated before each use.
    pub(crate) validates_always: bool,
    /// Whether it may not be used beyond its lifetime, whatever a client takes.
    pub(crate) never_stale: bool,
    /// How long after its lifetime it stands in for an answer that cannot be had.
    pub(crate) stale_if_error: Duration,
    /// Whether it is explicitly for everybody, also for those who come with credentials
    /// (section 3.5).
    pub(crate) for_everybody: bool,
}

impl Rules {
    /// The rules of an answer to a GET; `None` when it may not be kept.
    pub(crate) fn of(
        status: StatusCode,
        headers: &HeaderMap,
        policy: &CachePolicy,
    ) -> Option<Self> {
        let said = Directives::of(headers);
        let for_everybody = said.public || said.s_maxage.is_some();
        if said.no_store || said.private || forbidden(headers) || !is_understood(status) {
            return None;
        }
        let explicit = said.s_maxage.or(said.max_age).or_else(|| expiry(headers));
        let by_default = is_cacheable_by_default(status).then_some(policy.default_lifetime);
        let lifetime = match explicit {
            Some(lifetime) => lifetime,
            None if said.public => policy.default_lifetime,
            None => by_default?,
        };
        // Section 4.2.4; s-maxage means proxy-revalidate too (section 5.2.2.10).
        let never_stale = said.must_revalidate || said.no_cache || said.s_maxage.is_some();
        let stale_if_error = match never_stale {
            true => Duration::ZERO,
            false => said.stale_if_error.unwrap_or(policy.stale_if_error),
        };
        let rules = Self {
            lifetime,
            validates_always: said.no_cache,
            never_stale,
            stale_if_error,
            for_everybody,
        };
        let is_of_use = !rules.lifetime.is_zero() && !rules.validates_always
            || has_validator(headers)
            || !stale_if_error.is_zero();
        is_of_use.then_some(rules)
    }
}

/// What is for one caller, has no end, is a part, or differs by what nobody can name.
fn forbidden(headers: &HeaderMap) -> bool {
    let is_stream = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|text| {
            text.trim_start()
                .to_ascii_lowercase()
                .starts_with("text/event-stream")
        });
    is_stream
        || headers.contains_key(header::SET_COOKIE)
        || headers.contains_key(header::CONTENT_RANGE)
        || varies(headers).is_none()
}

/// The headers of requests by which answers differ; `None` when that cannot be said.
pub(crate) fn varies(headers: &HeaderMap) -> Option<Vec<HeaderName>> {
    let mut names = Vec::new();
    for value in headers.get_all(header::VARY) {
        for name in value.to_str().ok()?.split(',').map(str::trim) {
            match name {
                "" => {}
                "*" => return None,
                name => names.push(HeaderName::from_bytes(name.as_bytes()).ok()?),
            }
        }
    }
    Some(names)
}

/// Statuses whose meaning for a cache is known here (section 3). 206 and 304 are parts of others.
fn is_understood(status: StatusCode) -> bool {
    matches!(
        status.as_u16(),
        200 | 203 | 204 | 300..=303 | 307 | 308 | 404 | 405 | 410 | 414 | 501
    )
}

/// Statuses that a lifetime is assumed for (RFC 9110, section 15.1), without those that tell more
/// about one request than about the resource: a client could put them in the place of good answers.
fn is_cacheable_by_default(status: StatusCode) -> bool {
    matches!(
        status.as_u16(),
        200 | 203 | 204 | 300 | 301 | 308 | 404 | 410
    )
}

fn has_validator(headers: &HeaderMap) -> bool {
    headers.contains_key(header::ETAG) || headers.contains_key(header::LAST_MODIFIED)
}

/// The lifetime that `Expires` gives; none for a date that is none (section 5.3).
fn expiry(headers: &HeaderMap) -> Option<Duration> {
    let mut values = headers.get_all(header::EXPIRES);
    let expires = values.next()?.to_str().ok().and_then(date);
    let made = date_of(headers, header::DATE);
    let left = match (expires, made, values.next()) {
        (Some(expires), Some(made), None) => expires.duration_since(made).ok(),
        _ => None,
    };
    Some(left.unwrap_or_default())
}

/// A date (RFC 9110, section 5.6.7).
pub(super) fn date(text: &str) -> Option<SystemTime> {
    httpdate::parse_http_date(text).ok()
}

/// The date in a header.
pub(super) fn date_of(headers: &HeaderMap, name: HeaderName) -> Option<SystemTime> {
    headers.get(name)?.to_str().ok().and_then(date)
}

/// How old an answer is when it arrives at `now`, `delay` after it was asked for (section 4.2.3).
pub(crate) fn initial_age(headers: &HeaderMap, now: SystemTime, delay: Duration) -> Duration {
    let made = date_of(headers, header::DATE);
    let apparent = made.and_then(|made| now.duration_since(made).ok());
    let said = headers.get(header::AGE).and_then(|age| age.to_str().ok());
    let said = said.map_or(0, |age| seconds(age.trim()));
    let corrected = Duration::from_secs(said.into()) + delay;
    corrected.max(apparent.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    const NOW: &str = "Sat, 21 Nov 2026 12:00:00 GMT";

    fn policy(default_seconds: u64) -> CachePolicy {
        CachePolicy {
            default_lifetime: Duration::from_secs(default_seconds),
            stale_if_error: Duration::ZERO,
            max_body_bytes: 1,
            vary: Vec::new(),
        }
    }

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            let name = HeaderName::from_static(name);
            headers.append(name, HeaderValue::from_static(value));
        }
        headers
    }

    fn lifetime(status: u16, lines: &[(&'static str, &'static str)], default: u64) -> Option<u64> {
        let status = StatusCode::from_u16(status).unwrap();
        let rules = Rules::of(status, &headers(lines), &policy(default));
        rules.map(|rules| rules.lifetime.as_secs())
    }

    #[test]
    fn the_lifetime_is_what_the_answer_says() {
        let control = |value| ("cache-control", value);
        for (lines, expected) in [
            (vec![control("max-age=60")], Some(60)),
            (vec![control("max-age=60, s-maxage=5")], Some(5)),
            (vec![control("max-age=60"), ("expires", NOW)], Some(60)),
            (
                vec![("date", NOW), ("expires", "Sat, 21 Nov 2026 12:01:00 GMT")],
                Some(60),
            ),
            // The obsolete forms of a date are dates.
            (
                vec![
                    ("date", NOW),
                    ("expires", "Saturday, 21-Nov-26 12:01:00 GMT"),
                ],
                Some(60),
            ),
            (
                vec![("date", NOW), ("expires", "0"), ("etag", "\"a\"")],
                Some(0),
            ),
            (vec![("expires", "Sat, 21 Nov 2026 12:01:00 GMT")], None),
            (vec![], Some(9)),
            (vec![control("max-age=0")], None),
            (vec![control("max-age=0"), ("etag", "\"a\"")], Some(0)),
            (vec![control("no-cache, max-age=60")], None),
            (vec![control("no-cache"), ("etag", "\"a\"")], Some(9)),
        ] {
            assert_eq!(lifetime(200, &lines, 9), expected, "{lines:?}");
        }
        assert_eq!(lifetime(200, &[], 0), None);
    }

    #[test]
    fn what_is_not_for_others_is_not_kept() {
        let fresh = ("cache-control", "public, max-age=60");
        for line in [
            ("cache-control", "no-store"),
            ("cache-control", "Private"),
            ("cache-control", "private=\"x\""),
            ("set-cookie", "a=b"),
            ("content-range", "bytes 0-1/2"),
            ("vary", "*"),
            ("vary", "accept, *"),
            ("vary", "a b"),
            ("content-type", "Text/Event-Stream; charset=utf-8"),
        ] {
            assert_eq!(lifetime(200, &[fresh, line], 9), None, "{line:?}");
        }
    }

    #[test]
    fn a_status_decides_whether_silence_allows() {
        for (status, by_default, explicit) in [
            (200, true, true),
            (204, true, true),
            (301, true, true),
            (302, false, true),
            (404, true, true),
            (405, false, true),
            (414, false, true),
            (501, false, true),
            (206, false, false),
            (304, false, false),
            (400, false, false),
            (403, false, false),
            (431, false, false),
            (500, false, false),
            (503, false, false),
        ] {
            assert_eq!(lifetime(status, &[], 9).is_some(), by_default, "{status}");
            let lines = [("cache-control", "max-age=60")];
            assert_eq!(lifetime(status, &lines, 9).is_some(), explicit, "{status}");
        }
    }

    #[test]
    fn the_age_counts_every_way_that_the_answer_has_come() {
        let now = date("Sat, 21 Nov 2026 12:00:30 GMT").unwrap();
        let delay = Duration::from_secs(2);
        for (lines, expected) in [
            (vec![], 2),
            (vec![("age", "10")], 12),
            (vec![("date", NOW)], 30),
            (vec![("date", NOW), ("age", "50")], 52),
            (vec![("date", "Sat, 21 Nov 2026 13:00:00 GMT")], 2),
            (vec![("age", "soon")], 2),
            (vec![("age", "99999999999999999999")], 2_147_483_650),
        ] {
            let age = initial_age(&headers(&lines), now, delay);
            assert_eq!(age.as_secs(), expected, "{lines:?}");
        }
    }
}
