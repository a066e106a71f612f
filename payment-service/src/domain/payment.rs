//! All that is known of an order's money.

mod advance;

use common::ids::OrderId;
use common::money::Money;
use common::time::Timestamp;

use super::intent::{Intent, IntentState};
use super::operation::{Kind, Operation, OperationId, Request, Settlement};

/// Code of an authorization that never reached the provider.
pub(crate) use contracts::wire::PROVIDER_UNAVAILABLE;

/// What is to become of an order's money.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Order {
    /// Its id.
    pub(crate) id: OrderId,
    /// It must not hold money any more.
    pub(crate) voided: bool,
    /// It was confirmed and then cancelled, and waits to hear that it holds no money.
    pub(crate) cancelled: bool,
    /// It was told so.
    pub(crate) closed: bool,
}

/// An order, its latest intent and everything that was asked of the provider for that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Payment {
    /// The order.
    pub(crate) order: Order,
    /// Its latest intent.
    pub(crate) intent: Intent,
    /// The intent's operations, oldest first.
    pub(crate) operations: Vec<Operation>,
}

/// What the driver is after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// What an authorized payment is to become.
    pub(crate) want: Want,
    /// Look at this operation first.
    pub(crate) focus: Option<OperationId>,
    /// Who drives.
    pub(crate) driver: Driver,
}

/// What an authorized payment is to become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Want {
    /// Whatever it is.
    Nothing,
    /// Captured.
    Capture,
}

/// Who drives a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Driver {
    /// Somebody who waits for the answer: asks the provider at once.
    Caller,
    /// The resolver, or a caller in its later rounds: keeps to the times that are set.
    Patient,
    /// A consumer inside a transaction: leaves the provider to the resolver.
    Bookkeeper,
}

/// What was learnt since the last step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Report {
    /// Nothing yet.
    Nothing,
    /// The provider said how it ended.
    Settled(OperationId, Settlement),
    /// No answer: it may have taken effect.
    Unanswered(OperationId),
    /// It surely did not get there.
    Unreachable(OperationId),
    /// The provider has no record of it.
    NotFound(OperationId),
    /// The provider is still at it.
    Processing(OperationId),
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Move {
    /// Nothing: the payment is where it should be.
    Rest,
    /// Send the operation to the provider.
    Send(OperationId),
    /// Ask the provider about it.
    Ask(OperationId),
    /// Come back then; somebody else may have gone on meanwhile.
    Wait(Timestamp),
}

/// An operation whose outcome became known in a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settled {
    /// Which one.
    pub(crate) id: OperationId,
    /// What was asked for.
    pub(crate) kind: Kind,
    /// Over how much.
    pub(crate) amount: Money,
    /// How it ended.
    pub(crate) settlement: Settlement,
}

/// What a step changed; all of it is to be stored in one transaction, before `next` is done.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Step {
    /// Operations to insert.
    pub(crate) inserted: Vec<OperationId>,
    /// Operations to update.
    pub(crate) updated: Vec<OperationId>,
    /// Whether the intent is to be updated.
    pub(crate) intent_changed: bool,
    /// What became known.
    pub(crate) settled: Vec<Settled>,
}

/// Why a refund is not possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RefundFault {
    /// There is no captured money to refund.
    #[error("only a captured payment can be refunded, this one is {0}")]
    NotCaptured(IntentState),
    /// The order was cancelled: the rest is refunded already, or about to be.
    #[error("the order is cancelled and its money goes back on its own")]
    OrderVoided,
    /// Another currency than was paid.
    #[error("the payment was made in another currency")]
    Currency,
    /// More than was ever captured.
    #[error("more than was captured cannot be refunded")]
    ExceedsCaptured,
    /// More than is left after other refunds.
    #[error("only {left} is left to refund")]
    ExceedsRest {
        /// Captured, less what was refunded and what is being refunded.
        left: Money,
    },
}

impl Order {
    /// An order that nothing is known of yet.
    pub(crate) const fn new(id: OrderId) -> Self {
        Self {
            id,
            voided: false,
            cancelled: false,
            closed: false,
        }
    }
}

impl Step {
    /// Adds what a later step of the same payment changed.
    pub(crate) fn add(&mut self, later: Self) {
        let known = |id: &OperationId| self.inserted.contains(id) || self.updated.contains(id);
        let updated: Vec<_> = later.updated.into_iter().filter(|id| !known(id)).collect();
        self.updated.extend(updated);
        self.inserted.extend(later.inserted);
        self.intent_changed |= later.intent_changed;
        self.settled.extend(later.settled);
    }
}

impl Payment {
    /// Whether the order holds no money and nothing is under way.
    pub(crate) fn is_over(&self) -> bool {
        self.intent.holds_nothing() && !self.operations.iter().any(Operation::is_open)
    }

    /// Captured, less what was refunded and what is being refunded.
    pub(crate) fn refundable(&self) -> Money {
        let under_way: i64 = self
            .operations
            .iter()
            .filter(|operation| operation.is_open() && operation.kind == Kind::Refund)
            .map(|operation| operation.amount.amount)
            .sum();
        let left = self.intent.captured - self.intent.refunded - under_way;
        Money::new(left, self.intent.amount.currency)
    }

    /// The operation with this id.
    pub(crate) fn operation(&self, id: OperationId) -> Option<&Operation> {
        self.operations.iter().find(|operation| operation.id == id)
    }

    /// Makes a refund that a person asked for, to be sent with the next step. It is to be inserted.
    ///
    /// # Errors
    /// When there is not so much to refund.
    pub(crate) fn add_refund(
        &mut self,
        amount: Money,
        reason: &str,
        request: Request,
        now: Timestamp,
    ) -> Result<OperationId, RefundFault> {
        use IntentState::{Captured, PartiallyRefunded, Refunded};
        if !matches!(self.intent.state, Captured | PartiallyRefunded | Refunded) {
            return Err(RefundFault::NotCaptured(self.intent.state));
        }
        if amount.currency != self.intent.amount.currency {
            return Err(RefundFault::Currency);
        }
        if amount.amount > self.intent.captured {
            return Err(RefundFault::ExceedsCaptured);
        }
        let left = self.refundable();
        if !(1..=left.amount).contains(&amount.amount) {
            return Err(RefundFault::ExceedsRest { left });
        }
        if self.order.voided {
            return Err(RefundFault::OrderVoided);
        }
        let attempt = self.attempts(Kind::Refund) + 1;
        let kind = (Kind::Refund, attempt);
        let mut refund = Operation::new(self.intent.id, kind, amount, now, now);
        refund.reason = Some(reason.to_owned());
        refund.request = Some(request);
        let id = refund.id;
        self.operations.push(refund);
        Ok(id)
    }

    fn attempts(&self, kind: Kind) -> i64 {
        let same_kind = |operation: &&Operation| operation.kind == kind;
        i64::try_from(self.operations.iter().filter(same_kind).count()).unwrap_or(i64::MAX)
    }
}
