//! The HTTP client of the services: every call has a deadline, a breaker and a bulkhead per
//! neighbour, carries the service's token, the request id and the trace, and is repeated only when
//! that is safe and the budget allows it.

mod answer;
mod call;
mod transport;

use std::sync::Arc;
use std::time::Duration;

use common::auth::TokenSource;
use reqwest::{Method, Url};

pub use answer::{Answer, CallError};
pub use call::{Call, Credentials};
pub use transport::plain_http;

use crate::InvalidParams;
use crate::backoff::Jitter;
use crate::breaker::{Breaker, BreakerParams};
use crate::bulkhead::{Bulkhead, BulkheadParams};
use crate::retry::{Retry, RetryParams};
use transport::Transport;

/// How the client behaves towards each neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpClientParams {
    /// Longest time to connect; default 1 s.
    pub connect_timeout: Duration,
    /// Longest time of one attempt, its whole answer included; default 5 s.
    pub attempt_timeout: Duration,
    /// Longest time of all attempts together; default 10 s. The current deadline cuts it.
    pub total_timeout: Duration,
    /// Largest answer that is read; default 8 MiB.
    pub max_answer_bytes: usize,
    /// When to stop calling.
    pub breaker: BreakerParams,
    /// How many calls at a time.
    pub bulkhead: BulkheadParams,
    /// When to repeat what may be repeated.
    pub retry: RetryParams,
}

impl Default for HttpClientParams {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(1),
            attempt_timeout: Duration::from_secs(5),
            total_timeout: Duration::from_secs(10),
            max_answer_bytes: 8 << 20,
            breaker: BreakerParams::default(),
            bulkhead: BulkheadParams::default(),
            retry: RetryParams::default(),
        }
    }
}

impl HttpClientParams {
    fn validate(&self) -> Result<(), InvalidParams> {
        let check = InvalidParams::check;
        check(
            !self.connect_timeout.is_zero(),
            "http_client.connect_timeout",
            "must not be zero",
        )?;
        check(
            !self.attempt_timeout.is_zero(),
            "http_client.attempt_timeout",
            "must not be zero",
        )?;
        check(
            self.total_timeout >= self.attempt_timeout,
            "http_client.total_timeout",
            "must not be below attempt_timeout",
        )?;
        check(
            self.max_answer_bytes > 0,
            "http_client.max_answer_bytes",
            "must not be zero",
        )
    }
}

/// A client with its connections. Clones share them.
#[derive(Clone)]
pub struct HttpClient {
    params: HttpClientParams,
    transport: Transport,
    tokens: Option<Arc<dyn TokenSource>>,
}

impl HttpClient {
    /// A client that calls without a token of its own.
    ///
    /// # Errors
    /// When a parameter makes no sense.
    pub fn try_new(params: HttpClientParams) -> Result<Self, InvalidParams> {
        params.validate()?;
        Ok(Self {
            params,
            transport: Transport::new(params.connect_timeout),
            tokens: None,
        })
    }

    /// The same client, which calls in the name of this service.
    #[must_use]
    pub fn with_tokens(mut self, tokens: Arc<dyn TokenSource>) -> Self {
        self.tokens = Some(tokens);
        self
    }

    /// A neighbour with a breaker, a bulkhead and a retry budget of its own. Make one per neighbour
    /// and keep it; `name` labels its metrics.
    ///
    /// # Errors
    /// When `base_url` is not an `http://` or `https://` address, or a parameter makes no sense.
    pub fn target(&self, name: &str, base_url: &str) -> Result<Target, InvalidParams> {
        let base = base_url.trim_end_matches('/').to_owned();
        let usable = Url::parse(&base).is_ok_and(|url| {
            matches!(url.scheme(), "http" | "https") && url.query().is_none() && url.has_host()
        });
        InvalidParams::check(usable, "base_url", "must be an http:// or https:// address")?;
        Ok(Target(Arc::new(Neighbour {
            name: name.to_owned(),
            base,
            client: self.clone(),
            breaker: Breaker::try_new(name, self.params.breaker)?,
            bulkhead: Bulkhead::try_new(self.params.bulkhead)?,
            retry: Retry::try_new(self.params.retry, Jitter::from_entropy())?,
        })))
    }
}

struct Neighbour {
    name: String,
    base: String,
    client: HttpClient,
    breaker: Breaker,
    bulkhead: Bulkhead,
    retry: Retry,
}

/// One neighbour to call. Clones share its breaker, bulkhead and budget.
#[derive(Clone)]
pub struct Target(Arc<Neighbour>);

impl Target {
    /// Starts a call of `path`, which begins with `/`.
    pub fn call(&self, method: Method, path: &str) -> Call {
        Call::new(self.clone(), method, path)
    }

    /// Starts a `GET`.
    pub fn get(&self, path: &str) -> Call {
        self.call(Method::GET, path)
    }

    /// Starts a `POST`.
    pub fn post(&self, path: &str) -> Call {
        self.call(Method::POST, path)
    }

    /// Starts a `PUT`.
    pub fn put(&self, path: &str) -> Call {
        self.call(Method::PUT, path)
    }

    /// The neighbour's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Its breaker, to show in a health check.
    #[must_use]
    pub fn breaker(&self) -> &Breaker {
        &self.0.breaker
    }
}

#[cfg(test)]
mod tests;
