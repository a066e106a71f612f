//! One call: built, sent as often as it takes, answered once.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE};
use reqwest::{Method, Response, StatusCode};
use secrecy::ExposeSecret as _;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::Gateway;
use super::error::{ClientError, Problem};
use super::retry::{Repeat, judge, judge_failure, retry_after};
use super::session::Token;

/// How often a call may be answered 401 before that is its answer: once for a token that ran out
/// on the way, once more for a session that was revoked meanwhile.
const MAX_RENEWALS: u32 = 2;

/// A call under construction.
#[derive(Debug)]
pub struct Call<'g> {
    gateway: &'g Gateway,
    method: Method,
    path: String,
    body: Option<Bytes>,
    unwritable: Option<serde_json::Error>,
    key: Option<String>,
    repeatable: bool,
    signed: bool,
    patience: Duration,
}

/// A successful answer.
#[derive(Debug)]
pub struct Answer<T> {
    /// HTTP status, 2xx.
    pub status: StatusCode,
    /// The body.
    pub body: T,
}

impl<'g> Call<'g> {
    pub(super) fn new(gateway: &'g Gateway, method: Method, path: String) -> Self {
        Self {
            gateway,
            repeatable: method != Method::POST,
            method,
            path,
            body: None,
            unwritable: None,
            key: None,
            signed: true,
            patience: gateway.policy.patience,
        }
    }

    /// The JSON body.
    #[must_use]
    pub fn json(mut self, body: &impl Serialize) -> Self {
        match serde_json::to_vec(body) {
            Ok(text) => self.body = Some(text.into()),
            Err(error) => self.unwritable = Some(error),
        }
        self
    }

    /// A body that is JSON already.
    #[must_use]
    pub fn json_text(mut self, body: impl Into<Bytes>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// The `Idempotency-Key`; makes the call repeatable.
    #[must_use]
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self.repeatable()
    }

    /// Declares that doing it twice is the same as doing it once.
    #[must_use]
    pub fn repeatable(mut self) -> Self {
        self.repeatable = true;
        self
    }

    /// Gives up after this time instead of the client's own patience.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Sends it without a session, as for a login.
    #[must_use]
    pub(super) fn unsigned(mut self) -> Self {
        self.signed = false;
        self
    }

    /// Sends the call and reads the whole answer as JSON.
    ///
    /// # Errors
    /// [`ClientError::Refused`] for an error answer, [`ClientError::NoAnswer`] when none came in
    /// time, [`ClientError::Unreadable`] when it is not of this shape.
    pub async fn send<T: DeserializeOwned>(mut self) -> Result<Answer<T>, ClientError> {
        let (status, bytes) = self.read_whole().await?;
        // An empty body reads as `null`, which is what `()` and `Option` expect.
        let json: &[u8] = if bytes.is_empty() { b"null" } else { &bytes };
        match serde_json::from_slice(json) {
            Ok(body) => Ok(Answer { status, body }),
            Err(source) => Err(ClientError::Unreadable {
                method: self.method.to_string(),
                path: self.path,
                source,
            }),
        }
    }

    /// Sends the call and returns as soon as the head of a successful answer is there; the body is
    /// the caller's to read and is never asked for again.
    ///
    /// # Errors
    /// As for [`Call::send`], except that no body is read.
    pub async fn stream(mut self) -> Result<Response, ClientError> {
        let deadline = Instant::now() + self.patience;
        self.head(deadline).await
    }

    /// A body that breaks off is as good as no answer: the call is repeated when it may be.
    async fn read_whole(&mut self) -> Result<(StatusCode, Bytes), ClientError> {
        let deadline = Instant::now() + self.patience;
        let mut attempts = 0;
        loop {
            let response = self.head(deadline).await?;
            let status = response.status();
            attempts += 1;
            match response.bytes().await {
                Ok(bytes) => return Ok((status, bytes)),
                Err(source) => {
                    let next = Instant::now() + self.gateway.policy.wait(attempts);
                    if !self.repeatable || next > deadline {
                        return Err(self.no_answer(attempts, source));
                    }
                    self.pause_until(next).await;
                }
            }
        }
    }

    /// The head of a successful answer.
    async fn head(&mut self, deadline: Instant) -> Result<Response, ClientError> {
        if let Some(error) = self.unwritable.take() {
            return Err(ClientError::Unwritable(error));
        }
        let mut attempts = 0;
        let mut renewals = 0;
        let mut rejected = None;
        loop {
            let token = self.token(rejected, deadline).await?;
            let outcome = self.attempt(token.as_ref()).await;
            attempts += 1;
            if let (Ok(response), Some(token)) = (&outcome, &token)
                && response.status() == StatusCode::UNAUTHORIZED
                && renewals < MAX_RENEWALS
            {
                renewals += 1;
                rejected = Some(token.generation);
                continue;
            }
            if let Some(next) = self.next_attempt(&outcome, attempts - 1)
                && next <= deadline
            {
                self.pause_until(next).await;
                continue;
            }
            return match outcome {
                Ok(response) if response.status().is_success() => Ok(response),
                Ok(response) => Err(self.refused(response).await),
                Err(source) => Err(self.no_answer(attempts, source)),
            };
        }
    }

    async fn token(
        &self,
        rejected: Option<u64>,
        deadline: Instant,
    ) -> Result<Option<Token>, ClientError> {
        if !self.signed {
            return Ok(None);
        }
        // Boxed, as the session sends calls of its own.
        let token = Box::pin(self.gateway.session.token(self.gateway, rejected, deadline));
        token.await.map(Some)
    }

    async fn attempt(&self, token: Option<&Token>) -> Result<Response, reqwest::Error> {
        let url = format!("{}{}", self.gateway.base, self.path);
        let mut request = self.gateway.http.request(self.method.clone(), url);
        if let Some(token) = token {
            let bearer = format!("Bearer {}", token.access.expose_secret());
            request = request.header(AUTHORIZATION, bearer);
        }
        if let Some(key) = &self.key {
            request = request.header("idempotency-key", key);
        }
        if let Some(body) = &self.body {
            request = request.header(CONTENT_TYPE, "application/json");
            request = request.body(body.clone());
        }
        request.send().await
    }

    /// When to try again, if that may help and cannot do harm.
    fn next_attempt(
        &self,
        outcome: &Result<Response, reqwest::Error>,
        repetition: u32,
    ) -> Option<Instant> {
        let (repeat, asked) = match outcome {
            Ok(response) => {
                let headers = response.headers();
                (judge(response.status(), headers), retry_after(headers))
            }
            Err(error) => (judge_failure(error), None),
        };
        let may_repeat = match repeat {
            Repeat::Safe => true,
            Repeat::IfRepeatable => self.repeatable,
            Repeat::Never => false,
        };
        let wait = self.gateway.policy.wait(repetition);
        may_repeat.then(|| Instant::now() + wait.max(asked.unwrap_or_default()))
    }

    async fn pause_until(&self, next: Instant) {
        self.gateway.repeats.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep_until(next).await;
    }

    async fn refused(&self, response: Response) -> ClientError {
        let status = response.status();
        let body = response.bytes().await.unwrap_or_default();
        ClientError::Refused {
            method: self.method.to_string(),
            path: self.path.clone(),
            problem: Box::new(Problem::read(status, &body)),
        }
    }

    fn no_answer(&self, attempts: u32, source: reqwest::Error) -> ClientError {
        ClientError::NoAnswer {
            method: self.method.to_string(),
            path: self.path.clone(),
            attempts,
            source,
        }
    }
}
