//! Requests of one kind that come at the same time, done together in one transaction.
//!
//! A transaction costs a few round trips and a sync of the disk, whether it serves one request or
//! thirty. A [`Batcher`] lets one batch be at work at a time; who comes meanwhile waits and goes
//! with the next batch (group commit, as in Gawlick and Kinkade, "Varieties of Concurrency Control
//! in IMS/VS Fast Path", 1985). Batches of several kinds on one database take turns, so that each
//! gathers more requests. Nobody waits for a timer: before a batch begins, the tasks that are ready
//! to run do, and in a service with nothing else to do there are none.
//!
//! It is for commands that may be repeated: a batch that fails as a whole is done again, each
//! request by itself, so that a request which no transaction can hold fails alone.

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::join_all;
use tokio::sync::oneshot;

use crate::{Db, StoreError};

/// Requests of one batch at most.
pub const MAX_BATCH: usize = 64;

/// A batch begins when nobody has joined it for this many rounds of everything else that is ready
/// to run. After one round, what comes together from another service is still on its way through the
/// tasks that read it; between 2 and 16 no difference was to be seen.
const QUIET_ROUNDS: u32 = 4;

/// What is done to a batch.
pub trait BatchWork: Send + Sync + 'static {
    /// One caller's request.
    type Request: Send + Sync + 'static;
    /// What that caller is told.
    type Answer: Send + 'static;
    /// Why a request, or a whole batch, failed.
    type Error: From<StoreError> + Send + 'static;

    /// The database that it is done in; batches in the same one take turns.
    fn db(&self) -> &Db;

    /// Does all `requests`, in this order, in one transaction, and answers each at its place. It
    /// must not wait for another batch in the same database.
    ///
    /// # Errors
    /// When nothing of the batch took effect, or when that is unknown.
    fn work(&self, requests: &[Self::Request]) -> impl Future<Output = BatchResult<Self>> + Send;
}

/// The answers to a batch, each at its request's place.
pub type BatchResult<W> =
    Result<Vec<Result<<W as BatchWork>::Answer, <W as BatchWork>::Error>>, <W as BatchWork>::Error>;

/// Gathers requests into batches. Clones share the queue.
pub struct Batcher<W: BatchWork>(Arc<Shared<W>>);

struct Shared<W: BatchWork> {
    work: W,
    queue: Mutex<Queue<W>>,
}

struct Queue<W: BatchWork> {
    waiting: Vec<Entry<W>>,
    is_at_work: bool,
}

type Entry<W> = (<W as BatchWork>::Request, Answer<W>);
type Answer<W> = oneshot::Sender<Result<<W as BatchWork>::Answer, <W as BatchWork>::Error>>;

impl<W: BatchWork> Batcher<W> {
    /// Gathers requests for `work`.
    pub fn new(work: W) -> Self {
        let queue = Queue {
            waiting: Vec::new(),
            is_at_work: false,
        };
        Self(Arc::new(Shared {
            work,
            queue: Mutex::new(queue),
        }))
    }

    /// Does one request together with others that come at the same time. It is done even if the
    /// caller stops waiting.
    ///
    /// # Errors
    /// Those of the work, and [`StoreError::Unavailable`] when the runtime stops.
    pub async fn run(&self, request: W::Request) -> Result<W::Answer, W::Error> {
        let (answer, answered) = oneshot::channel();
        let everybody_rests = self.0.enqueue(request, answer);
        if everybody_rests {
            tokio::spawn(Arc::clone(&self.0).work_off());
        }
        match answered.await {
            Ok(answer) => answer,
            Err(gone) => Err(StoreError::unavailable(gone).into()),
        }
    }
}

impl<W: BatchWork> Shared<W> {
    fn lock(&self) -> MutexGuard<'_, Queue<W>> {
        // No code that could panic runs under the lock.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a request into the queue; tells whether nobody works on the queue, which is the caller's
    /// to change.
    fn enqueue(&self, request: W::Request, answer: Answer<W>) -> bool {
        let mut queue = self.lock();
        queue.waiting.push((request, answer));
        !std::mem::replace(&mut queue.is_at_work, true)
    }

    /// Works until nobody waits.
    async fn work_off(self: Arc<Self>) {
        let mut stretch = Stretch {
            shared: &self,
            is_over: false,
        };
        loop {
            let _turn = self.work.db().batch_turn().await;
            self.gather().await;
            let (requests, answers) = self.next_batch();
            if requests.is_empty() {
                stretch.is_over = true;
                return;
            }
            self.answer_batch(&requests, answers).await;
        }
    }

    /// Whoever is about to ask, asks now.
    async fn gather(&self) {
        let (mut joined, mut quiet_rounds) = (0, 0);
        while joined < MAX_BATCH && quiet_rounds < QUIET_ROUNDS {
            tokio::task::yield_now().await;
            let before = std::mem::replace(&mut joined, self.lock().waiting.len());
            quiet_rounds = if joined > before { 0 } else { quiet_rounds + 1 };
        }
    }

    /// The longest waiting requests. When there are none, nobody is at work any more.
    fn next_batch(&self) -> (Vec<W::Request>, Vec<Answer<W>>) {
        let mut queue = self.lock();
        let length = queue.waiting.len().min(MAX_BATCH);
        queue.is_at_work = length > 0;
        queue.waiting.drain(..length).unzip()
    }

    async fn answer_batch(&self, requests: &[W::Request], answers: Vec<Answer<W>>) {
        metrics::counter!("store_batches_total", "work" => short_name::<W>()).increment(1);
        metrics::counter!("store_batch_requests_total", "work" => short_name::<W>())
            .increment(u64::try_from(requests.len()).unwrap_or(u64::MAX));
        match self.work.work(requests).await {
            Ok(results) => {
                debug_assert_eq!(results.len(), requests.len(), "one answer for each request");
                for (answer, result) in answers.into_iter().zip(results) {
                    // Whoever stopped waiting needs no answer.
                    let _gone = answer.send(result);
                }
            }
            // One request alone may be what spoilt it; each tells its own cause.
            Err(_spoilt) => {
                let alone = requests.iter().zip(answers);
                join_all(alone.map(|(request, answer)| self.answer_alone(request, answer))).await;
            }
        }
    }

    async fn answer_alone(&self, request: &W::Request, answer: Answer<W>) {
        let results = self.work.work(std::slice::from_ref(request)).await;
        let result = results.and_then(|mut results| match results.pop() {
            Some(result) => result,
            None => Err(StoreError::unavailable(Unanswered).into()),
        });
        let _gone = answer.send(result);
    }
}

/// One stretch of work. Cut off before it is over (the work panicked, the runtime stops), it turns
/// everybody away who waits, and the next request begins anew.
struct Stretch<'a, W: BatchWork> {
    shared: &'a Shared<W>,
    is_over: bool,
}

impl<W: BatchWork> Drop for Stretch<'_, W> {
    fn drop(&mut self) {
        if !self.is_over {
            let mut queue = self.shared.lock();
            queue.is_at_work = false;
            queue.waiting.clear();
        }
    }
}

/// The work answered fewer requests than it was given.
#[derive(Debug, thiserror::Error)]
#[error("a request of a batch was not answered")]
struct Unanswered;

/// The type's own name, without its path.
fn short_name<W>() -> &'static str {
    let path = std::any::type_name::<W>();
    path.rsplit("::").next().unwrap_or(path)
}

impl<W: BatchWork> Clone for Batcher<W> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<W: BatchWork> fmt::Debug for Batcher<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batcher").finish_non_exhaustive()
    }
}
