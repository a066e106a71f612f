//! How one service calls another without falling with it: circuit breaker, retry with a budget,
//! deadline, bulkhead, and the HTTP and gRPC clients that are built on them; Redis, where a service can
//! do without its answer.
//!
//! Each piece is a `Params` and a small state machine that refuses nonsense in `try_new` and keeps
//! time with tokio, so that tests can turn it. Nothing here knows what the services say to each
//! other.

pub mod announcement;
pub mod backoff;
pub mod breaker;
pub mod bulkhead;
pub mod deadline;
pub mod grpc;
pub mod http_client;
pub mod identity;
pub mod lazy_redis;
pub mod retry;
pub mod retry_budget;

pub use announcement::Announcement;
pub use backoff::{Backoff, BackoffParams, Jitter};
pub use breaker::{Breaker, BreakerParams, BreakerState, CircuitOpen};
pub use bulkhead::{Bulkhead, BulkheadFull, BulkheadParams};
pub use deadline::{Deadline, DeadlineExceeded};
pub use http_client::{
    Answer, Call, CallError, Credentials, HttpClient, HttpClientParams, Target, plain_http,
};
pub use identity::Identity;
pub use lazy_redis::{LazyRedis, RedisPatience, RedisSilence};
pub use retry::{Retry, RetryParams, Verdict};
pub use retry_budget::{RetryBudget, RetryBudgetParams};

/// Header that carries the token of the user who asked, beside the calling service's own.
pub const USER_TOKEN_HEADER: &str = "x-user-token";

/// A parameter that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{parameter} {fault}")]
pub struct InvalidParams {
    /// Which one.
    pub parameter: &'static str,
    /// What is wrong with it.
    pub fault: &'static str,
}

impl InvalidParams {
    pub(crate) fn check(
        holds: bool,
        parameter: &'static str,
        fault: &'static str,
    ) -> Result<(), Self> {
        if holds {
            Ok(())
        } else {
            Err(Self { parameter, fault })
        }
    }
}
