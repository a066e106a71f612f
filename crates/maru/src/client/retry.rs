//! When a failed call is tried again, and how long it waits before.

use std::time::Duration;

use rand::RngExt as _;
use reqwest::StatusCode;
use reqwest::header::{HeaderMap, RETRY_AFTER};

/// How patient a client is.
#[derive(Clone, Copy, Debug)]
pub struct RetryPolicy {
    /// Wait before the first repetition; doubles with each further one.
    pub first_wait: Duration,
    /// Longest wait between two attempts, unless the server asks for more.
    pub longest_wait: Duration,
    /// After this time without an answer a call gives up.
    pub patience: Duration,
    /// Longest silence of the server within one attempt.
    pub answer_timeout: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            first_wait: Duration::from_millis(100),
            longest_wait: Duration::from_secs(5),
            patience: Duration::from_secs(60),
            answer_timeout: Duration::from_secs(30),
        }
    }
}

impl RetryPolicy {
    /// The wait before repetition number `repetition` (from 0): exponential with full jitter over
    /// its upper half, so that many clients do not come back in step.
    pub(crate) fn wait(&self, repetition: u32) -> Duration {
        let doubled = self.first_wait.saturating_mul(1 << repetition.min(16));
        let ceiling = doubled.min(self.longest_wait);
        ceiling.mul_f64(rand::rng().random_range(0.5..=1.0))
    }
}

/// Whether sending the same request again may help and cannot do harm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeat {
    /// The server did nothing: always safe.
    Safe,
    /// The server may have done it: safe only for a repeatable call.
    IfRepeatable,
    /// The answer is final.
    Never,
}

/// Judges an answer by its status (RFC 9110, section 15; RFC 6585, section 4). A 409 that names a
/// time is a request with the same idempotency key still in flight.
pub(super) fn judge(status: StatusCode, headers: &HeaderMap) -> Repeat {
    match status {
        StatusCode::TOO_MANY_REQUESTS => Repeat::Safe,
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
            Repeat::IfRepeatable
        }
        StatusCode::CONFLICT if headers.contains_key(RETRY_AFTER) => Repeat::IfRepeatable,
        _ => Repeat::Never,
    }
}

/// Judges a failure without an answer.
pub(super) fn judge_failure(error: &reqwest::Error) -> Repeat {
    if error.is_connect() {
        Repeat::Safe
    } else if error.is_builder() {
        Repeat::Never
    } else {
        Repeat::IfRepeatable
    }
}

/// The wait that the server asks for, in whole seconds (RFC 9110, section 10.2.3). The form with a
/// date is not used by Maru and is ignored.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?;
    text.trim().parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_jitter_over_their_upper_half() {
        let policy = RetryPolicy {
            first_wait: Duration::from_millis(100),
            longest_wait: Duration::from_millis(500),
            ..RetryPolicy::default()
        };
        for (repetition, ceiling) in [(0, 100), (1, 200), (2, 400), (3, 500), (60, 500)] {
            let wait = policy.wait(repetition);
            assert!(
                wait <= Duration::from_millis(ceiling),
                "{repetition}: {wait:?}"
            );
            assert!(
                wait >= Duration::from_millis(ceiling / 2),
                "{repetition}: {wait:?}"
            );
        }
    }

    #[test]
    fn only_answers_that_may_change_are_repeated() {
        let none = HeaderMap::new();
        let mut later = HeaderMap::new();
        later.insert(RETRY_AFTER, "1".parse().unwrap());
        for (status, headers, expected) in [
            (429, &none, Repeat::Safe),
            (503, &none, Repeat::IfRepeatable),
            (504, &none, Repeat::IfRepeatable),
            (502, &none, Repeat::IfRepeatable),
            (409, &later, Repeat::IfRepeatable),
            (409, &none, Repeat::Never),
            (500, &none, Repeat::Never),
            (422, &later, Repeat::Never),
            (201, &none, Repeat::Never),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(judge(status, headers), expected, "{status}");
        }
        assert_eq!(retry_after(&later), Some(Duration::from_secs(1)));
    }
}
