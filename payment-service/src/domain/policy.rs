//! How long to wait for a provider, how often to try, and when its silence means no.

use std::time::Duration;

/// First wait between two tries; each next one is twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(50);
/// First wait after a provider refused to give money back or let go of it.
const FIRST_WAIT_AFTER_REFUSAL: Duration = Duration::from_secs(1);
/// Longest such wait.
const MAX_WAIT_AFTER_REFUSAL: Duration = Duration::from_secs(600);

/// The rules by which operations are sent, asked about and given up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Policy {
    /// Longest wait for one answer.
    pub(crate) provider_timeout: Duration,
    /// An unanswered request may still take effect for this long.
    pub(crate) late_effect: Duration,
    /// Times that one authorization is sent before it is given up.
    pub(crate) max_sends: i64,
    /// Longest time between two tries.
    pub(crate) max_backoff: Duration,
}

impl Policy {
    /// Who sent an operation has this long to say what came of it; then others may ask.
    pub(crate) fn lease(&self) -> Duration {
        self.provider_timeout
            .saturating_add(Duration::from_millis(500))
    }

    /// The wait before the next try after `tries` tries; none before the first.
    pub(crate) fn backoff(&self, tries: i64) -> Duration {
        doubled(FIRST_WAIT, tries).min(self.max_backoff)
    }

    /// The wait before a refused operation is asked for again; `refusals` counts from 1.
    pub(crate) fn backoff_after_refusal(refusals: i64) -> Duration {
        doubled(FIRST_WAIT_AFTER_REFUSAL, refusals).min(MAX_WAIT_AFTER_REFUSAL)
    }
}

/// `first` doubled with each of `times` after the first; zero for none.
fn doubled(first: Duration, times: i64) -> Duration {
    match u32::try_from(times) {
        Ok(0) | Err(_) => Duration::ZERO,
        Ok(times) => first.saturating_mul(2_u32.saturating_pow(times - 1)),
    }
}
