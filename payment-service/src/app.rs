//! Use cases, one per file, and [`drive`], [`steps`] and [`drafts`], which they share. Each owns its
//! transactions; no transaction is open while a provider is asked.

use std::sync::Arc;
use std::time::Duration;

use ::store::{Batcher, Db};
use common::clock::Clock;
use common::context::RequestContext;
use messaging::Outbox;
use resilience::Deadline;
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

use self::steps::Steps;
use crate::domain::policy::Policy;
use crate::error::UseCaseError;
use crate::provider::PaymentProvider;

pub(crate) mod authorize;
pub(crate) mod capture;
pub(crate) mod drafts;
pub(crate) mod drive;
pub(crate) mod order_cancelled;
pub(crate) mod reconcile;
pub(crate) mod refund;
pub(crate) mod status;
pub(crate) mod steps;
pub(crate) mod void;

#[cfg(test)]
mod tests;

/// Kept back of a caller's time for the answer to travel.
const ANSWER_MARGIN: Duration = Duration::from_millis(100);

/// What use cases work with.
#[derive(Clone)]
pub(crate) struct AppState {
    pub(crate) db: Db,
    pub(crate) clock: Clock,
    pub(crate) outbox: Outbox,
    pub(crate) provider: Arc<dyn PaymentProvider>,
    pub(crate) policy: Policy,
    /// Payments that begin or go on.
    pub(crate) steps: Batcher<Steps>,
    /// Longest time spent on one command or request.
    pub(crate) max_call: Duration,
    /// Work that goes on when its caller has hung up.
    pub(crate) tasks: TaskTracker,
    /// Where that work runs.
    pub(crate) runtime: Handle,
}

impl AppState {
    /// Until when an answer is of use to the current caller.
    pub(crate) fn deadline(&self) -> Deadline {
        let left = Deadline::within(self.max_call).remaining();
        Deadline::after(left.saturating_sub(ANSWER_MARGIN))
    }

    /// Runs work to its end even if its caller hangs up: what a provider did must be written down.
    pub(crate) async fn finish<T, F>(&self, work: F) -> Result<T, UseCaseError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, UseCaseError>> + Send + 'static,
    {
        let context = RequestContext::current().unwrap_or_else(RequestContext::background);
        let task = self.tasks.spawn_on(context.scope(work), &self.runtime);
        match task.await {
            Ok(outcome) => outcome,
            Err(error) => Err(UseCaseError::Inconsistent(format!(
                "the work was cut off: {error}"
            ))),
        }
    }
}
