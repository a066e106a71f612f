//! Reading a small document from a service, for health checks and OpenAPI documents. Each goes over
//! a connection of its own, so that a service that takes no new ones is found out.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt as _, Empty, LengthLimitError, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::time::timeout;

use crate::directory::Address;

/// A document and how it was given.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub(crate) status: u16,
    pub(crate) body: Bytes,
}

/// Why there is no document.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    #[error("no connection")]
    Refused(#[source] io::Error),
    #[error("no answer in time")]
    TimedOut,
    #[error("the answer is too large")]
    TooLarge,
    #[error("the answer broke off")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Gets `path` (and query) from `address`, within `wait` and at most `max_bytes`. Redirects are not
/// followed.
pub(crate) async fn fetch(
    address: &Address,
    path: &str,
    wait: Duration,
    max_bytes: usize,
) -> Result<Fetched, FetchError> {
    let fetched = timeout(wait, exchange(address, path, max_bytes)).await;
    fetched.map_err(|_elapsed| FetchError::TimedOut)?
}

async fn exchange(address: &Address, path: &str, max_bytes: usize) -> Result<Fetched, FetchError> {
    let stream = address.connect().await;
    let stream = stream.map_err(FetchError::Refused)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(broken)?;
    let mut request = Request::new(Empty::<Bytes>::new());
    *request.uri_mut() = path
        .parse()
        .map_err(|error: http::uri::InvalidUri| FetchError::Broken(Box::new(error)))?;
    let headers = request.headers_mut();
    headers.insert(header::HOST, address.host_header().clone());
    headers.insert(header::CONNECTION, http::HeaderValue::from_static("close"));
    let reading = async {
        let answer = sender.send_request(request).await.map_err(broken)?;
        let status = answer.status().as_u16();
        let body = Limited::new(answer.into_body(), max_bytes).collect().await;
        let body = body.map_err(|error| match error.is::<LengthLimitError>() {
            true => FetchError::TooLarge,
            false => FetchError::Broken(error),
        })?;
        let body = body.to_bytes();
        Ok(Fetched { status, body })
    };
    let driving = async {
        // Its errors reach the reader too; its end must not end the reading.
        let _ended = connection.await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        fetched = reading => fetched,
        () = driving => Err(FetchError::TimedOut),
    }
}

fn broken(error: hyper::Error) -> FetchError {
    FetchError::Broken(Box::new(error))
}
