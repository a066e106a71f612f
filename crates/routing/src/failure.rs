//! What a route does about a service that fails: how often it asks again, when it stops asking, and
//! what it answers then.

use std::time::Duration;

use http::{HeaderValue, StatusCode};

use crate::file::{BreakerIn, FallbackIn, RetriesIn};

/// Most tries of one request.
pub(crate) const MAX_ATTEMPTS: u32 = 10;

/// Longest time of a breaker or for retries, in milliseconds: an hour.
const MAX_MS: u64 = 3_600_000;

/// Shortest window in which a breaker counts, in milliseconds.
const MIN_WINDOW_MS: u64 = 10;

/// Most calls and probes that a breaker waits for.
const MAX_CALLS: u32 = 1_000_000;

/// How often a request is tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retries {
    /// Tries of one request, the first included; the service's own number when it is not said.
    pub attempts: Option<u32>,
    /// Answers after which another instance is asked; 502, 503 and 504 when it is not said. A
    /// request that must not arrive twice is not repeated in any case.
    pub statuses: Option<Vec<StatusCode>>,
    /// No try begins later than this after the first.
    pub within: Option<Duration>,
}

/// When requests of a route stop being sent to a service. What is not said is as the service's own
/// breaker has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BreakerTerms {
    /// How far back requests count.
    pub window: Option<Duration>,
    /// Fewer requests than this in the window never open it.
    pub min_calls: Option<u32>,
    /// It opens at this share of failures, 1 to 100.
    pub failure_percent: Option<u32>,
    /// How long it stays open before probing.
    pub open_for: Option<Duration>,
    /// Probes that must all succeed to close it.
    pub probes: Option<u32>,
}

/// What is answered in place of a service that cannot be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fallback {
    /// Always the same.
    Static {
        /// A final status.
        status: StatusCode,
        /// `Content-Type`.
        content_type: HeaderValue,
        /// The body.
        body: String,
    },
    /// The last good answer to the same GET, if it is not older than this.
    Cached {
        /// Its greatest age.
        max_age: Duration,
    },
    /// What this other service answers; an index into [`crate::Table::services`].
    Service(usize),
}

impl Retries {
    /// `fault` is told of a field and what is expected.
    pub(crate) fn compile(input: &RetriesIn, mut fault: impl FnMut(&str, String)) -> Self {
        if input
            .attempts
            .is_some_and(|attempts| !(1..=MAX_ATTEMPTS).contains(&attempts))
        {
            fault("attempts", format!("must be from 1 to {MAX_ATTEMPTS}"));
        }
        let mut statuses = Vec::new();
        for (index, status) in input.statuses.iter().flatten().enumerate() {
            match StatusCode::from_u16(*status) {
                Ok(status) if status == 429 || status.is_server_error() => statuses.push(status),
                _ => fault(
                    &format!("statuses[{index}]"),
                    "must be 429 or 5xx".to_owned(),
                ),
            }
        }
        Self {
            attempts: input.attempts,
            statuses: input.statuses.as_ref().map(|_| statuses),
            within: duration("within_ms", input.within_ms, 1, &mut fault),
        }
    }
}

impl BreakerTerms {
    /// `fault` is told of a field and what is expected.
    pub(crate) fn compile(input: &BreakerIn, mut fault: impl FnMut(&str, String)) -> Self {
        let counts = [
            ("min_calls", input.min_calls, MAX_CALLS),
            ("failure_percent", input.failure_percent, 100),
            ("probes", input.probes, MAX_CALLS),
        ];
        for (field, count, most) in counts {
            if count.is_some_and(|count| !(1..=most).contains(&count)) {
                fault(field, format!("must be from 1 to {most}"));
            }
        }
        Self {
            window: duration("window_ms", input.window_ms, MIN_WINDOW_MS, &mut fault),
            min_calls: input.min_calls,
            failure_percent: input.failure_percent,
            open_for: duration("open_ms", input.open_ms, 1, &mut fault),
            probes: input.probes,
        }
    }
}

impl Fallback {
    /// `service` finds a service by name; `fault` is told of a field and what is expected.
    pub(crate) fn compile(
        input: &FallbackIn,
        service: impl Fn(&str) -> Option<usize>,
        mut fault: impl FnMut(&str, String),
    ) -> Option<Self> {
        let about_the_answer = input.status.is_some() || input.content_type.is_some();
        match (&input.body, input.cached_seconds, &input.service) {
            (Some(body), None, None) => Self::fixed(input, body, fault),
            (None, Some(seconds), None) if !about_the_answer => Some(Self::Cached {
                max_age: Duration::from_secs(seconds),
            }),
            (None, None, Some(name)) if !about_the_answer => {
                let found = service(name);
                if found.is_none() {
                    fault("service", format!("there is no service `{name}`"));
                }
                found.map(Self::Service)
            }
            _ => {
                let message =
                    "is either a body with a status and content_type, cached_seconds, or a service";
                fault("", message.to_owned());
                None
            }
        }
    }

    fn fixed(input: &FallbackIn, body: &str, mut fault: impl FnMut(&str, String)) -> Option<Self> {
        let status = StatusCode::from_u16(input.status.unwrap_or(200)).ok();
        // 304 speaks of something that the client has.
        let status = status.filter(|status| {
            !status.is_informational() && *status != 304 && (*status != 204 || body.is_empty())
        });
        if status.is_none() {
            fault(
                "status",
                "must be a final status that a body goes with".to_owned(),
            );
        }
        let content_type = input.content_type.as_deref().unwrap_or("application/json");
        let content_type = HeaderValue::from_str(content_type).ok();
        if content_type.is_none() {
            fault("content_type", "must be a header value".to_owned());
        }
        Some(Self::Static {
            status: status?,
            content_type: content_type?,
            body: body.to_owned(),
        })
    }
}

fn duration(
    field: &str,
    millis: Option<u64>,
    least: u64,
    fault: &mut impl FnMut(&str, String),
) -> Option<Duration> {
    if millis.is_some_and(|millis| !(least..=MAX_MS).contains(&millis)) {
        fault(field, format!("must be from {least} to {MAX_MS}"));
    }
    millis.map(Duration::from_millis)
}
