//! A session: one login and the refresh tokens that descend from it, each good for one use.

use std::time::Duration;

use common::time::Timestamp;

common::define_id! {
    /// A login and all refresh tokens that descend from it.
    pub(crate) struct SessionId;
}

/// Why a session was ended before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RevokeReason {
    Logout,
    /// A refresh token was used a second time, after the grace.
    Reuse,
    /// The account was disabled.
    Disabled,
    /// Its person, or somebody who looks after them, ended it from another session.
    Ended,
    /// The password was changed in another session.
    PasswordChanged,
    /// The password was set anew with a mailed link.
    PasswordReset,
    /// The terminal it was opened at was revoked.
    DeviceRevoked,
}

impl RevokeReason {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Logout => "logout",
            Self::Reuse => "reuse",
            Self::Disabled => "disabled",
            Self::Ended => "ended",
            Self::PasswordChanged => "password_changed",
            Self::PasswordReset => "password_reset",
            Self::DeviceRevoked => "device_revoked",
        }
    }
}

/// How long sessions live.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SessionLimits {
    /// Longest pause between two refreshes.
    pub(crate) idle: Duration,
    /// Longest life.
    pub(crate) life: Duration,
    /// How long a used token still gives the same successor.
    pub(crate) grace: Duration,
}

/// What is stored of a presented token and of its session.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RefreshState {
    pub(crate) used_at: Option<Timestamp>,
    pub(crate) last_used_at: Timestamp,
    pub(crate) expires_at: Timestamp,
    pub(crate) revoked: bool,
    pub(crate) account_disabled: bool,
}

/// What becomes of a presented refresh token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RefreshVerdict {
    /// First use: a successor takes its place.
    Rotate,
    /// Used a moment ago: the client did not get the answer, or asked twice at once.
    Repeat,
    /// Used long ago: somebody has a copy. The whole session ends.
    Reused,
    /// The session is over.
    Ended,
}

impl SessionLimits {
    /// Judges a presented refresh token (RFC 9700, section 4.14.2).
    pub(crate) fn judge(&self, state: &RefreshState, now: Timestamp) -> RefreshVerdict {
        let idle = now.since(state.last_used_at) > self.idle;
        if state.revoked || state.account_disabled || state.expires_at <= now || idle {
            return RefreshVerdict::Ended;
        }
        match state.used_at {
            None => RefreshVerdict::Rotate,
            Some(used_at) if now.since(used_at) <= self.grace => RefreshVerdict::Repeat,
            Some(_) => RefreshVerdict::Reused,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_judged_by_its_use_and_its_session() {
        let at = Timestamp::from_unix_seconds;
        let limits = SessionLimits {
            idle: Duration::from_secs(1_000),
            life: Duration::from_secs(5_000),
            grace: Duration::from_secs(10),
        };
        let fresh = RefreshState {
            used_at: None,
            last_used_at: at(0),
            expires_at: at(5_000),
            revoked: false,
            account_disabled: false,
        };
        let check = |state: RefreshState, now: i64, expected| {
            assert_eq!(
                limits.judge(&state, at(now)),
                expected,
                "{state:?} at {now}"
            );
        };
        let used = RefreshState {
            used_at: Some(at(100)),
            last_used_at: at(100),
            ..fresh
        };
        let revoked = RefreshState {
            revoked: true,
            ..used
        };
        let disabled = RefreshState {
            account_disabled: true,
            ..fresh
        };
        let busy = RefreshState {
            last_used_at: at(4_990),
            ..fresh
        };
        check(fresh, 1_000, RefreshVerdict::Rotate);
        check(fresh, 1_001, RefreshVerdict::Ended);
        check(busy, 4_999, RefreshVerdict::Rotate);
        check(busy, 5_000, RefreshVerdict::Ended);
        check(used, 110, RefreshVerdict::Repeat);
        check(used, 111, RefreshVerdict::Reused);
        check(revoked, 105, RefreshVerdict::Ended);
        check(disabled, 1, RefreshVerdict::Ended);
    }
}
