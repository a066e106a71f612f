//! At most so many calls at a time to one neighbour, and a short queue: a slow neighbour then costs
//! a bounded share of this service, not all of it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};

use crate::InvalidParams;

/// How many may pass and wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BulkheadParams {
    /// Calls under way at a time; default 256.
    pub max_concurrent: usize,
    /// Calls waiting for a place; default 1024. One more is refused at once.
    pub max_waiting: usize,
    /// Longest wait for a place; default 1 s.
    pub max_wait: Duration,
}

impl Default for BulkheadParams {
    fn default() -> Self {
        Self {
            max_concurrent: 256,
            max_waiting: 1_024,
            max_wait: Duration::from_secs(1),
        }
    }
}

/// No place was free in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many calls are under way")]
pub struct BulkheadFull;

/// A bulkhead. Clones share its places.
#[derive(Clone, Debug)]
pub struct Bulkhead {
    running: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    max_wait: Duration,
}

/// A place; free again when dropped.
#[derive(Debug)]
pub struct BulkheadPermit {
    _place: OwnedSemaphorePermit,
}

impl Bulkhead {
    /// A bulkhead with every place free.
    ///
    /// # Errors
    /// When nothing could pass, or a number is beyond what a semaphore can count.
    pub fn try_new(params: BulkheadParams) -> Result<Self, InvalidParams> {
        InvalidParams::check(
            (1..=Semaphore::MAX_PERMITS).contains(&params.max_concurrent),
            "bulkhead.max_concurrent",
            "must be from 1 to the largest semaphore",
        )?;
        InvalidParams::check(
            params.max_waiting <= Semaphore::MAX_PERMITS,
            "bulkhead.max_waiting",
            "must not be above the largest semaphore",
        )?;
        Ok(Self {
            running: Arc::new(Semaphore::new(params.max_concurrent)),
            waiting: Arc::new(Semaphore::new(params.max_waiting)),
            max_wait: params.max_wait,
        })
    }

    /// Waits for a place, in order of arrival.
    ///
    /// # Errors
    /// At once when the queue is full, else when no place was free in time.
    pub async fn acquire(&self) -> Result<BulkheadPermit, BulkheadFull> {
        match Arc::clone(&self.running).try_acquire_owned() {
            Ok(place) => return Ok(BulkheadPermit { _place: place }),
            Err(TryAcquireError::NoPermits) => {}
            Err(TryAcquireError::Closed) => return Err(BulkheadFull),
        }
        let _queued = self.waiting.try_acquire().map_err(|_full| BulkheadFull)?;
        let place = Arc::clone(&self.running).acquire_owned();
        match tokio::time::timeout(self.max_wait, place).await {
            Ok(Ok(place)) => Ok(BulkheadPermit { _place: place }),
            Ok(Err(_)) | Err(_) => Err(BulkheadFull),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulkhead(max_concurrent: usize, max_waiting: usize) -> Bulkhead {
        Bulkhead::try_new(BulkheadParams {
            max_concurrent,
            max_waiting,
            max_wait: Duration::from_secs(1),
        })
        .unwrap()
    }

    #[test]
    fn nonsense_is_refused() {
        for max_concurrent in [0, usize::MAX] {
            let params = BulkheadParams {
                max_concurrent,
                ..BulkheadParams::default()
            };
            assert!(Bulkhead::try_new(params).is_err());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_place_is_waited_for_and_then_given() {
        let bulkhead = bulkhead(1, 1);
        let first = bulkhead.acquire().await.unwrap();
        let second = tokio::spawn({
            let bulkhead = bulkhead.clone();
            async move { bulkhead.acquire().await }
        });
        tokio::time::advance(Duration::from_millis(500)).await;
        drop(first);
        assert!(second.await.unwrap().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_ends_and_a_full_queue_refuses_at_once() {
        let bulkhead = bulkhead(1, 1);
        let _first = bulkhead.acquire().await.unwrap();
        let started = tokio::time::Instant::now();
        let (waited, refused) = tokio::join!(bulkhead.acquire(), async {
            let refused = bulkhead.acquire().await;
            (refused.is_err(), started.elapsed())
        });
        assert_eq!(waited.unwrap_err(), BulkheadFull);
        assert_eq!(started.elapsed(), Duration::from_secs(1));
        assert_eq!(refused, (true, Duration::ZERO));
    }

    #[tokio::test(start_paused = true)]
    async fn a_cancelled_wait_leaves_no_trace() {
        let bulkhead = bulkhead(1, 1);
        let first = bulkhead.acquire().await.unwrap();
        let wait = tokio::time::timeout(Duration::from_millis(10), bulkhead.acquire());
        assert!(wait.await.is_err());
        drop(first);
        let _again = bulkhead.acquire().await.unwrap();
        assert_eq!(bulkhead.waiting.available_permits(), 1);
    }
}
