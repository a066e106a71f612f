//! A payment intent: one attempt to take money for one order, and its state machine.
//!
//! ```text
//! authorizing ─→ authorized ─→ capturing ─→ captured ─→ partially_refunded ─→ refunded
//!      │             ↑↓            │
//!      │           voiding ←─── failed
//!      ↓             ↓
//!   declined       voided
//! ```
//!
//! That the provider's answer is not known is a property of the operation under way, not of the
//! intent: it stays `authorizing`, `capturing` or `voiding` until the provider has said.

use common::ids::{IntentId, OrderId, StoreId};
use common::money::Money;
use common::time::Timestamp;

use super::operation::{Kind, Settlement};
use super::text_enum;
use super::token::Token;

text_enum! {
    /// Where an intent stands.
    enum IntentState {
        /// The provider is asked to set the amount aside.
        Authorizing = "authorizing",
        /// The amount is set aside.
        Authorized = "authorized",
        /// The provider refused to set it aside.
        Declined = "declined",
        /// The provider is asked to take it.
        Capturing = "capturing",
        /// It is taken.
        Captured = "captured",
        /// The provider refused to take it; it is still set aside.
        Failed = "failed",
        /// The provider is asked to let go of it.
        Voiding = "voiding",
        /// It was let go, or never set aside.
        Voided = "voided",
        /// Some of it was given back.
        PartiallyRefunded = "partially_refunded",
        /// All of it was given back.
        Refunded = "refunded",
    }
}

text_enum! {
    /// How the guest pays.
    enum Method {
        /// Through the payment provider.
        Card = "card",
        /// Into the drawer; no provider is asked.
        Cash = "cash",
    }
}

/// A change that the state machine does not know. A fault of the program.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("an intent that is {state} does not {what}")]
pub(crate) struct IllegalTransition {
    /// Where the intent stands.
    pub(crate) state: IntentState,
    /// What was tried.
    pub(crate) what: &'static str,
}

/// A payment intent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Intent {
    /// Its id.
    pub(crate) id: IntentId,
    /// The order that it pays.
    pub(crate) order_id: OrderId,
    /// Where the order was placed.
    pub(crate) store_id: StoreId,
    /// From 1: after a decline, an order may be tried with another card.
    pub(crate) attempt: i64,
    /// The command that made it.
    pub(crate) command_id: String,
    /// How the guest pays.
    pub(crate) method: Method,
    /// What is to be paid.
    pub(crate) amount: Money,
    /// Where it stands.
    pub(crate) state: IntentState,
    /// Minor units taken.
    pub(crate) captured: i64,
    /// Minor units given back.
    pub(crate) refunded: i64,
    /// Why it was declined or could not be captured.
    pub(crate) decline_code: Option<String>,
    /// The token of the payment method, while it is needed.
    pub(crate) token: Option<Token>,
    /// What the provider calls the authorization.
    pub(crate) provider_reference: Option<String>,
    /// When it was made.
    pub(crate) created_at: Timestamp,
    /// When it last changed.
    pub(crate) updated_at: Timestamp,
}

impl Intent {
    /// Whether it can never hold money again.
    pub(crate) const fn holds_nothing(&self) -> bool {
        matches!(
            self.state,
            IntentState::Declined | IntentState::Voided | IntentState::Refunded
        )
    }

    /// An operation of this kind begins.
    ///
    /// # Errors
    /// When the state does not allow it.
    pub(crate) fn begin(&mut self, kind: Kind, now: Timestamp) -> Result<(), IllegalTransition> {
        use IntentState as S;
        let next = match (kind, self.state) {
            (Kind::Authorize, S::Authorizing) => S::Authorizing,
            (Kind::Capture, S::Authorized) => S::Capturing,
            (Kind::Void, S::Authorized | S::Failed) => S::Voiding,
            (Kind::Refund, state @ (S::Captured | S::PartiallyRefunded)) => state,
            (_, state) => {
                let what = kind.as_str();
                return Err(IllegalTransition { state, what });
            }
        };
        self.state = next;
        self.updated_at = now;
        Ok(())
    }

    /// An operation of this kind, over `amount` minor units, ended.
    ///
    /// # Errors
    /// When the state does not allow it, or more would be refunded than was captured.
    pub(crate) fn settle(
        &mut self,
        (kind, amount): (Kind, i64),
        settlement: &Settlement,
        now: Timestamp,
    ) -> Result<(), IllegalTransition> {
        use IntentState as S;
        use Settlement::{Abandoned, Declined, Succeeded};
        let state = self.state;
        let illegal = |what| Err(IllegalTransition { state, what });
        self.state = match (kind, state, settlement) {
            (Kind::Authorize, S::Authorizing, Succeeded { reference }) => {
                self.provider_reference.clone_from(reference);
                S::Authorized
            }
            (Kind::Authorize, S::Authorizing, Declined { code }) => {
                self.decline_code = Some(code.clone());
                S::Declined
            }
            (Kind::Authorize, S::Authorizing, Abandoned) => S::Voided,
            (Kind::Capture, S::Capturing, Succeeded { .. }) if amount == self.amount.amount => {
                self.captured = amount;
                S::Captured
            }
            (Kind::Capture, S::Capturing, Declined { code }) => {
                self.decline_code = Some(code.clone());
                S::Failed
            }
            (Kind::Capture, S::Capturing, Abandoned) => S::Authorized,
            (Kind::Void, S::Voiding, Succeeded { .. }) => S::Voided,
            (Kind::Void, S::Voiding, Declined { .. } | Abandoned) => S::Authorized,
            (Kind::Refund, S::Captured | S::PartiallyRefunded, Succeeded { .. }) => {
                let left = self.captured - self.refunded;
                if !(1..=left).contains(&amount) {
                    return illegal("refund more than was captured");
                }
                self.refunded += amount;
                if amount == left {
                    S::Refunded
                } else {
                    S::PartiallyRefunded
                }
            }
            (Kind::Refund, S::Captured | S::PartiallyRefunded, Declined { .. } | Abandoned) => {
                state
            }
            _ => return illegal(kind.as_str()),
        };
        if self.state != S::Authorizing {
            self.token = None;
        }
        self.updated_at = now;
        Ok(())
    }
}
