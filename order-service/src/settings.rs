//! What only order-service can be told; `config/default.toml` documents each key.

use std::time::Duration;

use serde::Deserialize;

/// The service's own sections.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnSettings {
    /// Answers to clients.
    pub orders: OrdersSettings,
    /// The saga of an order.
    pub saga: SagaSettings,
}

/// Answers to clients.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrdersSettings {
    /// Longest wait for an order's final state before 202 is answered, in milliseconds.
    pub answer_within_ms: u64,
}

/// The saga of an order.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SagaSettings {
    /// Longest wait for the answer to one command, in milliseconds.
    pub step_timeout_ms: u64,
    /// Time after which a step without a clear outcome is given up, in milliseconds.
    pub forward_deadline_ms: u64,
    /// Time without a write after which a driver has lost its saga, in milliseconds.
    pub lease_ms: u64,
    /// Upper end of the first wait before another attempt, in milliseconds.
    pub retry_base_ms: u64,
    /// Upper end of every wait, in milliseconds.
    pub retry_max_ms: u64,
    /// Failed attempts of an undo after which its saga is parked.
    pub park_after_attempts: u32,
    /// Upper end of the waits of a parked saga, in milliseconds.
    pub parked_retry_max_ms: u64,
    /// Longest time between two looks for sagas that nobody drives, in milliseconds.
    pub poll_interval_ms: u64,
    /// Sagas taken up by one look at most.
    pub claim_batch: u32,
    /// Longest time that stock is held for an order, in seconds.
    pub reservation_ttl_seconds: u32,
}

impl OwnSettings {
    /// What contradicts itself, in words; empty when all is well.
    #[must_use]
    pub fn faults(&self) -> Vec<String> {
        let saga = &self.saga;
        let ttl_ms = u64::from(saga.reservation_ttl_seconds) * 1_000;
        let rules = [
            (
                self.orders.answer_within_ms > 0,
                "orders.answer_within_ms must not be zero",
            ),
            (
                saga.step_timeout_ms > 0,
                "saga.step_timeout_ms must not be zero",
            ),
            (
                saga.lease_ms > saga.step_timeout_ms.saturating_mul(2),
                "saga.lease_ms must be longer than two steps (saga.step_timeout_ms)",
            ),
            (
                ttl_ms > saga.forward_deadline_ms,
                "saga.reservation_ttl_seconds must be longer than saga.forward_deadline_ms",
            ),
            (
                saga.retry_base_ms > 0 && saga.retry_max_ms >= saga.retry_base_ms,
                "saga.retry_max_ms must not be below saga.retry_base_ms, and that not zero",
            ),
            (
                saga.parked_retry_max_ms >= saga.retry_max_ms,
                "saga.parked_retry_max_ms must not be below saga.retry_max_ms",
            ),
            (
                saga.park_after_attempts > 0 && saga.claim_batch > 0 && saga.poll_interval_ms > 0,
                "saga.park_after_attempts, claim_batch and poll_interval_ms must not be zero",
            ),
        ];
        let broken = rules.into_iter().filter(|(holds, _)| !holds);
        broken.map(|(_, fault)| fault.to_owned()).collect()
    }
}

impl OrdersSettings {
    /// Longest wait for an order's final state before 202 is answered.
    #[must_use]
    pub const fn answer_within(&self) -> Duration {
        Duration::from_millis(self.answer_within_ms)
    }
}

impl SagaSettings {
    /// Longest wait for the answer to one command.
    #[must_use]
    pub const fn step_timeout(&self) -> Duration {
        Duration::from_millis(self.step_timeout_ms)
    }

    /// Time without a write after which a driver has lost its saga.
    #[must_use]
    pub const fn lease(&self) -> Duration {
        Duration::from_millis(self.lease_ms)
    }

    /// Time after which a step without a clear outcome is given up.
    #[must_use]
    pub const fn forward_deadline(&self) -> Duration {
        Duration::from_millis(self.forward_deadline_ms)
    }

    /// The longest wait before the attempt that follows `failed` failed ones.
    #[must_use]
    pub fn retry_ceiling(&self, failed: u32) -> Duration {
        let max_ms = if failed >= self.park_after_attempts {
            self.parked_retry_max_ms
        } else {
            self.retry_max_ms
        };
        let doublings = failed.saturating_sub(1).min(32);
        let ceiling_ms = self.retry_base_ms.saturating_mul(1 << doublings);
        Duration::from_millis(ceiling_ms.min(max_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::settings::load;

    fn settings(pairs: &[(&str, &str)]) -> OwnSettings {
        let pairs = pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        load("order", crate::DEFAULTS, pairs).unwrap().own
    }

    #[test]
    fn the_defaults_hold_together() {
        assert_eq!(settings(&[]).faults(), [""; 0]);
    }

    #[test]
    fn contradictions_are_named() {
        let settings = settings(&[
            ("ORDER__SAGA__LEASE_MS", "4000"),
            ("ORDER__SAGA__RESERVATION_TTL_SECONDS", "15"),
        ]);
        assert_eq!(settings.faults().len(), 2);
    }

    #[test]
    fn waits_double_up_to_the_maximum_and_grow_again_when_parked() {
        let saga = settings(&[]).saga;
        for (failed, expected_ms) in [(1, 100), (2, 200), (3, 400), (9, 5_000), (10, 51_200)] {
            let expected = Duration::from_millis(expected_ms);
            assert_eq!(saga.retry_ceiling(failed), expected, "{failed}");
        }
        assert_eq!(saga.retry_ceiling(u32::MAX), Duration::from_secs(60));
    }
}
