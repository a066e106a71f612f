//! One call: described, then sent as often as is safe.

use std::error::Error as StdError;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use common::context::{REQUEST_ID_HEADER, RequestContext, TRACEPARENT_HEADER};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, StatusCode, Url};
use serde::Serialize;

use super::Target;
use super::answer::{Answer, CallError};
use crate::USER_TOKEN_HEADER;
use crate::breaker::Permit;
use crate::deadline::{DEADLINE_HEADER, Deadline};
use crate::retry::Verdict;

/// Header that makes a repeated write harmless (draft-ietf-httpapi-idempotency-key-header).
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// In whose name a call is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// This service's, with the user's token beside it when a user asked. The default of a client
    /// that has tokens.
    Service,
    /// The user's who asked: their rights decide.
    User,
    /// Nobody's. The default of a client without tokens.
    Nobody,
}

/// A call that is being described. [`Call::send`] makes it.
#[must_use = "a call does nothing until it is sent"]
pub struct Call {
    target: Target,
    method: Method,
    path: String,
    query: Vec<(String, String)>,
    headers: HeaderMap,
    body: Option<Bytes>,
    idempotent: bool,
    credentials: Credentials,
    timeout: Option<Duration>,
    fault: Option<Box<dyn StdError + Send + Sync>>,
}

impl Call {
    pub(super) fn new(target: Target, method: Method, path: &str) -> Self {
        let credentials = match target.0.client.tokens {
            Some(_) => Credentials::Service,
            None => Credentials::Nobody,
        };
        Self {
            idempotent: method.is_idempotent(),
            target,
            method,
            path: path.to_owned(),
            query: Vec::new(),
            headers: HeaderMap::new(),
            body: None,
            credentials,
            timeout: None,
            fault: None,
        }
    }

    /// Adds a query parameter.
    pub fn query(mut self, name: &str, value: impl ToString) -> Self {
        self.query.push((name.to_owned(), value.to_string()));
        self
    }

    /// Adds a header. `Idempotency-Key` also makes the call repeatable.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.idempotent |= name.eq_ignore_ascii_case(IDEMPOTENCY_KEY);
        match (name.parse::<HeaderName>(), HeaderValue::from_str(value)) {
            (Ok(name), Ok(value)) => {
                self.headers.insert(name, value);
            }
            (Err(error), _) => self.fault = Some(error.into()),
            (_, Err(error)) => self.fault = Some(error.into()),
        }
        self
    }

    /// Sends this as JSON.
    pub fn json<T: Serialize + ?Sized>(mut self, body: &T) -> Self {
        match serde_json::to_vec(body) {
            Ok(bytes) => self.body = Some(bytes.into()),
            Err(error) => self.fault = Some(error.into()),
        }
        self.content_type("application/json")
    }

    /// Sends these bytes, of this media type.
    pub fn bytes(mut self, media_type: &'static str, body: impl Into<Bytes>) -> Self {
        self.body = Some(body.into());
        self.content_type(media_type)
    }

    fn content_type(mut self, media_type: &'static str) -> Self {
        self.headers
            .insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
        self
    }

    /// Declares that repeating the call is harmless although its method does not say so.
    pub fn idempotent(mut self) -> Self {
        self.idempotent = true;
        self
    }

    /// Chooses in whose name the call is made.
    pub fn credentials(mut self, credentials: Credentials) -> Self {
        self.credentials = credentials;
        self
    }

    /// Gives all attempts together this long, instead of the client's total timeout. A single
    /// attempt may then take as long as that.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Makes the call. An answer with an error status is an answer; [`Answer::success`] tells.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn send(mut self) -> Result<Answer, CallError> {
        if let Some(fault) = self.fault.take() {
            return Err(CallError::Malformed(fault));
        }
        let url = self.url()?;
        let target = &self.target.0;
        let deadline = Deadline::within(self.timeout.unwrap_or(target.client.params.total_timeout));
        let once = |_number| async {
            let answer = self.attempt(&url, deadline).await;
            count(&target.name, &answer);
            answer.map_err(Failure::NoAnswer).and_then(refuse_transient)
        };
        if !self.idempotent {
            return once(1).await.or_else(Failure::into_answer);
        }
        let result = target.retry.run(deadline, Failure::verdict, once).await;
        result.or_else(Failure::into_answer)
    }

    fn url(&self) -> Result<Url, CallError> {
        let text = format!("{}{}", self.target.0.base, self.path);
        let mut url = Url::parse(&text).map_err(|error| CallError::Malformed(error.into()))?;
        if !self.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&self.query);
        }
        Ok(url)
    }

    /// The waits that are our own come first: neither a full bulkhead nor a slow token says anything
    /// of the neighbour, and a half-open breaker's probe must not be held meanwhile.
    async fn attempt(&self, url: &Url, deadline: Deadline) -> Result<Answer, CallError> {
        let target = &self.target.0;
        let _place = deadline.enforce(target.bulkhead.acquire()).await??;
        let headers = deadline.enforce(self.outgoing_headers(deadline)).await??;
        let permit = target.breaker.try_acquire()?;
        let each = self.timeout.unwrap_or(target.client.params.attempt_timeout);
        let end = deadline.min(Deadline::after(each));
        let result = match end.enforce(self.exchange(url, headers)).await {
            Ok(result) => result,
            Err(passed) => Err(CallError::TimedOut(passed)),
        };
        settle(permit, &result);
        result
    }

    async fn exchange(&self, url: &Url, headers: HeaderMap) -> Result<Answer, CallError> {
        let client = &self.target.0.client;
        let transport = client.transport.client_for(url.as_str()).await;
        let request = transport
            .map_err(CallError::Unreachable)?
            .request(self.method.clone(), url.clone())
            .headers(headers);
        let request = match &self.body {
            Some(body) => request.body(body.clone()),
            None => request,
        };
        let mut response = request.send().await.map_err(broken)?;
        let mut answer = Answer {
            status: response.status(),
            headers: std::mem::take(response.headers_mut()),
            body: Bytes::new(),
        };
        let max_bytes = client.params.max_answer_bytes;
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(broken)? {
            if body.len() + chunk.len() > max_bytes {
                return Err(CallError::AnswerTooLarge { max_bytes });
            }
            body.extend_from_slice(&chunk);
        }
        answer.body = body.freeze();
        Ok(answer)
    }

    async fn outgoing_headers(&self, deadline: Deadline) -> Result<HeaderMap, CallError> {
        let mut headers = self.headers.clone();
        let mut put = |name: &'static str, value: &str, secret: bool| {
            let mut value =
                HeaderValue::from_str(value).map_err(|error| CallError::Malformed(error.into()))?;
            value.set_sensitive(secret);
            headers.insert(name, value);
            Ok::<_, CallError>(())
        };
        put(DEADLINE_HEADER, &deadline.to_header(), false)?;
        let context = RequestContext::current();
        if let Some(context) = &context {
            put(REQUEST_ID_HEADER, &context.request_id, false)?;
            put(TRACEPARENT_HEADER, &context.traceparent, false)?;
        }
        let user_token = context.and_then(|context| context.user_token);
        let bearer = match (self.credentials, &self.target.0.client.tokens) {
            (Credentials::Service, Some(tokens)) => {
                if let Some(token) = &user_token {
                    put(USER_TOKEN_HEADER, token, true)?;
                }
                Some(tokens.token().await?.to_string())
            }
            (Credentials::User, _) => user_token,
            (Credentials::Service, None) | (Credentials::Nobody, _) => None,
        };
        if let Some(bearer) = bearer {
            put(AUTHORIZATION.as_str(), &format!("Bearer {bearer}"), true)?;
        }
        Ok(headers)
    }
}

/// Why another attempt may be worth it, or what the call ends with.
enum Failure {
    NoAnswer(CallError),
    Transient(Box<Answer>),
}

impl Failure {
    fn verdict(&self) -> Verdict {
        match self {
            Self::Transient(answer) => answer
                .retry_after()
                .map_or(Verdict::Retry, Verdict::RetryAfter),
            Self::NoAnswer(
                CallError::Unreachable(_) | CallError::Interrupted(_) | CallError::TimedOut(_),
            ) => Verdict::Retry,
            Self::NoAnswer(_) => Verdict::Stop,
        }
    }

    fn into_answer(self) -> Result<Answer, CallError> {
        match self {
            Self::NoAnswer(error) => Err(error),
            Self::Transient(answer) => Ok(*answer),
        }
    }
}

fn refuse_transient(answer: Answer) -> Result<Answer, Failure> {
    match answer.status {
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => Err(Failure::Transient(Box::new(answer))),
        _ => Ok(answer),
    }
}

fn broken(error: reqwest::Error) -> CallError {
    if error.is_connect() {
        CallError::Unreachable(error)
    } else {
        CallError::Interrupted(error)
    }
}

/// A refusal of this one request says that the neighbour works; our own failures say nothing of it.
fn settle(permit: Permit, result: &Result<Answer, CallError>) {
    match result {
        Ok(answer) if answer.status.is_server_error() => permit.failed(),
        Ok(_) => permit.succeeded(),
        Err(
            CallError::Unreachable(_)
            | CallError::Interrupted(_)
            | CallError::TimedOut(_)
            | CallError::AnswerTooLarge { .. },
        ) => permit.failed(),
        Err(_) => drop(permit),
    }
}

fn count(target: &str, result: &Result<Answer, CallError>) {
    let outcome = match result {
        Ok(answer) if answer.status.is_success() => "success",
        Ok(answer) if answer.status.is_server_error() => "server_error",
        Ok(_) => "refused",
        Err(CallError::TimedOut(_)) => "timed_out",
        Err(error) if error.is_unsent() => "unsent",
        Err(_) => "broken",
    };
    metrics::counter!("client_calls_total", "target" => target.to_owned(), "outcome" => outcome)
        .increment(1);
}
