//! A copy of a request, whose answer nobody waits for.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::poll_fn;
use http::HeaderValue;
use resilience::breaker::Permit;
use tokio::time::{Instant, timeout};

use super::attempts::outcome_of;
use super::download::Download;
use super::headers::Outbound;
use super::upload::RequestBody;
use super::upstreams::{Exchange, SendError, Trial, Upstreams};
use crate::directory::{Selection, Service};

/// Marks a copy: it is not copied again, here or behind the next gateway.
pub(crate) const MIRROR_HEADER: &str = "x-maru-mirror";

/// Most bytes of an answer that are read so that its connection can be used again.
const MAX_ANSWER_BYTES: u64 = 1024 * 1024;

/// A copy that is ready to go.
pub(crate) struct Shadow {
    service: Arc<Service>,
    selection: Selection,
    permit: Permit,
    request: http::Request<RequestBody>,
}

impl Shadow {
    /// A copy for one instance of a service; `None` when none is to be asked now.
    pub(crate) fn of(
        outbound: &Outbound<'_>,
        service: Arc<Service>,
        key: Option<u64>,
        body: Vec<Bytes>,
    ) -> Option<Self> {
        let permit = service.breaker.try_acquire().ok()?;
        let selection = service.select(key, &[])?;
        let trial = Trial {
            instance: &selection.instance,
            outbound,
            deadline: None,
            number: 1,
        };
        let mut request = outbound.request(RequestBody::copied(body), &trial);
        let mark = HeaderValue::from_static("1");
        request.headers_mut().insert(MIRROR_HEADER, mark);
        Some(Self {
            service,
            selection,
            permit,
            request,
        })
    }

    /// Sends it and reads the answer away; says what became of it. The whole takes `wait` at most.
    pub(crate) async fn send(self, upstreams: &Upstreams, wait: Duration) -> &'static str {
        let Self {
            service,
            selection,
            permit,
            request,
        } = self;
        let instance = &selection.instance;
        let started = Instant::now();
        let asked = timeout(wait, upstreams.send_once(instance, request)).await;
        let exchange = asked.unwrap_or(Err(SendError::TimedOut(wait)));
        if let Some(outcome) = outcome_of(&exchange, started.elapsed()) {
            service.settle(instance, outcome);
        }
        let exchange = match exchange {
            Ok(exchange) => exchange,
            Err(_unanswered) => {
                permit.failed();
                return "failed";
            }
        };
        let is_good = !exchange.answer.status().is_server_error();
        match is_good {
            true => permit.succeeded(),
            false => permit.failed(),
        }
        let left = wait.saturating_sub(started.elapsed());
        // Whether it comes to its end concerns nobody but the connection.
        let _read = timeout(left, read_away(exchange, left)).await;
        if is_good {
            "answered"
        } else {
            "failing_answer"
        }
    }
}

async fn read_away(exchange: Exchange, idle_timeout: Duration) {
    let Exchange { answer, lease } = exchange;
    let mut body = Download::new(answer.into_body(), lease, idle_timeout);
    let mut bytes = 0;
    while let Some(Ok(part)) = poll_fn(|cx| body.poll_part(cx)).await {
        bytes += part.len() as u64;
        if bytes > MAX_ANSWER_BYTES {
            return;
        }
    }
}
