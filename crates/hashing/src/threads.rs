//! The threads that hashes are computed on: as many as hashes under way, of low priority, so that a
//! storm of logins delays neither other requests nor the refusals of those that are too many.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;

use tokio::sync::oneshot;

/// Whoever computed a hash panicked, or the service ends.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("a hashing task was lost")]
pub struct Lost;

type Job = Box<dyn FnOnce() + Send>;

/// They end with this value.
pub(super) struct Threads(mpsc::Sender<Job>);

impl Threads {
    /// Starts so many.
    pub(super) fn start(number: usize) -> io::Result<Self> {
        let (jobs, waiting) = mpsc::channel::<Job>();
        let waiting = Arc::new(Mutex::new(waiting));
        for _ in 0..number {
            let waiting = Arc::clone(&waiting);
            let thread = thread::Builder::new().name("password-hash".to_owned());
            thread.spawn(move || work(&waiting))?;
        }
        Ok(Self(jobs))
    }

    /// Runs `work` on one of them. It runs to its end even if nobody waits for it any more.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Lost> {
        let (answer, answered) = oneshot::channel();
        let job = Box::new(move || {
            let _nobody_waits = answer.send(work());
        });
        self.0.send(job).map_err(|_ended| Lost)?;
        answered.await.map_err(|_panicked| Lost)
    }
}

fn work(waiting: &Mutex<mpsc::Receiver<Job>>) {
    lower_priority();
    loop {
        // Held while it waits, too: the others wait for the lock then.
        let next = waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .recv();
        let Ok(job) = next else { return };
        // The panic was told by its hook; the one who waits learns that the answer is lost.
        let _panicked = catch_unwind(AssertUnwindSafe(job));
    }
}

/// On Linux a thread has a priority of its own; elsewhere it would be the whole process's.
#[cfg(target_os = "linux")]
fn lower_priority() {
    /// See nice(1): others that want the processor get about nine times as much of it.
    const NICENESS: i32 = 10;
    let lowered = rustix::process::getpriority_process(None).and_then(|own| {
        let niceness = (own + NICENESS).min(19);
        rustix::process::setpriority_process(None, niceness)
    });
    if let Err(error) = lowered {
        tracing::warn!(%error, "passwords are hashed with the priority of everything else");
    }
}

#[cfg(not(target_os = "linux"))]
const fn lower_priority() {}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_the_loss_of_one_answer_and_of_no_thread() {
        let threads = Threads::start(1).unwrap();
        let lost = threads.run(|| panic!("on purpose")).await;
        assert!(lost.is_err());
        assert_eq!(threads.run(|| 1).await.unwrap(), 1);
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn hashes_give_way_to_everything_else() {
        let priority = || rustix::process::getpriority_process(None).unwrap();
        let threads = Threads::start(1).unwrap();
        let (here, there) = (priority(), threads.run(priority).await.unwrap());
        assert_eq!(there, (here + 10).min(19));
    }
}
