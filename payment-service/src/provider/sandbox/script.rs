//! What the token of a payment makes the sandbox do.

use crate::domain::operation::Kind;
use crate::domain::text_enum;

text_enum! {
    /// What a token scripts.
    enum Script {
        /// Everything works.
        Ok = "ok",
        /// The authorization is declined.
        Declined = "declined",
        /// The authorization is done, but its answer is lost.
        TimeoutAfterSuccess = "timeout_after_success",
        /// The authorization takes its time.
        Slow = "slow",
        /// The authorization never arrives.
        NetworkError = "network_error",
        /// The capture is declined.
        CaptureDeclined = "capture_declined",
        /// The capture is done, but its answer is lost.
        CaptureTimeoutAfterSuccess = "capture_timeout_after_success",
        /// Refunds are declined.
        RefundDeclined = "refund_declined",
        /// Refunds are done, but their answers are lost.
        RefundTimeoutAfterSuccess = "refund_timeout_after_success",
        /// The token means nothing here.
        Unknown = "unknown",
    }
}

impl Script {
    /// What a token scripts.
    pub(super) fn of_token(token: &str) -> Self {
        let named = token
            .strip_prefix("tok_")
            .and_then(|name| name.parse().ok());
        named.unwrap_or(Self::Unknown)
    }

    /// The code with which an operation of this kind is declined, if it is.
    pub(super) const fn decline_of(self, kind: Kind) -> Option<&'static str> {
        match (self, kind) {
            (Self::Declined, Kind::Authorize) => Some("card_declined"),
            (Self::Unknown, Kind::Authorize) => Some("unknown_token"),
            (Self::CaptureDeclined, Kind::Capture) => Some("capture_declined"),
            (Self::RefundDeclined, Kind::Refund) => Some("refund_declined"),
            _ => None,
        }
    }

    /// Whether the first answer to an operation of this kind is lost.
    pub(super) const fn loses_answer_of(self, kind: Kind) -> bool {
        matches!(
            (self, kind),
            (Self::TimeoutAfterSuccess, Kind::Authorize)
                | (Self::CaptureTimeoutAfterSuccess, Kind::Capture)
                | (Self::RefundTimeoutAfterSuccess, Kind::Refund)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_name_their_script() {
        for (token, expected) in [
            ("tok_ok", Script::Ok),
            ("tok_timeout_after_success", Script::TimeoutAfterSuccess),
            ("tok_anything", Script::Unknown),
            ("tok_unknown", Script::Unknown),
        ] {
            assert_eq!(Script::of_token(token), expected, "{token}");
        }
    }
}
