//! What travels with a request through every hop: its id and its trace.
//!
//! The HTTP server opens a scope for each request; errors, logs, outgoing calls and events made
//! inside it read the context from here, so that no function has to hand it on.

use std::future::Future;
use std::net::IpAddr;

use actix_web::http::header::{HeaderMap, USER_AGENT};

tokio::task_local! {
    static CURRENT: RequestContext;
}

/// Header that carries the request id.
pub const REQUEST_ID_HEADER: &str = "x-request-id";
/// Longer ones are cut.
const MAX_USER_AGENT_BYTES: usize = 500;
/// Header in which proxies say whose request they pass on.
pub const FORWARDED_FOR_HEADER: &str = "x-forwarded-for";
/// Header of the W3C Trace Context recommendation.
pub const TRACEPARENT_HEADER: &str = "traceparent";

/// The id and trace of the request being served.
#[derive(Clone, Debug)]
pub struct RequestContext {
    /// Chosen by the caller or made here; shown in errors and logs.
    pub request_id: String,
    /// W3C `traceparent` of this hop's caller, or a new one.
    pub traceparent: String,
    /// The user's bearer token, when a user asked; it travels with internal calls.
    pub user_token: Option<String>,
    /// Where the request came from, as far as the connection and the headers tell.
    pub origin: Origin,
}

/// Where a request came from. What the header says is to be believed of trusted proxies only.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// The other end of the connection.
    pub peer: Option<IpAddr>,
    /// The values of `X-Forwarded-For`, joined by commas.
    pub forwarded_for: String,
    /// The first 500 bytes of `User-Agent`, if it is ASCII.
    pub user_agent: String,
}

impl Origin {
    /// Of a request with these headers over a connection from `peer`.
    #[must_use]
    pub fn of(peer: Option<IpAddr>, headers: &HeaderMap) -> Self {
        let values = headers.get_all(FORWARDED_FOR_HEADER);
        let user_agent = headers
            .get(USER_AGENT)
            .and_then(|value| value.to_str().ok());
        let user_agent = user_agent.unwrap_or_default();
        let texts: Vec<&str> = values.filter_map(|value| value.to_str().ok()).collect();
        Self {
            peer,
            forwarded_for: texts.join(","),
            user_agent: user_agent
                .get(..MAX_USER_AGENT_BYTES)
                .unwrap_or(user_agent)
                .to_owned(),
        }
    }
}

impl RequestContext {
    /// From the headers of a request. A request id that is not 1 to 128 characters of
    /// `[A-Za-z0-9._-]`, or a malformed `traceparent`, is replaced and not echoed.
    #[must_use]
    pub fn from_headers(headers: &HeaderMap) -> Self {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        Self::from_texts(text(REQUEST_ID_HEADER), text(TRACEPARENT_HEADER))
    }

    /// From the texts that another protocol carried, under the same rules.
    #[must_use]
    pub fn from_texts(request_id: Option<&str>, traceparent: Option<&str>) -> Self {
        let request_id = request_id.filter(|id| is_request_id(id));
        let traceparent = traceparent.filter(|parent| is_traceparent(parent));
        Self {
            request_id: request_id.map_or_else(new_request_id, ToOwned::to_owned),
            traceparent: traceparent.map_or_else(new_traceparent, ToOwned::to_owned),
            user_token: None,
            origin: Origin::default(),
        }
    }

    /// A context for work that no request asked for, such as a recurring job.
    #[must_use]
    pub fn background() -> Self {
        Self {
            request_id: new_request_id(),
            traceparent: new_traceparent(),
            user_token: None,
            origin: Origin::default(),
        }
    }

    /// The context of the request being served, if there is one.
    #[must_use]
    pub fn current() -> Option<Self> {
        CURRENT.try_with(Clone::clone).ok()
    }

    /// Runs `future` with this context as the current one.
    // Not an async function, which would keep `future` twice.
    pub fn scope<F: Future>(self, future: F) -> impl Future<Output = F::Output> {
        CURRENT.scope(self, future)
    }

    /// Runs `work`, which does not wait for anything, with this context as the current one.
    pub fn sync_scope<T>(self, work: impl FnOnce() -> T) -> T {
        CURRENT.sync_scope(self, work)
    }
}

/// The current request's id, if a request is being served.
#[must_use]
pub fn current_request_id() -> Option<String> {
    CURRENT.try_with(|context| context.request_id.clone()).ok()
}

fn is_request_id(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

/// Version 00 only: 2-32-16-2 lower-case hex digits, ids not all zero (W3C Trace Context, 3.2).
fn is_traceparent(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let hex = |part: &str, length: usize| {
        part.len() == length
            && part
                .bytes()
                .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    };
    let zero = |part: &str| part.bytes().all(|byte| byte == b'0');
    matches!(parts.as_slice(), ["00", trace, span, flags]
        if hex(trace, 32) && !zero(trace) && hex(span, 16) && !zero(span) && hex(flags, 2))
}

fn new_request_id() -> String {
    random_digits(&mut [0; 32]).to_owned()
}

fn new_traceparent() -> String {
    let (trace, span) = (&mut [0; 32], &mut [0; 32]);
    let span = random_digits(span).get(..16);
    let parts = [
        "00",
        random_digits(trace),
        span.unwrap_or("0000000000000001"),
        "01",
    ];
    parts.join("-")
}

/// 32 hexadecimal digits.
fn random_digits(buffer: &mut [u8; 32]) -> &str {
    uuid::Uuid::new_v4().simple().encode_lower(buffer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceparent_is_parsed_strictly() {
        assert!(is_traceparent(
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
        ));
        assert!(is_traceparent(&new_traceparent()));
        for bad in [
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "",
        ] {
            assert!(!is_traceparent(bad), "{bad}");
        }
    }

    #[test]
    fn a_hostile_request_id_is_replaced() {
        assert!(is_request_id("a1.b-c_d"));
        assert!(!is_request_id("a b"));
        assert!(!is_request_id("a\"b"));
        assert!(!is_request_id(&"a".repeat(129)));
    }
}
