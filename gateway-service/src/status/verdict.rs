//! From single answers to a verdict: several in a row are needed to turn it.

use serde::Serialize;

/// How a service is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum ServiceStatus {
    /// Its last checks were good.
    Healthy,
    /// Its last checks were bad.
    Unhealthy,
    /// It has not been checked yet.
    Unknown,
}

impl ServiceStatus {
    /// As it stands in JSON.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "HEALTHY",
            Self::Unhealthy => "UNHEALTHY",
            Self::Unknown => "UNKNOWN",
        }
    }
}

/// When a verdict turns.
#[derive(Clone, Copy, Debug)]
pub(crate) struct VerdictParams {
    /// Good answers in a row that make an unhealthy service healthy.
    pub(crate) rise: u32,
    /// Bad answers in a row that make a healthy service unhealthy.
    pub(crate) fall: u32,
}

/// The verdict on one service. The first answer decides alone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Verdict {
    params: VerdictParams,
    status: ServiceStatus,
    /// Answers in a row that speak against the present status.
    against: u32,
}

impl Verdict {
    pub(crate) const fn new(params: VerdictParams) -> Self {
        Self {
            params,
            status: ServiceStatus::Unknown,
            against: 0,
        }
    }

    /// A verdict that was reached before.
    pub(crate) const fn from(status: ServiceStatus, params: VerdictParams) -> Self {
        Self {
            status,
            ..Self::new(params)
        }
    }

    /// Forgets the status: the next answer decides alone.
    pub(crate) const fn forget(&mut self) {
        self.status = ServiceStatus::Unknown;
        self.against = 0;
    }

    /// Takes over what somebody else has said meanwhile. A forgotten status stays so: the next answer
    /// decides alone.
    pub(crate) fn agree_with(&mut self, status: ServiceStatus) {
        if self.status != ServiceStatus::Unknown && self.status != status {
            *self = Self::from(status, self.params);
        }
    }

    pub(crate) const fn status(&self) -> ServiceStatus {
        self.status
    }

    /// Takes an answer into account; `true` when the status turned.
    pub(crate) fn observe(&mut self, good: bool) -> bool {
        let (speaks_for, needed) = match good {
            true => (ServiceStatus::Healthy, self.params.rise),
            false => (ServiceStatus::Unhealthy, self.params.fall),
        };
        if self.status == speaks_for {
            self.against = 0;
            return false;
        }
        self.against += 1;
        let turned = self.status == ServiceStatus::Unknown || self.against >= needed;
        if turned {
            self.status = speaks_for;
            self.against = 0;
        }
        turned
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_turns_after_enough_answers_in_a_row() {
        use ServiceStatus::{Healthy, Unhealthy, Unknown};
        let mut verdict = Verdict::new(VerdictParams { rise: 2, fall: 3 });
        assert_eq!(verdict.status(), Unknown);
        for (good, expected, turned) in [
            (true, Healthy, true),
            (false, Healthy, false),
            (false, Healthy, false),
            (true, Healthy, false),
            (false, Healthy, false),
            (false, Healthy, false),
            (false, Unhealthy, true),
            (true, Unhealthy, false),
            (false, Unhealthy, false),
            (true, Unhealthy, false),
            (true, Healthy, true),
        ] {
            assert_eq!(verdict.observe(good), turned);
            assert_eq!(verdict.status(), expected);
        }
    }

    #[test]
    fn what_others_say_is_taken_over_and_counted_from_anew() {
        use ServiceStatus::{Healthy, Unhealthy, Unknown};
        let params = VerdictParams { rise: 2, fall: 2 };
        let mut verdict = Verdict::from(Healthy, params);
        assert!(!verdict.observe(false));
        verdict.agree_with(Healthy);
        assert!(verdict.observe(false), "nothing new was said");
        verdict.agree_with(Healthy);
        assert!(!verdict.observe(false));
        verdict.agree_with(Unknown);
        assert!(verdict.observe(true));
        verdict.forget();
        verdict.agree_with(Unhealthy);
        assert_eq!(verdict.status(), Unknown);
    }

    #[test]
    fn the_first_answer_decides_alone() {
        let mut verdict = Verdict::new(VerdictParams { rise: 5, fall: 5 });
        assert!(verdict.observe(false));
        assert_eq!(verdict.status(), ServiceStatus::Unhealthy);
    }
}
