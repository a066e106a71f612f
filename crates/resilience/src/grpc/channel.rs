//! The client side: deadline, bulkhead, breaker and identity around a lazily connected channel.

use std::error::Error as _;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use common::auth::TokenSource;
use common::context::{REQUEST_ID_HEADER, RequestContext, TRACEPARENT_HEADER};
use futures_util::future::BoxFuture;
use http::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status, TimeoutExpired};

use super::body::{WatchedBody, code_in};
use crate::breaker::{Breaker, BreakerParams};
use crate::bulkhead::{Bulkhead, BulkheadParams};
use crate::deadline::{Deadline, GRPC_TIMEOUT_HEADER};
use crate::{InvalidParams, USER_TOKEN_HEADER};

/// How a channel behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChannelParams {
    /// Longest time to connect; default 1 s.
    pub connect_timeout: Duration,
    /// Longest time of a call, its whole answer included; default 5 s. The current deadline cuts it.
    pub call_timeout: Duration,
    /// A connection that carries calls is pinged this often; default 10 s.
    pub keep_alive_interval: Duration,
    /// A connection whose ping is not answered in this time is given up; default 3 s.
    pub keep_alive_timeout: Duration,
    /// When to stop calling.
    pub breaker: BreakerParams,
    /// How many calls at a time.
    pub bulkhead: BulkheadParams,
}

impl Default for ChannelParams {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(1),
            call_timeout: Duration::from_secs(5),
            keep_alive_interval: Duration::from_secs(10),
            keep_alive_timeout: Duration::from_secs(3),
            breaker: BreakerParams::default(),
            bulkhead: BulkheadParams::default(),
        }
    }
}

impl ChannelParams {
    fn validate(&self) -> Result<(), InvalidParams> {
        for (parameter, value) in [
            ("grpc.connect_timeout", self.connect_timeout),
            ("grpc.call_timeout", self.call_timeout),
            ("grpc.keep_alive_interval", self.keep_alive_interval),
            ("grpc.keep_alive_timeout", self.keep_alive_timeout),
        ] {
            InvalidParams::check(!value.is_zero(), parameter, "must not be zero")?;
        }
        Ok(())
    }
}

/// A channel to one neighbour. Clones share its connection, breaker and bulkhead.
///
/// It adds the service's token, the request id, the trace, the user's token and the time left to
/// every call. It does not repeat calls: whoever keeps the state of a saga knows when that is safe
/// (see [`crate::Retry`]).
#[derive(Clone)]
pub struct GrpcChannel(Arc<Neighbour>);

struct Neighbour {
    channel: Channel,
    call_timeout: Duration,
    breaker: Breaker,
    bulkhead: Bulkhead,
    tokens: Option<Arc<dyn TokenSource>>,
}

impl GrpcChannel {
    /// A channel that connects with the first call. Needs a running tokio runtime, which the
    /// connection lives on.
    ///
    /// # Errors
    /// When `url` is not an `http://` address or a parameter makes no sense. TLS between services
    /// is the network's business (a service mesh), not this channel's.
    pub fn try_new(
        name: &str,
        url: &str,
        params: ChannelParams,
        tokens: Option<Arc<dyn TokenSource>>,
    ) -> Result<Self, InvalidParams> {
        params.validate()?;
        let fault = InvalidParams {
            parameter: "grpc.url",
            fault: "must be an http:// address",
        };
        if !url.starts_with("http://") {
            return Err(fault);
        }
        let endpoint = Endpoint::from_shared(url.to_owned()).map_err(|_unusable| fault)?;
        let channel = endpoint
            .connect_timeout(params.connect_timeout)
            .tcp_nodelay(true)
            // Without pings a neighbour that vanished without a word is noticed by timeouts only.
            .http2_keep_alive_interval(params.keep_alive_interval)
            .keep_alive_timeout(params.keep_alive_timeout)
            .connect_lazy();
        Ok(Self(Arc::new(Neighbour {
            channel,
            call_timeout: params.call_timeout,
            breaker: Breaker::try_new(name, params.breaker)?,
            bulkhead: Bulkhead::try_new(params.bulkhead)?,
            tokens,
        })))
    }

    /// Its breaker, to show in a health check.
    #[must_use]
    pub fn breaker(&self) -> &Breaker {
        &self.0.breaker
    }
}

impl Service<http::Request<Body>> for GrpcChannel {
    type Response = http::Response<WatchedBody>;
    type Error = Status;
    type Future = BoxFuture<'static, Result<Self::Response, Status>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        // The wait for the connection belongs under the deadline, so it happens in the call.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let neighbour = Arc::clone(&self.0);
        Box::pin(async move { neighbour.call(request).await })
    }
}

impl Neighbour {
    async fn call(
        &self,
        mut request: http::Request<Body>,
    ) -> Result<http::Response<WatchedBody>, Status> {
        let asked = request.headers().get(GRPC_TIMEOUT_HEADER);
        let asked = asked.and_then(|value| value.to_str().ok());
        let own = Deadline::from_grpc_timeout(asked, self.call_timeout);
        let deadline = Deadline::current().map_or(own, |current| current.min(own));

        // Our own waits come first: they say nothing of the neighbour.
        let place = in_time(deadline, self.bulkhead.acquire())
            .await?
            .map_err(|full| unsent(Code::ResourceExhausted, full))?;
        in_time(deadline, self.add_headers(request.headers_mut(), deadline)).await??;
        let permit = self
            .breaker
            .try_acquire()
            .map_err(|open| unsent(Code::Unavailable, open))?;

        let mut channel = self.channel.clone();
        let exchange = async {
            poll_fn(|cx| channel.poll_ready(cx)).await?;
            channel.call(request).await
        };
        match deadline.enforce(exchange).await {
            Ok(Ok(response)) if is_end_of_time(response.headers(), deadline) => {
                permit.failed();
                Err(timed_out())
            }
            Ok(Ok(response)) => Ok(WatchedBody::new(response, deadline, permit, place)),
            Ok(Err(error)) => {
                permit.failed();
                match error.source() {
                    // tonic keeps the same time, and may be first by a hair.
                    Some(source) if source.is::<TimeoutExpired>() => Err(timed_out()),
                    _ => Err(Status::from_error(error.into())),
                }
            }
            Err(_passed) => {
                permit.failed();
                Err(timed_out())
            }
        }
    }

    async fn add_headers(&self, headers: &mut HeaderMap, deadline: Deadline) -> Result<(), Status> {
        put(headers, GRPC_TIMEOUT_HEADER, &deadline.to_grpc_timeout())?;
        if let Some(context) = RequestContext::current() {
            put(headers, REQUEST_ID_HEADER, &context.request_id)?;
            put(headers, TRACEPARENT_HEADER, &context.traceparent)?;
            if let Some(token) = &context.user_token {
                put(headers, USER_TOKEN_HEADER, token)?;
            }
        }
        if let Some(tokens) = &self.tokens {
            let token = tokens.token().await;
            let token = token.map_err(|error| unsent(Code::Unavailable, error))?;
            put(headers, AUTHORIZATION.as_str(), &format!("Bearer {token}"))?;
        }
        Ok(())
    }
}

fn put(headers: &mut HeaderMap, name: &'static str, value: &str) -> Result<(), Status> {
    let mut value = HeaderValue::from_str(value)
        .map_err(|_invalid| Status::internal(format!("{name} cannot be sent")))?;
    value.set_sensitive(name == AUTHORIZATION || name == USER_TOKEN_HEADER);
    headers.insert(name, value);
    Ok(())
}

/// Nothing was sent; [`super::is_unsent`] recognizes it by its source.
fn unsent(code: Code, error: impl std::error::Error + Send + Sync + 'static) -> Status {
    let mut status = Status::new(code, error.to_string());
    status.set_source(Arc::new(error));
    status
}

/// The neighbour's tonic keeps the time that we grant it, too, and then answers `CANCELLED`.
fn is_end_of_time(headers: &HeaderMap, deadline: Deadline) -> bool {
    const CLOSE: Duration = Duration::from_millis(20);
    code_in(headers) == Some(Code::Cancelled) && deadline.remaining() < CLOSE
}

async fn in_time<F: Future>(deadline: Deadline, future: F) -> Result<F::Output, Status> {
    deadline
        .enforce(future)
        .await
        .map_err(|_passed| timed_out())
}

pub(super) fn timed_out() -> Status {
    Status::deadline_exceeded("the neighbour did not answer in time")
}
