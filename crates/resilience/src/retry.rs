//! Trying again: only what is worth it, only while the budget and the deadline last.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::InvalidParams;
use crate::backoff::{Backoff, BackoffParams, Jitter};
use crate::deadline::Deadline;
use crate::retry_budget::{RetryBudget, RetryBudgetParams};

/// How often and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryParams {
    /// Attempts in all, the first one included; default 3.
    pub max_attempts: u32,
    /// Waits between them.
    pub backoff: BackoffParams,
    /// What all calls together may spend.
    pub budget: RetryBudgetParams,
}

impl Default for RetryParams {
    fn default() -> Self {
        Self {
            max_attempts: 3,
            backoff: BackoffParams::default(),
            budget: RetryBudgetParams::default(),
        }
    }
}

/// What a failure means for the next attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Trying again is wrong or useless.
    Stop,
    /// Trying again may help.
    Retry,
    /// Trying again may help, but not before this long (`Retry-After`).
    RetryAfter(Duration),
}

/// A retry policy with its budget. Clones share the budget.
#[derive(Clone, Debug)]
pub struct Retry {
    params: RetryParams,
    budget: RetryBudget,
    jitter: Arc<Mutex<Jitter>>,
}

impl Retry {
    /// A policy with a fresh budget.
    ///
    /// # Errors
    /// When there would be no attempt at all, or the parts make no sense.
    pub fn try_new(params: RetryParams, jitter: Jitter) -> Result<Self, InvalidParams> {
        InvalidParams::check(
            params.max_attempts > 0,
            "retry.max_attempts",
            "must not be zero",
        )?;
        params.backoff.validate()?;
        Ok(Self {
            params,
            budget: RetryBudget::try_new(params.budget)?,
            jitter: Arc::new(Mutex::new(jitter)),
        })
    }

    /// Calls `attempt` (with 1, 2, ...) until it succeeds, `judge` says stop, or attempts, budget
    /// or `deadline` are used up. `attempt` must be safe to repeat.
    ///
    /// # Errors
    /// The last attempt's.
    pub async fn run<T, E, F>(
        &self,
        deadline: Deadline,
        judge: impl Fn(&E) -> Verdict,
        mut attempt: impl FnMut(u32) -> F,
    ) -> Result<T, E>
    where
        F: Future<Output = Result<T, E>>,
    {
        self.budget.deposit();
        let mut backoff = self.backoff();
        let mut number = 1;
        loop {
            let error = match attempt(number).await {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            let least = match judge(&error) {
                Verdict::Stop => return Err(error),
                Verdict::Retry => Duration::ZERO,
                Verdict::RetryAfter(least) => least,
            };
            let delay = backoff.next_delay().max(least);
            let in_time = delay < deadline.remaining();
            if number >= self.params.max_attempts || !in_time || !self.budget.try_withdraw() {
                return Err(error);
            }
            tokio::time::sleep(delay).await;
            number += 1;
        }
    }

    fn backoff(&self) -> Backoff {
        let mut jitter = self.jitter.lock().unwrap_or_else(PoisonError::into_inner);
        Backoff::try_new(self.params.backoff, jitter.split())
            .expect("try_new of the policy has checked the same parameters")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    fn retry(max_attempts: u32, min_per_second: u32) -> Retry {
        let budget = RetryBudgetParams {
            percent: 0,
            min_per_second,
            max_saved: 100,
        };
        let params = RetryParams {
            max_attempts,
            budget,
            ..RetryParams::default()
        };
        Retry::try_new(params, Jitter::seeded(3)).unwrap()
    }

    /// Runs until success at attempt `good_from`; returns the result and the attempts made.
    async fn attempts(retry: &Retry, verdict: Verdict, good_from: u32) -> (Result<u32, ()>, u32) {
        let made = Cell::new(0);
        let result = retry
            .run(
                Deadline::after(Duration::from_secs(60)),
                |()| verdict,
                |number| {
                    made.set(made.get() + 1);
                    async move {
                        if number >= good_from {
                            Ok(number)
                        } else {
                            Err(())
                        }
                    }
                },
            )
            .await;
        (result, made.get())
    }

    #[test]
    fn nonsense_is_refused() {
        let none = RetryParams {
            max_attempts: 0,
            ..RetryParams::default()
        };
        assert!(Retry::try_new(none, Jitter::seeded(1)).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn it_tries_until_success_or_the_last_attempt() {
        let retry = retry(3, 50);
        assert_eq!(attempts(&retry, Verdict::Retry, 1).await, (Ok(1), 1));
        assert_eq!(attempts(&retry, Verdict::Retry, 3).await, (Ok(3), 3));
        assert_eq!(attempts(&retry, Verdict::Retry, 9).await, (Err(()), 3));
        assert_eq!(attempts(&retry, Verdict::Stop, 9).await, (Err(()), 1));
    }

    #[tokio::test(start_paused = true)]
    async fn an_empty_budget_ends_it() {
        let retry = retry(10, 2);
        let started = tokio::time::Instant::now();
        let (result, made) = attempts(&retry, Verdict::Retry, 99).await;
        assert_eq!(result, Err(()));
        let earned = started.elapsed().as_secs() * 2;
        assert!(u64::from(made) <= 1 + 2 + earned + 1, "{made} attempts");
        assert!(made < 10, "{made} attempts");
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_that_the_deadline_does_not_allow_is_not_begun() {
        let retry = retry(3, 50);
        let started = tokio::time::Instant::now();
        let result: Result<(), ()> = retry
            .run(
                Deadline::after(Duration::from_secs(1)),
                |()| Verdict::RetryAfter(Duration::from_secs(5)),
                |_| async { Err(()) },
            )
            .await;
        assert_eq!(result, Err(()));
        assert_eq!(started.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn retry_after_is_kept() {
        let retry = retry(2, 50);
        let started = tokio::time::Instant::now();
        attempts(&retry, Verdict::RetryAfter(Duration::from_secs(5)), 2)
            .await
            .0
            .unwrap();
        assert!(started.elapsed() >= Duration::from_secs(5));
    }
}
