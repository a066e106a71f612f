//! `Cache-Control` of both sides (RFC 9111, section 5.2): all its lines, in any letter case, with
//! arguments in quotes. What cannot be read is taken for `no-store`.

use std::time::Duration;

use actix_web::http::header::{self, HeaderMap};

/// What RFC 9111, section 1.2.2 lets stand for every larger number of seconds.
const MAX_SECONDS: u32 = 2_147_483_648;

/// The directives that mean something to a shared cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Directives {
    pub(crate) no_store: bool,
    pub(crate) no_cache: bool,
    pub(crate) private: bool,
    pub(crate) public: bool,
    /// `must-revalidate` or `proxy-revalidate`.
    pub(crate) must_revalidate: bool,
    pub(crate) only_if_cached: bool,
    pub(crate) max_age: Option<Duration>,
    pub(crate) s_maxage: Option<Duration>,
    pub(crate) min_fresh: Option<Duration>,
    /// Without an argument, any.
    pub(crate) max_stale: Option<Duration>,
    pub(crate) stale_if_error: Option<Duration>,
}

impl Directives {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let mut directives = Self::default();
        let mut lines = headers.get_all(header::CACHE_CONTROL).peekable();
        if lines.peek().is_none() {
            // RFC 9111, section 5.4, for those who know nothing newer.
            let pragma = headers.get_all(header::PRAGMA);
            let mut pragma = pragma.filter_map(|value| value.to_str().ok());
            directives.no_cache = pragma.any(|value| value.eq_ignore_ascii_case("no-cache"));
            return directives;
        }
        for line in lines {
            let items = line.to_str().ok().and_then(items);
            let Some(items) = items else {
                directives.no_store = true;
                continue;
            };
            for item in items {
                directives.take(item);
            }
        }
        directives
    }

    fn take(&mut self, item: &str) {
        let (name, argument) = match item.split_once('=') {
            Some((name, argument)) => (name.trim(), Some(argument.trim().trim_matches('"'))),
            None => (item.trim(), None),
        };
        let name = name.to_ascii_lowercase();
        let seconds = argument.map_or(0, seconds);
        match name.as_str() {
            "no-store" => self.no_store = true,
            // With field names it means only these; all of the answer is on the safe side.
            "no-cache" => self.no_cache = true,
            "private" => self.private = true,
            "public" => self.public = true,
            "must-revalidate" | "proxy-revalidate" => self.must_revalidate = true,
            "only-if-cached" => self.only_if_cached = true,
            "max-age" => narrow(&mut self.max_age, seconds),
            "s-maxage" => narrow(&mut self.s_maxage, seconds),
            "stale-if-error" => narrow(&mut self.stale_if_error, seconds),
            "max-stale" if argument.is_none() => narrow(&mut self.max_stale, MAX_SECONDS),
            "max-stale" => narrow(&mut self.max_stale, seconds),
            "min-fresh" => self.min_fresh = self.min_fresh.max(Some(duration(seconds))),
            _ => {}
        }
    }
}

/// Two that differ make no sense together: nothing is fresh by them (section 4.2.1).
fn narrow(known: &mut Option<Duration>, seconds: u32) {
    let new = duration(seconds);
    *known = match *known {
        Some(known) if known != new => Some(Duration::ZERO),
        _ => Some(new),
    };
}

fn duration(seconds: u32) -> Duration {
    Duration::from_secs(seconds.into())
}

/// What is no number counts as none.
pub(super) fn seconds(text: &str) -> u32 {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match is_number {
        true => text
            .parse()
            .map_or(MAX_SECONDS, |seconds: u32| seconds.min(MAX_SECONDS)),
        false => 0,
    }
}

/// The members of a list, of which a comma in quotes ends none; `None` when a quote is not closed.
fn items(line: &str) -> Option<Vec<&str>> {
    let mut items = Vec::new();
    let (mut start, mut quoted, mut escaped) = (0, false, false);
    for (place, byte) in line.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b',' if !quoted => {
                items.extend(line.get(start..place));
                start = place + 1;
            }
            _ => {}
        }
    }
    items.extend(line.get(start..));
    (!quoted).then_some(items)
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{HeaderName, HeaderValue};

    use super::*;

    fn read(lines: &[&[u8]]) -> Directives {
        let mut headers = HeaderMap::new();
        for line in lines {
            let value = HeaderValue::from_bytes(line).unwrap();
            headers.append(header::CACHE_CONTROL, value);
        }
        Directives::of(&headers)
    }

    fn secs(seconds: u64) -> Option<Duration> {
        Some(Duration::from_secs(seconds))
    }

    #[test]
    fn what_forbids_is_found_however_it_is_written() {
        for lines in [
            &[&b"no-store"[..]][..],
            &[b"No-Store"],
            &[b"max-age=60, NO-STORE"],
            &[b"max-age=60", b"no-store"],
            &[b"max-age=\"60, no-store"],
            &[b"ext=\"a\\\", b\", no-store"],
            &[b"max-age=60\xff"],
        ] {
            assert!(read(lines).no_store, "{lines:?}");
        }
        assert!(read(&[b"Private=\"set-cookie, no-store\""]).private);
        assert!(!read(&[b"Private=\"set-cookie, no-store\""]).no_store);
        assert!(read(&[b"no-cache=\"x\""]).no_cache);
        assert!(!read(&[b"x-no-store, no-storeage"]).no_store);
    }

    #[test]
    fn numbers_are_read_on_the_safe_side() {
        for (line, expected) in [
            ("max-age=60", secs(60)),
            ("MAX-AGE=\"60\"", secs(60)),
            ("max-age = 60", secs(60)),
            ("max-age=60, max-age=60", secs(60)),
            ("max-age=60, max-age=3600", secs(0)),
            ("max-age=-1", secs(0)),
            ("max-age=1.5", secs(0)),
            ("max-age", secs(0)),
            ("max-age=99999999999999999999", secs(2_147_483_648)),
            ("s-maxage=5", None),
        ] {
            assert_eq!(read(&[line.as_bytes()]).max_age, expected, "{line}");
        }
        assert_eq!(read(&[b"max-stale"]).max_stale, secs(2_147_483_648));
        assert_eq!(read(&[b"max-stale=5"]).max_stale, secs(5));
        assert_eq!(read(&[b"min-fresh=5, min-fresh=9"]).min_fresh, secs(9));
    }

    #[test]
    fn pragma_counts_only_alone() {
        let name = HeaderName::from_static("pragma");
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_static("no-cache"));
        assert!(Directives::of(&headers).no_cache);
        let value = HeaderValue::from_static("max-age=1");
        headers.insert(header::CACHE_CONTROL, value);
        assert!(!Directives::of(&headers).no_cache);
    }
}
