//! Sending one request to a service, over a kept connection or a fresh one.

use std::rc::Rc;
use std::time::Duration;

use http::Response;
use hyper::body::Incoming;
use tokio::time::{Instant, timeout_at};

use super::connection::{ConnectError, Connection};
use super::headers::Outbound;
use super::pool::{Lease, Pool, PoolParams};
use super::upload::{RequestBody, Upload, UploadFault};
use crate::directory::Service;
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

/// The way to all services from one worker.
pub(crate) struct Upstreams {
    pool: Rc<Pool>,
    connect_timeout: Duration,
    header_timeout: Duration,
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
            header_timeout: millis(settings.header_timeout_ms),
        }
    }

    /// Sends a request and waits for the head of its answer, at most `header_timeout` (or the
    /// default) after the last byte of the request.
    pub(crate) async fn send(
        &self,
        service: &Service,
        outbound: &Outbound<'_>,
        upload: Option<Rc<Upload>>,
        header_timeout: Option<Duration>,
    ) -> Result<Exchange, SendError> {
        let wait = header_timeout.unwrap_or(self.header_timeout);
        let started = Instant::now();
        let exchange = self.exchange(service, outbound, upload.clone());
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

    async fn exchange(
        &self,
        service: &Service,
        outbound: &Outbound<'_>,
        upload: Option<Rc<Upload>>,
    ) -> Result<Exchange, SendError> {
        let repeatable = upload.is_none() && outbound.is_idempotent();
        let mut request = outbound.request(RequestBody::new(upload));
        while let Some(connection) = self.pool.take(service.authority()) {
            match self.attempt(service, connection, request).await {
                Attempt::Answered(exchange) => return Ok(*exchange),
                Attempt::Unsent(unsent) => request = *unsent,
                // The service closed the kept connection while the request was on its way
                // (RFC 9112, section 9.3.1): once more, on a fresh one.
                Attempt::Failed(error) if repeatable && is_closed(&error) => {
                    metrics::counter!("gateway_upstream_repeats_total", "service" => service.label())
                        .increment(1);
                    request = outbound.request(RequestBody::new(None));
                    break;
                }
                Attempt::Failed(error) => return Err(failure(error)),
            }
        }
        let connection = Connection::open(service, self.connect_timeout).await;
        let connection = connection.map_err(SendError::Unreachable)?;
        match self.attempt(service, connection, request).await {
            Attempt::Answered(exchange) => Ok(*exchange),
            Attempt::Unsent(_) => Err(SendError::Unreachable(ConnectError::Refused(
                std::io::ErrorKind::ConnectionReset.into(),
            ))),
            Attempt::Failed(error) => Err(failure(error)),
        }
    }

    async fn attempt(
        &self,
        service: &Service,
        mut connection: Connection,
        request: http::Request<RequestBody>,
    ) -> Attempt {
        match connection.send(request).await {
            Ok(answer) => Attempt::Answered(Box::new(Exchange {
                answer,
                lease: Lease {
                    connection,
                    authority: service.authority().into(),
                    pool: Rc::clone(&self.pool),
                },
            })),
            Err(mut error) => match error.take_message() {
                Some(unsent) => Attempt::Unsent(Box::new(unsent)),
                None => Attempt::Failed(error.into_error()),
            },
        }
    }
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
