//! The server side: nobody reaches a method who is not a service with a right to it.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use common::auth::{Principal, TokenError, TokenType, TokenVerifier};
use common::context::{REQUEST_ID_HEADER, RequestContext, TRACEPARENT_HEADER};
use common::error::ApiError;
use common::ids::StoreId;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::server::NamedService;
use tonic::{Code, Request, Status};

use super::status::status_of;
use crate::USER_TOKEN_HEADER;
use crate::deadline::{Deadline, GRPC_TIMEOUT_HEADER};

/// Longest time a call may take here, whatever its caller grants.
pub(super) const MAX_CALL: Duration = Duration::from_secs(30);

/// Who called: a service, and the user behind it if one asked.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The calling service's name.
    pub service: String,
    /// The user whose request caused the call. `None` for work that no user waits for, and when the
    /// user's token expired meanwhile.
    pub user: Option<Principal>,
}

impl Caller {
    /// The caller of a request that passed a [`Guarded`] service.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` when the request did not pass one.
    pub fn of<T>(request: &Request<T>) -> Result<&Self, Status> {
        let caller = request.extensions().get();
        caller.ok_or_else(|| Status::unauthenticated("no caller"))
    }

    /// Refuses a store in which the user behind the call has no rights: a service must not lend a
    /// user its own power.
    ///
    /// # Errors
    /// `NOT_FOUND`: whether a foreign store exists is none of the user's business.
    pub fn require_store(&self, store: StoreId) -> Result<(), Status> {
        match &self.user {
            Some(user) => user.require_store(store).map_err(|error| status_of(&error)),
            None => Ok(()),
        }
    }
}

/// A generated server behind a guard that verifies the service token, admits only the named callers,
/// opens the request's context and deadline, turns a panic into `INTERNAL` and writes the one log
/// line of the call.
#[derive(Clone)]
pub struct Guarded<S> {
    inner: S,
    guard: Arc<Guard>,
}

struct Guard {
    verifier: TokenVerifier,
    admitted: &'static [&'static str],
}

impl<S> Guarded<S> {
    /// Puts `inner` behind a guard that admits these services only.
    #[must_use]
    pub fn new(inner: S, verifier: TokenVerifier, admitted: &'static [&'static str]) -> Self {
        Self {
            inner,
            guard: Arc::new(Guard { verifier, admitted }),
        }
    }
}

impl<S: NamedService> NamedService for Guarded<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<http::Request<Body>> for Guarded<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        let guard = Arc::clone(&self.guard);
        // The service that was polled ready is the one to call.
        let next = self.inner.clone();
        let mut ready = std::mem::replace(&mut self.inner, next);
        let mut context = RequestContext::from_texts(
            text(request.headers(), REQUEST_ID_HEADER),
            text(request.headers(), TRACEPARENT_HEADER),
        );
        context.user_token = text(request.headers(), USER_TOKEN_HEADER).map(ToOwned::to_owned);
        let left = text(request.headers(), GRPC_TIMEOUT_HEADER);
        let deadline = Deadline::from_grpc_timeout(left, MAX_CALL);
        let serve = async move {
            let started = Instant::now();
            let method = request.uri().path().to_owned();
            let caller = guard.identify(request.headers()).await;
            let name = caller
                .as_ref()
                .map_or("", |caller| &caller.service)
                .to_owned();
            let response = match caller {
                Ok(caller) => {
                    request.extensions_mut().insert(caller);
                    answer(ready.call(request)).await
                }
                Err(refusal) => refusal.into_http(),
            };
            log(&method, &name, &response, started.elapsed());
            Ok(response)
        };
        Box::pin(context.scope(deadline.scope(serve)))
    }
}

async fn answer<F>(call: F) -> http::Response<Body>
where
    F: Future<Output = Result<http::Response<Body>, Infallible>>,
{
    match AssertUnwindSafe(call).catch_unwind().await {
        Ok(Ok(response)) => response,
        Ok(Err(never)) => match never {},
        // The panic itself has been reported by the panic hook.
        Err(_panic) => Status::internal("internal: Something went wrong here.").into_http(),
    }
}

impl Guard {
    async fn identify(&self, headers: &HeaderMap) -> Result<Caller, Status> {
        let token = text(headers, AUTHORIZATION.as_str())
            .and_then(|value| value.strip_prefix("Bearer "))
            .ok_or_else(|| refusal(TokenError::Missing))?;
        let principal = self.verifier.verify(token).await.map_err(refusal)?;
        let is_admitted = principal.token_type == TokenType::Service
            && self.admitted.contains(&principal.subject.as_str());
        if !is_admitted {
            return Err(status_of(&ApiError::forbidden()));
        }
        Ok(Caller {
            service: principal.subject,
            user: self.user(headers).await?,
        })
    }

    /// An expired token belongs to a user who did ask: work begun for them goes on. Anything else
    /// that does not verify is an attack or a defect.
    async fn user(&self, headers: &HeaderMap) -> Result<Option<Principal>, Status> {
        let Some(token) = text(headers, USER_TOKEN_HEADER) else {
            return Ok(None);
        };
        match self.verifier.verify(token).await {
            Ok(user) if user.token_type != TokenType::Service => Ok(Some(user)),
            Ok(_) | Err(TokenError::Expired) => Ok(None),
            Err(error) => Err(refusal(error)),
        }
    }
}

fn refusal(error: TokenError) -> Status {
    status_of(&ApiError::from(error))
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn log(method: &str, caller: &str, response: &http::Response<Body>, took: Duration) {
    // A unary success has its status in the trailers; an error has it in the headers.
    let status = response.headers().get("grpc-status");
    let code = status.map_or(Code::Ok, |code| Code::from_bytes(code.as_bytes()));
    let duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    tracing::info!(
        rpc.method = method,
        rpc.caller = caller,
        rpc.code = ?code,
        duration_ms,
        request.id = common::context::current_request_id().unwrap_or_default(),
        "call served"
    );
    if code != Code::Unimplemented {
        // Only methods that exist become labels.
        let labels = [("method", method.to_owned()), ("code", format!("{code:?}"))];
        metrics::counter!("grpc_server_calls_total", &labels).increment(1);
        metrics::histogram!("grpc_server_call_seconds", "method" => method.to_owned())
            .record(took.as_secs_f64());
    }
}
