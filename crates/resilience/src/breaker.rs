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
    probe: bool,
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
                probe: matches!(machine.state, State::HalfOpen { .. }),
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

    /// Lets the probes through now if it is open: something else has shown that the neighbour is back.
    pub fn probe_now(&self) {
        let mut machine = self.0.lock();
        if let State::Open { until } = &mut machine.state {
            *until = Instant::now();
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
    /// Whether this call is one of the few that find out whether the neighbour is back. It must not
    /// be repeated.
    #[must_use]
    pub const fn is_probe(&self) -> bool {
        self.probe
    }

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
mod tests;
