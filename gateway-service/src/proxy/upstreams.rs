//! Sending one request to a service, over a kept connection or a fresh one.

use std::rc::Rc;
use std::time::Duration;

use http::Response;
use hyper::body::Incoming;
use resilience::Deadline;
use tokio::time::{Instant, timeout, timeout_at};

use super::connection::{ConnectError, Connection};
use super::headers::Outbound;
use super::pool::{Lease, Pool, PoolParams};
use super::upload::{RequestBody, Upload, UploadFault};
use crate::directory::Instance;
use crate::settings::{UpstreamSettings, millis};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SendError {
    #[error("the service cannot be reached")]
    Unreachable(#[source] ConnectError),
    #[error("the service did not answer within {0:?}")]
    TimedOut(Duration),
    #[error("the service broke off")]
    Broken(#[source] hyper::Error),
    #[error("the request's body did not arrive")]
    Upload(#[source] UploadFault),
}

/// An answer whose head is here and whose body is not.
pub(crate) struct Exchange {
    pub(crate) answer: Response<Incoming>,
    pub(crate) lease: Lease,
}

/// What became of a request on one connection.
enum Attempt {
    Answered(Box<Exchange>),
    /// It never left; the body is whole.
    Unsent(Box<http::Request<RequestBody>>),
    Failed(hyper::Error),
}

/// One attempt of a request at one instance.
#[derive(Clone, Copy)]
pub(crate) struct Trial<'t> {
    pub(crate) instance: &'t Instance,
    pub(crate) outbound: &'t Outbound<'t>,
    /// Until when the caller waits.
    pub(crate) deadline: Option<Deadline>,
    /// Counts the attempts from 1.
    pub(crate) number: usize,
}

impl Trial<'_> {
    fn request(&self, upload: Option<Rc<Upload>>) -> http::Request<RequestBody> {
        self.outbound.request(RequestBody::new(upload), self)
    }
}

/// The way to all services from one worker.
pub(crate) struct Upstreams {
    pool: Rc<Pool>,
    connect_timeout: Duration,
}

impl Upstreams {
    /// Must be made on a worker.
    pub(crate) fn start(settings: &UpstreamSettings) -> Self {
        Self {
            pool: Pool::start(PoolParams {
                idle_timeout: millis(settings.idle_connection_ms),
                max_idle: settings.max_idle_connections,
                max_age: Duration::from_secs(settings.max_connection_age_seconds),
            }),
            connect_timeout: millis(settings.connect_timeout_ms),
        }
    }

    /// Sends a request and waits for the head of its answer, at most `wait` after the last byte of
    /// the request.
    pub(crate) async fn send(
        &self,
        trial: Trial<'_>,
        upload: Option<Rc<Upload>>,
        wait: Duration,
    ) -> Result<Exchange, SendError> {
        let started = Instant::now();
        let exchange = self.exchange(trial, upload.clone());
        tokio::pin!(exchange);
        loop {
            let active = upload.as_ref().map(|upload| upload.last_activity());
            let deadline = active.unwrap_or(started).max(started) + wait;
            match timeout_at(deadline, &mut exchange).await {
                Ok(outcome) => return outcome,
                Err(_elapsed) => {
                    let active = upload.as_ref().map(|upload| upload.last_activity());
                    if active.is_none_or(|active| active + wait <= Instant::now()) {
                        return Err(SendError::TimedOut(wait));
                    }
                }
            }
        }
    }

    /// Sends a request that asks for another protocol, on a connection of its own, and waits for the
    /// head of its answer, at most `wait`.
    pub(crate) async fn upgrade(
        &self,
        trial: Trial<'_>,
        wait: Duration,
    ) -> Result<Exchange, SendError> {
        let connection = self.open(trial.instance).await?;
        let request = trial.request(None);
        let attempt = self.attempt(trial.instance, connection, request);
        match timeout(wait, attempt).await {
            Err(_elapsed) => Err(SendError::TimedOut(wait)),
            Ok(Attempt::Answered(exchange)) => Ok(*exchange),
            Ok(Attempt::Unsent(_)) => Err(unsent()),
            Ok(Attempt::Failed(error)) => Err(failure(error)),
        }
    }

    /// Sends a request whose answer does not matter, over a kept connection if one works: it is not
    /// repeated.
    pub(super) async fn send_once(
        &self,
        instance: &Instance,
        mut request: http::Request<RequestBody>,
    ) -> Result<Exchange, SendError> {
        while let Some(connection) = self.pool.take(instance.address().authority()) {
            match self.attempt(instance, connection, request).await {
                Attempt::Answered(exchange) => return Ok(*exchange),
                Attempt::Unsent(unsent) => request = *unsent,
                Attempt::Failed(error) => return Err(failure(error)),
            }
        }
        let connection = self.open(instance).await?;
        match self.attempt(instance, connection, request).await {
            Attempt::Answered(exchange) => Ok(*exchange),
            Attempt::Unsent(_) => Err(unsent()),
            Attempt::Failed(error) => Err(failure(error)),
        }
    }

    async fn exchange(
        &self,
        trial: Trial<'_>,
        upload: Option<Rc<Upload>>,
    ) -> Result<Exchange, SendError> {
        let instance = trial.instance;
        let whole = || upload.as_ref().is_none_or(|upload| upload.is_replayable());
        let mut request = trial.request(upload.clone());
        while let Some(connection) = self.pool.take(instance.address().authority()) {
            let before = trial.outbound.set_left(true);
            match self.attempt(instance, connection, request).await {
                Attempt::Answered(exchange) => return Ok(*exchange),
                Attempt::Unsent(unsent) => {
                    trial.outbound.set_left(before);
                    request = *unsent;
                }
                // The service closed the kept connection while the request was on its way
                // (RFC 9112, section 9.3.1): once more, on a fresh one.
                Attempt::Failed(error)
                    if trial.outbound.is_repeatable() && whole() && is_closed(&error) =>
                {
                    metrics::counter!("gateway_upstream_repeats_total", "instance" => instance.label())
                        .increment(1);
                    request = trial.request(upload.clone());
                    break;
                }
                Attempt::Failed(error) => return Err(failure(error)),
            }
        }
        // In a box: most requests find a connection, and should not carry the room for this.
        Box::pin(self.send_afresh(trial, request)).await
    }

    /// Sends a request over a connection that was opened for it.
    async fn send_afresh(
        &self,
        trial: Trial<'_>,
        request: http::Request<RequestBody>,
    ) -> Result<Exchange, SendError> {
        let connection = self.open(trial.instance).await?;
        let before = trial.outbound.set_left(true);
        match self.attempt(trial.instance, connection, request).await {
            Attempt::Answered(exchange) => Ok(*exchange),
            Attempt::Unsent(_) => {
                trial.outbound.set_left(before);
                Err(unsent())
            }
            Attempt::Failed(error) => Err(failure(error)),
        }
    }

    async fn open(&self, instance: &Instance) -> Result<Connection, SendError> {
        let connection = Connection::open(instance, self.connect_timeout).await;
        connection.map_err(SendError::Unreachable)
    }

    async fn attempt(
        &self,
        instance: &Instance,
        mut connection: Connection,
        request: http::Request<RequestBody>,
    ) -> Attempt {
        match connection.send(request).await {
            Ok(answer) => {
                let authority = instance.address().authority().into();
                let lease = Lease::new(connection, authority, Rc::clone(&self.pool));
                let lease = lease.heed(answer.headers());
                Attempt::Answered(Box::new(Exchange { answer, lease }))
            }
            Err(mut error) => match error.take_message() {
                Some(unsent) => Attempt::Unsent(Box::new(unsent)),
                None => Attempt::Failed(error.into_error()),
            },
        }
    }
}

/// A fresh connection that ended before it took anything.
fn unsent() -> SendError {
    let reset = std::io::ErrorKind::ConnectionReset;
    SendError::Unreachable(ConnectError::Refused(reset.into()))
}

/// Whether the connection ended before anything of an answer came.
fn is_closed(error: &hyper::Error) -> bool {
    let reset = source_of::<std::io::Error>(error).is_some();
    error.is_incomplete_message() || error.is_canceled() || error.is_closed() || reset
}

fn failure(error: hyper::Error) -> SendError {
    match source_of::<UploadFault>(&error) {
        Some(fault) => SendError::Upload(*fault),
        None => SendError::Broken(error),
    }
}

fn source_of<T: std::error::Error + 'static>(error: &hyper::Error) -> Option<&T> {
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        source = error.source();
    }
    None
}
