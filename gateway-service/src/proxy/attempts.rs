//! Getting one request answered by one of a service's instances: which one is asked, when another
//! one is asked instead, and what all of it says about them.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, StatusCode, header};
use resilience::breaker::Permit;
use resilience::bulkhead::BulkheadPermit;
use resilience::{Backoff, BackoffParams, Breaker, Deadline, Jitter};
use routing::Retries;
use tokio::time::{Instant, sleep};

use super::headers::Outbound;
use super::tunnel::TunnelError;
use super::upload::Upload;
use super::upstreams::{Exchange, SendError, Upstreams};
use crate::balance::Fault;
use crate::directory::{InFlight, Instance, Outcome, Selection, Service};

/// Waits between attempts: short, for another instance is asked.
const BACKOFF: BackoffParams = BackoffParams {
    base: Duration::from_millis(10),
    max: Duration::from_millis(100),
};

/// Why a service gave no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoAnswer {
    #[error("no instance of the service is usable")]
    NoInstance,
    #[error("the service has been failing and is left alone")]
    CircuitOpen(Duration),
    #[error("as many requests as allowed are under way at the service")]
    Overloaded,
    #[error("the caller's deadline has passed")]
    DeadlinePassed,
    #[error(transparent)]
    Send(#[from] SendError),
    #[error(transparent)]
    Tunnel(TunnelError),
}

/// What a request holds at the service until its answer was read to its end.
pub(crate) struct Held {
    _place: BulkheadPermit,
    _in_flight: InFlight,
    service: Arc<Service>,
    instance: Arc<Instance>,
}

impl Held {
    /// The instance broke off inside an answer.
    pub(super) fn broke_off(self) {
        self.service
            .settle(&self.instance, Outcome::Failed(Fault::Failed, None));
        measure(&self.service, &self.instance, "truncated");
    }
}

/// One request to one service.
pub(crate) struct Attempts<'a> {
    pub(crate) upstreams: &'a Upstreams,
    pub(crate) service: &'a Arc<Service>,
    pub(crate) outbound: &'a Outbound<'a>,
    pub(crate) upload: Option<&'a Rc<Upload>>,
    /// Longest wait for the head of an answer in each attempt.
    pub(crate) header_timeout: Duration,
    /// Until when the caller waits, if it said so.
    pub(crate) deadline: Option<Deadline>,
    /// The key of a consistent hash.
    pub(crate) key: Option<u64>,
    /// Says when the service is left alone: its own, or the route's.
    pub(crate) breaker: &'a Breaker,
    /// What the route says about further tries, instead of the service's policy.
    pub(crate) retries: Option<&'a Retries>,
}

/// How one attempt ended.
struct Attempt {
    result: Result<Exchange, SendError>,
    /// Whether another instance may be asked to do the same.
    repeatable: bool,
    /// Whether the service did what it is for.
    good: Option<bool>,
}

impl Attempts<'_> {
    /// Asks until there is an answer, or no reason to hope for one.
    pub(crate) async fn run(&self) -> Result<Exchange, NoAnswer> {
        let service = self.service;
        // The wait that is our own comes first: a half-open breaker's probe must not be held meanwhile.
        let place = service.bulkhead.acquire().await;
        let place = place.map_err(|_full| NoAnswer::Overloaded)?;
        let permit = self.breaker.try_acquire();
        let permit = permit.map_err(|open| NoAnswer::CircuitOpen(open.retry_after))?;
        service.budget.deposit();
        match self.deadline {
            None => self.ask(place, permit).await,
            // In a box: who has no deadline should not carry the room for it.
            Some(deadline) => match Box::pin(deadline.enforce(self.ask(place, permit))).await {
                Ok(result) => result,
                Err(_passed) => Err(NoAnswer::DeadlinePassed),
            },
        }
    }

    async fn ask(&self, place: BulkheadPermit, permit: Permit) -> Result<Exchange, NoAnswer> {
        let service = self.service;
        let backoff = Backoff::try_new(BACKOFF, Jitter::from_entropy());
        let mut backoff = backoff.expect("the constants are good");
        let started = Instant::now();
        let mut tried: Vec<Arc<Instance>> = Vec::new();
        let mut selection = service
            .select(self.key, &tried)
            .ok_or(NoAnswer::NoInstance)?;
        loop {
            let number = tried.len() + 1;
            let Selection {
                instance,
                in_flight,
            } = selection;
            let attempt = self.attempt(&instance, number).await;
            tried.push(Arc::clone(&instance));
            if attempt.repeatable
                && let Some(next) = self.next(&permit, &tried, started)
            {
                if attempt.result.is_ok() {
                    // An answer: the service is there, and should be left a moment.
                    sleep(backoff.next_delay()).await;
                }
                metrics::counter!("gateway_retries_total", "service" => service.label())
                    .increment(1);
                selection = next;
                continue;
            }
            match attempt.good {
                Some(true) => permit.succeeded(),
                Some(false) => permit.failed(),
                None => drop(permit),
            }
            let mut exchange = attempt.result?;
            exchange.lease.hold(Held {
                _place: place,
                _in_flight: in_flight,
                service: Arc::clone(service),
                instance,
            });
            return Ok(exchange);
        }
    }

    /// Another instance, if one may be asked: a probe is never repeated, and a retry costs budget.
    fn next(
        &self,
        permit: &Permit,
        tried: &[Arc<Instance>],
        started: Instant,
    ) -> Option<Selection> {
        let service = self.service;
        let most = self.retries.and_then(|retries| retries.attempts);
        let most = most.unwrap_or(service.policy.max_attempts) as usize;
        let within = self.retries.and_then(|retries| retries.within);
        let is_late = within.is_some_and(|within| started.elapsed() > within);
        if permit.is_probe() || tried.len() >= most || is_late {
            return None;
        }
        let next = service.select(self.key, tried)?;
        service.budget.try_withdraw().then_some(next)
    }

    async fn attempt(&self, instance: &Arc<Instance>, number: usize) -> Attempt {
        let started = Instant::now();
        let upload = self.upload.cloned();
        let trial = super::upstreams::Trial {
            instance,
            outbound: self.outbound,
            deadline: self.deadline,
            number,
        };
        let result = self
            .upstreams
            .send(trial, upload, self.header_timeout)
            .await;
        let attempt = self.judge(result);
        let took = started.elapsed();
        let outcome = outcome_of(&attempt.result, took);
        if let Some(outcome) = outcome {
            self.service.settle(instance, outcome);
        }
        let series = instance.series(|| self.service.label());
        series.duration.record(took.as_secs_f64());
        let word = match (&outcome, &attempt.result) {
            (Some(Outcome::Answered(_)), _) => {
                series.answered.increment(1);
                return attempt;
            }
            (Some(Outcome::Refused(_)), _) => "refused",
            (_, Ok(_)) => "failing_answer",
            (_, Err(SendError::Unreachable(_))) => "unreachable",
            (_, Err(SendError::TimedOut(_))) => "timed_out",
            (_, Err(SendError::Broken(_))) => "broken",
            (_, Err(SendError::Upload(_))) => "client_fault",
        };
        measure(self.service, instance, word);
        attempt
    }

    /// Whether another instance may have a better answer.
    fn asks_again(&self, status: StatusCode) -> bool {
        let statuses = self.retries.and_then(|retries| retries.statuses.as_ref());
        statuses.map_or_else(|| is_overwhelmed(status), |these| these.contains(&status))
    }

    fn judge(&self, result: Result<Exchange, SendError>) -> Attempt {
        let whole = self.upload.is_none_or(|upload| upload.is_replayable());
        let (repeatable, good) = match &result {
            Ok(exchange) => {
                let status = exchange.answer.status();
                let repeatable = self.asks_again(status) && self.outbound.is_repeatable();
                (repeatable, Some(!is_failure(status)))
            }
            // It never left, whatever its method.
            Err(SendError::Unreachable(_)) => (true, Some(false)),
            Err(SendError::Broken(_)) => (self.outbound.is_repeatable(), Some(false)),
            // It may be under way there still: the key alone does not make a second one harmless.
            Err(SendError::TimedOut(_)) => (self.outbound.is_idempotent(), Some(false)),
            Err(SendError::Upload(_)) => (false, None),
        };
        Attempt {
            result,
            repeatable: repeatable && whole,
            good,
        }
    }
}

/// What the end of an attempt says about the instance; nothing when it was the client's doing.
pub(super) fn outcome_of(result: &Result<Exchange, SendError>, took: Duration) -> Option<Outcome> {
    Some(match result {
        Ok(exchange) => {
            let (status, headers) = (exchange.answer.status(), exchange.answer.headers());
            if status == StatusCode::TOO_MANY_REQUESTS {
                Outcome::Refused(retry_after(headers))
            } else if is_overwhelmed(status) {
                Outcome::Failed(Fault::Failed, retry_after(headers))
            } else if is_failure(status) {
                Outcome::Erred
            } else {
                Outcome::Answered(took)
            }
        }
        Err(SendError::Unreachable(_)) => Outcome::Failed(Fault::Unreachable, None),
        Err(SendError::TimedOut(_) | SendError::Broken(_)) => Outcome::Failed(Fault::Failed, None),
        Err(SendError::Upload(_)) => return None,
    })
}

/// Answers that say that the instance cannot work now. A plain 500 may be the fault of one request,
/// and a client must not be able to take instances away from all others.
fn is_overwhelmed(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT
    )
}

/// Answers that count against the service. What it does not offer is no failure.
fn is_failure(status: StatusCode) -> bool {
    status.is_server_error()
        && !matches!(
            status,
            StatusCode::NOT_IMPLEMENTED | StatusCode::HTTP_VERSION_NOT_SUPPORTED
        )
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?;
    text.trim().parse().ok().map(Duration::from_secs)
}

fn measure(service: &Service, instance: &Instance, outcome: &'static str) {
    metrics::counter!(
        "gateway_instance_requests_total",
        "service" => service.label(), "instance" => instance.label(), "outcome" => outcome
    )
    .increment(1);
}
