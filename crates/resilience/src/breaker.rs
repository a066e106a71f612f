//! A circuit breaker: stops calling a neighbour that fails, and finds out carefully when it is back.
//!
//! ```text
//!            ratio of failures in the window            open_for has passed
//!   CLOSED ───────────────────────────────────▶ OPEN ───────────────────────▶ HALF-OPEN
//!      ▲                                         ▲         one probe fails        │
//!      │                                         └────────────────────────────────┤
//!      └──────────────────────────────────────────────────────────────────────────┘
//!                              every one of the N probes succeeds
//! ```
//!
//! Half-open lets exactly N calls through at most. A permit that is dropped without a verdict, as
//! when the caller is cancelled, gives its place back and counts for nothing.

mod window;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::InvalidParams;
use window::Window;

/// When to open and when to close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerParams {
    /// How far back calls count; default 10 s.
    pub window: Duration,
    /// Fewer calls than this in the window never open it; default 20.
    pub min_calls: u32,
    /// Opens at this share of failures, 1 to 100; default 50.
    pub failure_percent: u32,
    /// How long it stays open before probing; default 2 s.
    pub open_for: Duration,
    /// Probes that must all succeed to close it; default 3.
    pub half_open_probes: u32,
}

impl Default for BreakerParams {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(10),
            min_calls: 20,
            failure_percent: 50,
            open_for: Duration::from_secs(2),
            half_open_probes: 3,
        }
    }
}

impl BreakerParams {
    fn validate(&self) -> Result<(), InvalidParams> {
        let check = InvalidParams::check;
        check(
            self.window >= Duration::from_millis(10),
            "breaker.window",
            "must be at least 10 ms",
        )?;
        check(self.min_calls > 0, "breaker.min_calls", "must not be zero")?;
        check(
            (1..=100).contains(&self.failure_percent),
            "breaker.failure_percent",
            "must be from 1 to 100",
        )?;
        check(
            !self.open_for.is_zero(),
            "breaker.open_for",
            "must not be zero",
        )?;
        check(
            self.half_open_probes > 0,
            "breaker.half_open_probes",
            "must not be zero",
        )
    }
}

/// The call was not made: the neighbour has been failing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the circuit is open")]
pub struct CircuitOpen {
    /// When trying again may make sense.
    pub retry_after: Duration,
}

/// What a breaker is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// Calls pass.
    Closed,
    /// Some calls pass, as probes.
    HalfOpen,
    /// No call passes.
    Open,
}

#[derive(Debug)]
enum State {
    Closed(Window),
    Open { until: Instant },
    HalfOpen { in_flight: u32, succeeded: u32 },
}

#[derive(Debug)]
struct Machine {
    state: State,
    /// Grows with each change of state: a verdict on a call that an earlier state let through
    /// says nothing about this one.
    generation: u64,
}

#[derive(Debug)]
struct Shared {
    name: String,
    params: BreakerParams,
    machine: Mutex<Machine>,
}

/// A breaker for one neighbour. Clones share its state.
#[derive(Clone, Debug)]
pub struct Breaker(Arc<Shared>);

/// Permission for one call. Settle it with [`Permit::succeeded`] or [`Permit::failed`].
#[derive(Debug)]
#[must_use = "a permit that is dropped at once guards nothing"]
pub struct Permit {
    shared: Arc<Shared>,
    generation: u64,
    verdict: Option<bool>,
}

impl Breaker {
    /// A closed breaker; `name` is the neighbour's, for logs and metrics.
    ///
    /// # Errors
    /// When a parameter makes no sense.
    pub fn try_new(name: impl Into<String>, params: BreakerParams) -> Result<Self, InvalidParams> {
        params.validate()?;
        let machine = Machine {
            state: State::Closed(Window::new(params.window)),
            generation: 0,
        };
        Ok(Self(Arc::new(Shared {
            name: name.into(),
            params,
            machine: Mutex::new(machine),
        })))
    }

    /// Asks whether a call may be made now.
    ///
    /// # Errors
    /// When it may not.
    pub fn try_acquire(&self) -> Result<Permit, CircuitOpen> {
        let shared = &self.0;
        let mut machine = shared.lock();
        let now = Instant::now();
        if matches!(machine.state, State::Open { until } if now >= until) {
            let half_open = State::HalfOpen {
                in_flight: 0,
                succeeded: 0,
            };
            shared.enter(&mut machine, half_open);
        }
        let retry_after = match &mut machine.state {
            State::Closed(_) => None,
            State::Open { until } => Some(until.saturating_duration_since(now)),
            State::HalfOpen {
                in_flight,
                succeeded,
            } if *in_flight + *succeeded < shared.params.half_open_probes => {
                *in_flight += 1;
                None
            }
            // The probes will tell soon; how soon depends on the neighbour.
            State::HalfOpen { .. } => Some(shared.params.open_for.min(Duration::from_secs(1))),
        };
        match retry_after {
            None => Ok(Permit {
                shared: Arc::clone(shared),
                generation: machine.generation,
                verdict: None,
            }),
            Some(retry_after) => {
                drop(machine);
                metrics::counter!("circuit_breaker_rejections_total", "target" => shared.name.clone())
                    .increment(1);
                Err(CircuitOpen { retry_after })
            }
        }
    }

    /// What it is doing now. An open one whose time has passed still says so until it is asked.
    #[must_use]
    pub fn state(&self) -> BreakerState {
        self.0.lock().state.kind()
    }

    /// The neighbour's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }
}

impl Permit {
    /// The neighbour answered as it should, be it with a refusal of this one request.
    pub fn succeeded(mut self) {
        self.verdict = Some(true);
    }

    /// The neighbour did not answer, or answered that it cannot.
    pub fn failed(mut self) {
        self.verdict = Some(false);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.shared.settle(self.generation, self.verdict);
    }
}

impl State {
    const fn kind(&self) -> BreakerState {
        match self {
            Self::Closed(_) => BreakerState::Closed,
            Self::HalfOpen { .. } => BreakerState::HalfOpen,
            Self::Open { .. } => BreakerState::Open,
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Machine> {
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn settle(&self, generation: u64, verdict: Option<bool>) {
        let mut machine = self.lock();
        if machine.generation != generation {
            return;
        }
        let now = Instant::now();
        let next = match (&mut machine.state, verdict) {
            (State::Closed(window), Some(succeeded)) => {
                window.record(now, succeeded);
                self.is_failing(window).then(|| self.opened(now))
            }
            (State::HalfOpen { in_flight, .. }, None) => {
                *in_flight -= 1;
                None
            }
            (State::HalfOpen { .. }, Some(false)) => Some(self.opened(now)),
            (
                State::HalfOpen {
                    in_flight,
                    succeeded,
                },
                Some(true),
            ) => {
                *in_flight -= 1;
                *succeeded += 1;
                let all = *succeeded >= self.params.half_open_probes;
                all.then(|| State::Closed(Window::new(self.params.window)))
            }
            (State::Closed(_), None) | (State::Open { .. }, _) => None,
        };
        if let Some(next) = next {
            self.enter(&mut machine, next);
        }
    }

    fn is_failing(&self, window: &Window) -> bool {
        let (calls, failures) = window.totals();
        calls >= u64::from(self.params.min_calls)
            && failures * 100 >= calls * u64::from(self.params.failure_percent)
    }

    fn opened(&self, now: Instant) -> State {
        State::Open {
            until: now + self.params.open_for,
        }
    }

    fn enter(&self, machine: &mut Machine, next: State) {
        machine.state = next;
        machine.generation += 1;
        let (level, text) = match machine.state.kind() {
            BreakerState::Closed => (0.0, "closed"),
            BreakerState::HalfOpen => (1.0, "half_open"),
            BreakerState::Open => (2.0, "open"),
        };
        metrics::gauge!("circuit_breaker_state", "target" => self.name.clone()).set(level);
        tracing::warn!(
            breaker.target = self.name,
            breaker.state = text,
            "circuit breaker changed"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    const OPEN_FOR: Duration = Duration::from_secs(5);

    fn breaker() -> Breaker {
        Breaker::try_new(
            "neighbour",
            BreakerParams {
                window: Duration::from_secs(10),
                min_calls: 4,
                failure_percent: 50,
                open_for: OPEN_FOR,
                half_open_probes: 2,
            },
        )
        .unwrap()
    }

    fn call(breaker: &Breaker, succeeds: bool) {
        let permit = breaker.try_acquire().expect("the call passes");
        if succeeds {
            permit.succeeded();
        } else {
            permit.failed();
        }
    }

    fn open(breaker: &Breaker) {
        for _ in 0..4 {
            call(breaker, false);
        }
        assert_eq!(breaker.state(), BreakerState::Open);
    }

    #[test]
    fn nonsense_is_refused() {
        let good = BreakerParams::default();
        for params in [
            BreakerParams {
                window: Duration::ZERO,
                ..good
            },
            BreakerParams {
                min_calls: 0,
                ..good
            },
            BreakerParams {
                failure_percent: 0,
                ..good
            },
            BreakerParams {
                failure_percent: 101,
                ..good
            },
            BreakerParams {
                open_for: Duration::ZERO,
                ..good
            },
            BreakerParams {
                half_open_probes: 0,
                ..good
            },
        ] {
            assert!(Breaker::try_new("x", params).is_err(), "{params:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn it_opens_at_the_ratio_but_not_below_the_volume() {
        let breaker = breaker();
        for _ in 0..3 {
            call(&breaker, false);
        }
        assert_eq!(breaker.state(), BreakerState::Closed);
        call(&breaker, true);
        assert_eq!(breaker.state(), BreakerState::Open);
        let refused = breaker.try_acquire().unwrap_err();
        assert_eq!(refused.retry_after, OPEN_FOR);
    }

    #[tokio::test(start_paused = true)]
    async fn failures_below_the_ratio_keep_it_closed() {
        let breaker = breaker();
        for number in 0..100 {
            call(&breaker, number % 5 != 0);
        }
        assert_eq!(breaker.state(), BreakerState::Closed);
    }

    #[tokio::test(start_paused = true)]
    async fn old_failures_leave_the_window() {
        let breaker = breaker();
        for _ in 0..3 {
            call(&breaker, false);
        }
        advance(Duration::from_secs(11)).await;
        call(&breaker, false);
        assert_eq!(breaker.state(), BreakerState::Closed);
    }

    #[tokio::test(start_paused = true)]
    async fn exactly_n_probes_pass_and_their_success_closes_it() {
        let breaker = breaker();
        open(&breaker);
        advance(OPEN_FOR).await;
        let first = breaker.try_acquire().unwrap();
        let second = breaker.try_acquire().unwrap();
        assert!(breaker.try_acquire().is_err());
        first.succeeded();
        assert!(
            breaker.try_acquire().is_err(),
            "a success frees no third probe"
        );
        assert_eq!(breaker.state(), BreakerState::HalfOpen);
        second.succeeded();
        assert_eq!(breaker.state(), BreakerState::Closed);
    }

    #[tokio::test(start_paused = true)]
    async fn one_failed_probe_opens_it_again_for_the_whole_time() {
        let breaker = breaker();
        open(&breaker);
        advance(OPEN_FOR).await;
        let late = breaker.try_acquire().unwrap();
        call(&breaker, false);
        assert_eq!(breaker.state(), BreakerState::Open);
        late.succeeded();
        assert_eq!(
            breaker.state(),
            BreakerState::Open,
            "an old verdict counts for nothing"
        );
        advance(OPEN_FOR - Duration::from_millis(1)).await;
        assert!(breaker.try_acquire().is_err());
        advance(Duration::from_millis(1)).await;
        assert!(breaker.try_acquire().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_cancelled_probe_gives_its_place_back() {
        let breaker = breaker();
        open(&breaker);
        advance(OPEN_FOR).await;
        let probe = tokio::spawn({
            let breaker = breaker.clone();
            async move {
                let _first = breaker.try_acquire().unwrap();
                let _second = breaker.try_acquire().unwrap();
                std::future::pending::<()>().await;
            }
        });
        tokio::task::yield_now().await;
        assert!(breaker.try_acquire().is_err());
        probe.abort();
        assert!(probe.await.unwrap_err().is_cancelled());
        assert_eq!(breaker.state(), BreakerState::HalfOpen);
        call(&breaker, true);
        call(&breaker, true);
        assert_eq!(breaker.state(), BreakerState::Closed);
    }

    #[tokio::test(start_paused = true)]
    async fn a_permit_from_before_the_opening_does_not_reach_the_half_open_state() {
        let breaker = breaker();
        let old = breaker.try_acquire().unwrap();
        open(&breaker);
        advance(OPEN_FOR).await;
        let probe = breaker.try_acquire().unwrap();
        old.failed();
        assert_eq!(breaker.state(), BreakerState::HalfOpen);
        probe.succeeded();
        call(&breaker, true);
        assert_eq!(breaker.state(), BreakerState::Closed);
    }
}
