//! How answers of a route are kept for others who ask the same (RFC 9111).

use std::time::Duration;

use http::HeaderName;

use crate::file::CacheIn;

/// Longest lifetime that a route may give, in seconds: a year.
const MAX_SECONDS: u64 = 31_536_000;

/// Largest answer that a route may keep, in bytes.
const MAX_BODY_BYTES: u64 = 64 * 1024 * 1024;

/// How answers of a route are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CachePolicy {
    /// How long an answer is fresh that does not say it (RFC 9111, section 4.2.2).
    pub default_lifetime: Duration,
    /// How long after that an answer stands in for one that cannot be had, unless it says otherwise
    /// (RFC 5861, section 4).
    pub stale_if_error: Duration,
    /// Largest body that is kept, in bytes.
    pub max_body_bytes: u64,
    /// Request headers by which answers differ, beside those that an answer's `Vary` names.
    pub vary: Vec<HeaderName>,
}

impl CachePolicy {
    /// `fault` is told of a field and what is expected.
    pub(crate) fn compile(input: &CacheIn, mut fault: impl FnMut(String, String)) -> Self {
        let seconds = [
            ("default_seconds", input.default_seconds),
            ("stale_if_error_seconds", input.stale_if_error_seconds),
        ];
        let [default_lifetime, stale_if_error] = seconds.map(|(field, seconds)| {
            if seconds > MAX_SECONDS {
                let message = format!("must not be above {MAX_SECONDS}");
                fault(field.to_owned(), message);
            }
            Duration::from_secs(seconds)
        });
        if !(1..=MAX_BODY_BYTES).contains(&input.max_body_bytes) {
            let message = format!("must be from 1 to {MAX_BODY_BYTES}");
            fault("max_body_bytes".to_owned(), message);
        }
        let mut vary = Vec::new();
        for (index, name) in input.vary.iter().enumerate() {
            match HeaderName::from_bytes(name.as_bytes()) {
                Ok(name) if name.as_str() != "*" => vary.push(name),
                _ => fault(format!("vary[{index}]"), "must be a header name".to_owned()),
            }
        }
        Self {
            default_lifetime,
            stale_if_error,
            max_body_bytes: input.max_body_bytes,
            vary,
        }
    }
}
