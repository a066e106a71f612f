//! Until when an answer is of use. It travels with the request, so that a service does not work
//! for a caller who has given up.
//!
//! On the wire it is the time left, not a time of day: the clocks of two machines differ.

use std::future::Future;
use std::time::Duration;

use tokio::time::Instant;

tokio::task_local! {
    static CURRENT: Deadline;
}

/// Header that carries the milliseconds left over HTTP.
pub const DEADLINE_HEADER: &str = "x-request-deadline-ms";
/// Header that carries the time left over gRPC.
pub const GRPC_TIMEOUT_HEADER: &str = "grpc-timeout";

/// The time is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the deadline has passed")]
pub struct DeadlineExceeded;

/// A point in time after which nobody waits for the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

impl Deadline {
    /// This long from now; a year at most.
    #[must_use]
    pub fn after(time: Duration) -> Self {
        const YEAR: Duration = Duration::from_secs(365 * 24 * 3_600);
        Self(Instant::now() + time.min(YEAR))
    }

    /// The deadline of the request being served, if it has one.
    #[must_use]
    pub fn current() -> Option<Self> {
        CURRENT.try_with(|deadline| *deadline).ok()
    }

    /// This long from now, or the current request's deadline if that is sooner.
    #[must_use]
    pub fn within(time: Duration) -> Self {
        let own = Self::after(time);
        Self::current().map_or(own, |current| current.min(own))
    }

    /// The time left; zero when it has passed.
    #[must_use]
    pub fn remaining(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// Whether it has passed.
    #[must_use]
    pub fn has_passed(self) -> bool {
        self.remaining().is_zero()
    }

    /// As an instant, for timers.
    #[must_use]
    pub const fn as_instant(self) -> Instant {
        self.0
    }

    /// Runs `future` with this deadline as the current one, without enforcing it.
    pub async fn scope<F: Future>(self, future: F) -> F::Output {
        CURRENT.scope(self, future).await
    }

    /// Runs `future` until it ends or the time is up; then it is dropped.
    ///
    /// # Errors
    /// When the time is up.
    pub async fn enforce<F: Future>(self, future: F) -> Result<F::Output, DeadlineExceeded> {
        tokio::time::timeout_at(self.0, future)
            .await
            .map_err(|_elapsed| DeadlineExceeded)
    }

    /// The value of [`DEADLINE_HEADER`]: whole milliseconds left, rounded down.
    #[must_use]
    pub fn to_header(self) -> String {
        self.remaining().as_millis().to_string()
    }

    /// Reads [`DEADLINE_HEADER`], never granting more than `max`. A missing or malformed value
    /// means `max`: a caller cannot harm itself or others by it.
    #[must_use]
    pub fn from_header(text: Option<&str>, max: Duration) -> Self {
        let asked = text.and_then(|text| text.parse().ok());
        Self::after(asked.map_or(max, Duration::from_millis).min(max))
    }

    /// The value of [`GRPC_TIMEOUT_HEADER`]: at most eight digits and a unit
    /// (gRPC over HTTP/2, "Requests").
    #[must_use]
    pub fn to_grpc_timeout(self) -> String {
        let left = self.remaining();
        let micros = left.as_micros();
        if micros < 100_000_000 {
            return format!("{micros}u");
        }
        let millis = left.as_millis();
        if millis < 100_000_000 {
            return format!("{millis}m");
        }
        format!("{}S", left.as_secs())
    }

    /// Reads [`GRPC_TIMEOUT_HEADER`], never granting more than `max`; malformed means `max`.
    #[must_use]
    pub fn from_grpc_timeout(text: Option<&str>, max: Duration) -> Self {
        let asked = text.and_then(parse_grpc_timeout);
        Self::after(asked.unwrap_or(max).min(max))
    }
}

fn parse_grpc_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if !(1..=8).contains(&digits.len()) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let value: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(value * 3_600)),
        "M" => Some(Duration::from_secs(value * 60)),
        "S" => Some(Duration::from_secs(value)),
        "m" => Some(Duration::from_millis(value)),
        "u" => Some(Duration::from_micros(value)),
        "n" => Some(Duration::from_nanos(value)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: Duration = Duration::from_secs(30);

    #[tokio::test(start_paused = true)]
    async fn the_sooner_deadline_counts() {
        Deadline::after(Duration::from_secs(2))
            .scope(async {
                let sooner = Deadline::within(Duration::from_secs(1));
                assert_eq!(sooner.remaining(), Duration::from_secs(1));
                let cut = Deadline::within(Duration::from_secs(9));
                assert_eq!(cut.remaining(), Duration::from_secs(2));
            })
            .await;
        assert_eq!(Deadline::current(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn work_ends_when_the_time_is_up() {
        let deadline = Deadline::after(Duration::from_millis(100));
        assert_eq!(deadline.enforce(async { 7 }).await, Ok(7));
        let endless = std::future::pending::<()>();
        assert_eq!(deadline.enforce(endless).await, Err(DeadlineExceeded));
        assert!(deadline.has_passed());
        assert_eq!(deadline.to_header(), "0");
    }

    #[tokio::test(start_paused = true)]
    async fn headers_round_trip_and_never_grant_more_than_the_maximum() {
        let deadline = Deadline::after(Duration::from_millis(1_234));
        assert_eq!(
            Deadline::from_header(Some(&deadline.to_header()), MAX),
            deadline
        );
        assert_eq!(
            Deadline::from_grpc_timeout(Some(&deadline.to_grpc_timeout()), MAX),
            deadline
        );
        for (text, expected) in [
            (Some("0"), Duration::ZERO),
            (Some("99999999"), MAX),
            (Some("-1"), MAX),
            (Some("soon"), MAX),
            (None, MAX),
        ] {
            assert_eq!(Deadline::from_header(text, MAX).remaining(), expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn grpc_timeouts_follow_the_protocol() {
        for (text, expected) in [
            ("1H", Some(Duration::from_secs(3_600))),
            ("2M", Some(Duration::from_secs(120))),
            ("3S", Some(Duration::from_secs(3))),
            ("4m", Some(Duration::from_millis(4))),
            ("5u", Some(Duration::from_micros(5))),
            ("6n", Some(Duration::from_nanos(6))),
            ("123456789m", None),
            ("m", None),
            ("+1m", None),
            ("1x", None),
            ("1é", None),
            ("", None),
        ] {
            assert_eq!(parse_grpc_timeout(text), expected, "{text}");
        }
        for (left, expected) in [
            (Duration::from_micros(99_999_999), "99999999u"),
            (Duration::from_secs(100), "100000m"),
            (Duration::from_secs(200_000), "200000S"),
        ] {
            assert_eq!(Deadline::after(left).to_grpc_timeout(), expected);
        }
    }
}
