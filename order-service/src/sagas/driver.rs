//! Drives a saga from wherever it stands to its end.
//!
//! A driver holds a lease on its saga and renews it with every write. Each write carries the
//! version that was read: a driver whose lease ran out while it was busy finds the version changed
//! and gives the saga up. Whatever it had sent meanwhile was a command that the neighbours
//! recognize when the other driver repeats it.

use std::sync::Arc;
use std::time::Duration;

use ::store::idempotency::IdempotencyRequest;
use ::store::{Batcher, Db};
use common::clock::Clock;
use common::context::RequestContext;
use common::error::ErrorChain;
use common::shutdown::Shutdown;
use common::time::Timestamp;
use messaging::Outbox;
use resilience::Jitter;
use tokio::runtime::Handle;
use tokio::sync::{Notify, oneshot};
use tokio_util::task::TaskTracker;

use super::neighbours::Neighbours;
use super::write::WriteSagas;
use crate::domain::order::Order;
use crate::domain::saga::{Next, Position};
use crate::error::UseCaseError;
use crate::settings::SagaSettings;
use crate::store::sagas::{StepRow, StoredSaga};

/// A driver waits this long for the next attempt itself; longer waits are left to the recovery.
const LONGEST_OWN_WAIT: Duration = Duration::from_secs(2);

/// What drives sagas. Clones share everything.
#[derive(Clone)]
pub(crate) struct Driver(Arc<Parts>);

/// What a driver works with.
pub(crate) struct Parts {
    pub(crate) db: Db,
    pub(crate) clock: Clock,
    pub(crate) outbox: Outbox,
    pub(crate) writer: Batcher<WriteSagas>,
    pub(crate) neighbours: Neighbours,
    pub(crate) settings: SagaSettings,
    pub(crate) shutdown: Shutdown,
    /// Sagas run here and not on the thread of the request, which may be dropped with its client.
    pub(crate) runtime: Handle,
    pub(crate) tasks: TaskTracker,
    /// Told when a saga became due before its time.
    pub(crate) due: Notify,
}

impl std::ops::Deref for Driver {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

/// A saga under way, with the lease on it.
pub(crate) struct Work {
    pub(crate) order: Order,
    pub(crate) stored: StoredSaga,
    /// Attempts that are not written yet.
    pub(crate) steps: Vec<StepRow>,
    /// The request that waits for the order's final state.
    pub(crate) answer_to: Option<IdempotencyRequest>,
}

impl Driver {
    pub(crate) fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }

    /// Drives a saga in the background. The receiver gets the order when it reaches its final
    /// state here; it is closed when somebody else will have to go on.
    pub(crate) fn spawn(&self, work: Work, context: RequestContext) -> oneshot::Receiver<Order> {
        let (ended, receiver) = oneshot::channel();
        let driver = self.clone();
        let drive = context.scope(async move {
            if let Some(order) = driver.drive(work).await {
                // The client may have gone, or been answered already.
                let _ = ended.send(order);
            }
        });
        self.tasks.spawn_on(drive, &self.runtime);
        receiver
    }

    /// Takes steps until the saga ends (then returns the order), has to wait longer than a driver
    /// should, was taken over, or the service stops.
    async fn drive(&self, mut work: Work) -> Option<Order> {
        loop {
            let outcome = match self.take_step(&mut work).await {
                Next::Go => Ok(Progress::Go),
                Next::WriteAndGo => self.write_and_go(&mut work).await,
                Next::Wait { failed } => self.wait(&mut work, failed).await,
                Next::End => match self.finish(&mut work).await {
                    Ok(true) => return Some(work.order),
                    Ok(false) => Ok(Progress::Lost),
                    Err(error) => Err(error),
                },
            };
            match outcome {
                Ok(Progress::Go) => {}
                Ok(Progress::HandedOver) => return None,
                Ok(Progress::Lost) => {
                    tracing::debug!(order.id = %work.order.id, "the saga was taken over");
                    return None;
                }
                Err(error) => {
                    // The lease runs out, and the recovery goes on from the last write.
                    let cause = ErrorChain(&error).to_string();
                    tracing::warn!(order.id = %work.order.id, error = cause, "a saga could not be written");
                    return None;
                }
            }
        }
    }

    /// Sends the present step's command and takes in the answer.
    async fn take_step(&self, work: &mut Work) -> Next {
        let Some((step, attempt)) = work.stored.saga.current() else {
            return Next::End;
        };
        let started_at = self.clock.now();
        let answer = match &work.stored.saga.position {
            Position::Forward { action, .. } => {
                let (order, stored) = (&work.order, &work.stored);
                self.neighbours.act(*action, order, stored).await
            }
            Position::Backward(tasks) => match tasks.first() {
                Some(task) => self.neighbours.undo(task.undo, &work.order).await,
                None => return Next::End,
            },
            Position::Confirmed | Position::Cancelled => return Next::End,
        };
        let ended_at = self.clock.now();
        if let Some(intent) = answer.intent_id {
            work.stored.saga.intent_id = Some(intent);
        }
        work.stored.steps_logged += 1;
        work.steps.push(StepRow {
            seq: work.stored.steps_logged,
            step: step.to_owned(),
            attempt: i64::from(attempt),
            started_at,
            ended_at,
            outcome: answer.verdict.as_str().to_owned(),
            detail: answer.detail,
        });
        metrics::histogram!("order_saga_step_duration_seconds", "step" => step, "outcome" => answer.verdict.as_str())
            .record(ended_at.since(started_at).as_secs_f64());
        work.stored.saga.settle(answer.verdict, ended_at)
    }

    /// Writes the intent of the next run, or leaves it to another process when this one stops.
    async fn write_and_go(&self, work: &mut Work) -> Result<Progress, UseCaseError> {
        let now = self.clock.now();
        if self.shutdown.is_triggered() {
            return self.hand_over(work, now).await;
        }
        work.stored.next_attempt_at = Some(now);
        work.stored.leased_until = Some(now.plus(self.settings.lease()));
        self.write(work, now).await
    }

    /// Writes when the next attempt is due, and waits for it if that is soon.
    async fn wait(&self, work: &mut Work, failed: u32) -> Result<Progress, UseCaseError> {
        let now = self.clock.now();
        let delay = self.delay(work, failed, now);
        self.park_if_stuck(work, now);
        if delay > LONGEST_OWN_WAIT || self.shutdown.is_triggered() {
            return self.hand_over(work, now.plus(delay)).await;
        }
        work.stored.next_attempt_at = Some(now.plus(delay));
        work.stored.leased_until = Some(now.plus(delay + self.settings.lease()));
        if let Progress::Lost = self.write(work, now).await? {
            return Ok(Progress::Lost);
        }
        tokio::select! {
            () = tokio::time::sleep(delay) => Ok(Progress::Go),
            () = self.shutdown.triggered() => self.hand_over(work, now.plus(delay)).await,
        }
    }

    /// Half of the ceiling and a random part of the other half; a step forward is tried once more
    /// at its deadline, not long after it.
    fn delay(&self, work: &Work, failed: u32, now: Timestamp) -> Duration {
        let half = self.settings.retry_ceiling(failed) / 2;
        let delay = half + Jitter::from_entropy().up_to(half);
        match work.stored.saga.position {
            Position::Forward { .. } => delay.min(work.stored.saga.deadline.since(now)),
            _ => delay,
        }
    }

    fn park_if_stuck(&self, work: &mut Work, now: Timestamp) {
        let failed = work.stored.saga.failed_undos();
        if failed < self.settings.park_after_attempts || work.stored.parked_at.is_some() {
            return;
        }
        work.stored.parked_at = Some(now);
        metrics::counter!("order_sagas_parked_total").increment(1);
        tracing::error!(
            order.id = %work.order.id,
            saga.failed_attempts = failed,
            saga.step = work.stored.saga.current().map(|(step, _)| step),
            "an order cannot be undone; its saga is parked and tried at a slower pace"
        );
    }

    /// Gives up the lease; whoever looks for due sagas goes on at `due`.
    async fn hand_over(&self, work: &mut Work, due: Timestamp) -> Result<Progress, UseCaseError> {
        work.stored.next_attempt_at = Some(due);
        work.stored.leased_until = None;
        match self.write(work, self.clock.now()).await? {
            Progress::Lost => Ok(Progress::Lost),
            _ => Ok(Progress::HandedOver),
        }
    }
}

/// How a driver goes on.
pub(super) enum Progress {
    /// With the next step.
    Go,
    /// Not at all: another driver has the saga.
    Lost,
    /// Not now: the recovery takes it up when it is due.
    HandedOver,
}
