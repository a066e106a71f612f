//! How many retries a client may spend: a share of its calls, plus a little for quiet times.
//!
//! Without a budget a service that fails gets three times its load exactly when it can bear least.
//! The form is that of Finagle's retry budget: each call deposits a part of a retry, each retry
//! withdraws a whole one.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::InvalidParams;

/// One retry, in the units that the balance is kept in.
const RETRY: u64 = 1_000_000;

/// How a budget fills.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryBudgetParams {
    /// Retries per hundred calls; default 20.
    pub percent: u32,
    /// Retries per second that are free even without calls; default 2.
    pub min_per_second: u32,
    /// Most retries that can be saved up; default 50.
    pub max_saved: u32,
}

impl Default for RetryBudgetParams {
    fn default() -> Self {
        Self {
            percent: 20,
            min_per_second: 2,
            max_saved: 50,
        }
    }
}

impl RetryBudgetParams {
    pub(crate) fn validate(&self) -> Result<(), InvalidParams> {
        InvalidParams::check(
            self.percent <= 100,
            "retry_budget.percent",
            "must not be above 100",
        )?;
        InvalidParams::check(
            self.max_saved > 0,
            "retry_budget.max_saved",
            "must not be zero",
        )?;
        InvalidParams::check(
            self.percent > 0 || self.min_per_second > 0,
            "retry_budget.percent",
            "and min_per_second must not both be zero",
        )
    }
}

#[derive(Debug)]
struct Balance {
    units: u64,
    credited_at: Instant,
}

/// A budget. Clones share it.
#[derive(Clone, Debug)]
pub struct RetryBudget {
    params: RetryBudgetParams,
    balance: Arc<Mutex<Balance>>,
}

impl RetryBudget {
    /// A budget that holds one second's free retries.
    ///
    /// # Errors
    /// When it could never allow a retry, or `percent` is above 100.
    pub fn try_new(params: RetryBudgetParams) -> Result<Self, InvalidParams> {
        params.validate()?;
        let free = u64::from(params.min_per_second.min(params.max_saved));
        let balance = Balance {
            units: free * RETRY,
            credited_at: Instant::now(),
        };
        Ok(Self {
            params,
            balance: Arc::new(Mutex::new(balance)),
        })
    }

    /// Notes one call (not one retry).
    pub fn deposit(&self) {
        let share = u64::from(self.params.percent) * (RETRY / 100);
        self.with_balance(|units| *units += share);
    }

    /// Takes one retry out, if there is one.
    #[must_use]
    pub fn try_withdraw(&self) -> bool {
        self.with_balance(|units| match units.checked_sub(RETRY) {
            Some(left) => {
                *units = left;
                true
            }
            None => false,
        })
    }

    fn with_balance<T>(&self, change: impl FnOnce(&mut u64) -> T) -> T {
        let mut balance = self.balance.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let passed = now.saturating_duration_since(balance.credited_at);
        balance.credited_at = now;
        let credit = self.credit_for(passed);
        let full = u64::from(self.params.max_saved) * RETRY;
        balance.units = balance.units.saturating_add(credit).min(full);
        let result = change(&mut balance.units);
        balance.units = balance.units.min(full);
        result
    }

    fn credit_for(&self, passed: Duration) -> u64 {
        // One retry is a million units, so that a microsecond's share is whole.
        let micros = u64::try_from(passed.as_micros()).unwrap_or(u64::MAX);
        micros.saturating_mul(u64::from(self.params.min_per_second))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(percent: u32, min_per_second: u32, max_saved: u32) -> RetryBudget {
        RetryBudget::try_new(RetryBudgetParams {
            percent,
            min_per_second,
            max_saved,
        })
        .unwrap()
    }

    fn drain(budget: &RetryBudget) -> usize {
        (0..1_000).take_while(|_| budget.try_withdraw()).count()
    }

    #[test]
    fn nonsense_is_refused() {
        for (percent, min_per_second, max_saved) in [(101, 1, 1), (10, 1, 0), (0, 0, 1)] {
            let params = RetryBudgetParams {
                percent,
                min_per_second,
                max_saved,
            };
            assert!(RetryBudget::try_new(params).is_err(), "{params:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn retries_are_a_share_of_the_calls() {
        let budget = budget(20, 0, 100);
        assert_eq!(drain(&budget), 0);
        for _ in 0..50 {
            budget.deposit();
        }
        assert_eq!(drain(&budget), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn a_quiet_client_gets_its_free_retries_back() {
        let budget = budget(20, 2, 100);
        assert_eq!(drain(&budget), 2);
        tokio::time::advance(Duration::from_millis(499)).await;
        assert_eq!(drain(&budget), 0);
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(drain(&budget), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn savings_end_at_the_maximum() {
        let budget = budget(100, 5, 7);
        tokio::time::advance(Duration::from_secs(3_600)).await;
        for _ in 0..1_000 {
            budget.deposit();
        }
        assert_eq!(drain(&budget), 7);
    }
}
