//! One thing asked of a payment provider, from the intent to ask to the known outcome.

use std::fmt::Write as _;

use common::ids::IntentId;
use common::money::Money;
use common::time::Timestamp;
use uuid::Uuid;

use super::policy::Policy;
use super::text_enum;

common::define_id! {
    /// An operation, and the key under which the provider is asked for it: whatever is sent twice
    /// with one key takes effect once.
    pub(crate) struct OperationId;
}

impl OperationId {
    /// The key of an intent's nth operation of a kind: always the same one, whoever derives it
    /// (UUIDv5, RFC 9562, section 5.5, in the namespace of the intent).
    pub(crate) fn derive(intent: IntentId, kind: Kind, attempt: i64) -> Self {
        let mut name = String::with_capacity(16);
        let _ = write!(name, "{kind}/{attempt}");
        Self::from_uuid(Uuid::new_v5(&intent.as_uuid(), name.as_bytes()))
    }
}

text_enum! {
    /// What the provider is asked to do.
    enum Kind {
        /// Set the amount aside.
        Authorize = "authorize",
        /// Take it.
        Capture = "capture",
        /// Let go of it.
        Void = "void",
        /// Give it back.
        Refund = "refund",
    }
}

text_enum! {
    /// What is known of an operation.
    enum OperationState {
        /// Stored, and about to be sent by whoever stored it.
        Pending = "pending",
        /// Sent without an answer: only the provider can tell.
        Unknown = "unknown",
        /// Done.
        Succeeded = "succeeded",
        /// Refused for good.
        Declined = "declined",
        /// Never done, and not wanted any more.
        Abandoned = "abandoned",
    }
}

/// How an operation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Settlement {
    /// Done; the provider's name for it.
    Succeeded {
        /// Set by authorizations only.
        reference: Option<String>,
    },
    /// Refused for good.
    Declined {
        /// A stable `snake_case` code.
        code: String,
    },
    /// Never done, and not wanted any more.
    Abandoned,
}

impl Settlement {
    /// The state in which it leaves the operation.
    pub(crate) const fn state(&self) -> OperationState {
        match self {
            Self::Succeeded { .. } => OperationState::Succeeded,
            Self::Declined { .. } => OperationState::Declined,
            Self::Abandoned => OperationState::Abandoned,
        }
    }
}

/// Who asked for a refund, and under which key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    /// The token's subject.
    pub(crate) caller: String,
    /// The `Idempotency-Key`.
    pub(crate) key: String,
}

/// One thing asked of a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Operation {
    /// Its id, which is its key at the provider.
    pub(crate) id: OperationId,
    /// Whose operation it is.
    pub(crate) intent_id: IntentId,
    /// What is asked for.
    pub(crate) kind: Kind,
    /// From 1 within the kind.
    pub(crate) attempt: i64,
    /// Over how much money.
    pub(crate) amount: Money,
    /// What is known of it.
    pub(crate) state: OperationState,
    /// Why it was declined.
    pub(crate) code: Option<String>,
    /// Why a person asked for it.
    pub(crate) reason: Option<String>,
    /// Which request asked for it.
    pub(crate) request: Option<Request>,
    /// In which trace it was asked for (W3C Trace Context); whoever does it later goes on in it.
    pub(crate) traceparent: Option<String>,
    /// Whether a request without an answer may have reached the provider.
    pub(crate) uncertain: bool,
    /// How often it was sent.
    pub(crate) sends: i64,
    /// How often the provider was asked about it without an answer.
    pub(crate) asks: i64,
    /// When it was last sent.
    pub(crate) sent_at: Option<Timestamp>,
    /// When to ask about it, or to send it if it never was.
    pub(crate) next_ask_at: Timestamp,
    /// When it was stored.
    pub(crate) created_at: Timestamp,
    /// When its outcome became known.
    pub(crate) settled_at: Option<Timestamp>,
}

impl Operation {
    /// A new one, to be sent at `due`.
    pub(crate) fn new(
        intent_id: IntentId,
        (kind, attempt): (Kind, i64),
        amount: Money,
        due: Timestamp,
        now: Timestamp,
    ) -> Self {
        Self {
            id: OperationId::derive(intent_id, kind, attempt),
            intent_id,
            kind,
            attempt,
            amount,
            state: OperationState::Pending,
            code: None,
            reason: None,
            request: None,
            traceparent: None,
            uncertain: false,
            sends: 0,
            asks: 0,
            sent_at: None,
            next_ask_at: due,
            created_at: now,
            settled_at: None,
        }
    }

    /// Whether its outcome is not known yet.
    pub(crate) const fn is_open(&self) -> bool {
        self.settled_at.is_none()
    }

    /// It is being sent. Others leave it alone until the sender's time is up.
    pub(crate) fn mark_sent(&mut self, policy: &Policy, now: Timestamp) {
        self.state = OperationState::Pending;
        self.sends += 1;
        self.asks = 0;
        self.sent_at = Some(now);
        self.next_ask_at = now.plus(policy.lease());
    }

    /// No answer came: it may have taken effect or not.
    pub(crate) fn mark_unanswered(&mut self, policy: &Policy, now: Timestamp) {
        self.doubt();
        self.next_ask_at = now.plus(policy.backoff(self.asks));
        self.asks += 1;
    }

    /// It did not take effect so far: the provider could not be reached, or has no record of it.
    pub(crate) fn mark_without_effect(&mut self, due: Timestamp) {
        self.state = OperationState::Unknown;
        self.next_ask_at = due;
    }

    /// Somebody sent it and never said what came of it: it may be on its way.
    pub(crate) fn doubt(&mut self) {
        self.uncertain = true;
        self.state = OperationState::Unknown;
    }

    /// Whether "no record" means that it never happened and never will.
    pub(crate) fn is_conclusive(&self, policy: &Policy, now: Timestamp) -> bool {
        let landed = |sent: Timestamp| now >= sent.plus(policy.late_effect);
        !self.uncertain || self.sent_at.is_none_or(landed)
    }

    /// It ended.
    pub(crate) fn settle(&mut self, settlement: &Settlement, now: Timestamp) {
        self.state = settlement.state();
        if let Settlement::Declined { code } = settlement {
            self.code = Some(code.clone());
        }
        self.settled_at = Some(now);
    }
}
