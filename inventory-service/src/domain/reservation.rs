//! The life of a reservation.
//!
//! ```text
//!   (none) ──reserve──▶ held ──commit──▶ committed ──restock──▶ restocked
//!     │  │                │ ╲
//!     │  └─reserve──▶ refused ╲──time runs out──▶ expired
//!     └──release──▶ released ◀──release──┘
//! ```

use std::fmt;
use std::str::FromStr;

/// Where a reservation is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Stock is set aside.
    Held,
    /// There was too little stock; nothing was set aside.
    Refused,
    /// The stock is consumed.
    Committed,
    /// Given back before it was consumed, or before it was ever asked for.
    Released,
    /// Nobody committed it in time.
    Expired,
    /// Consumed, and booked back since.
    Restocked,
}

/// What a command does to a reservation in some state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Do it: the state changes.
    Go,
    /// It is done already.
    Done,
    /// It cannot be done in this state.
    Refuse,
}

impl State {
    /// What consuming the held stock does.
    pub(crate) const fn on_commit(self) -> Step {
        match self {
            Self::Held => Step::Go,
            Self::Committed => Step::Done,
            Self::Refused | Self::Released | Self::Expired | Self::Restocked => Step::Refuse,
        }
    }

    /// What giving the held stock back does.
    pub(crate) const fn on_release(self) -> Step {
        match self {
            Self::Held => Step::Go,
            Self::Refused | Self::Released | Self::Expired | Self::Restocked => Step::Done,
            Self::Committed => Step::Refuse,
        }
    }

    /// What booking consumed stock back does.
    pub(crate) const fn on_restock(self) -> Step {
        match self {
            Self::Committed => Step::Go,
            Self::Refused | Self::Released | Self::Expired | Self::Restocked => Step::Done,
            Self::Held => Step::Refuse,
        }
    }

    /// The text in the database.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Refused => "refused",
            Self::Committed => "committed",
            Self::Released => "released",
            Self::Expired => "expired",
            Self::Restocked => "restocked",
        }
    }

    const ALL: [Self; 6] = [
        Self::Held,
        Self::Refused,
        Self::Committed,
        Self::Released,
        Self::Expired,
        Self::Restocked,
    ];
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text in the database that is no state: somebody else wrote there.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is no state of a reservation")]
pub(crate) struct NotAState(String);

impl FromStr for State {
    type Err = NotAState;

    fn from_str(text: &str) -> Result<Self, NotAState> {
        let found = Self::ALL.into_iter().find(|state| state.as_str() == text);
        found.ok_or_else(|| NotAState(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_survives_its_text() {
        for state in State::ALL {
            assert_eq!(state.as_str().parse(), Ok(state));
        }
    }

    #[test]
    fn stock_is_consumed_at_most_once_and_given_back_at_most_once() {
        for state in State::ALL {
            let consumes = state.on_commit() == Step::Go;
            let frees = state.on_release() == Step::Go;
            let returns = state.on_restock() == Step::Go;
            assert_eq!(consumes, state == State::Held, "{state}");
            assert_eq!(frees, state == State::Held, "{state}");
            assert_eq!(returns, state == State::Committed, "{state}");
        }
    }
}
