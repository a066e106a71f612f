//! All that is known of an order's money, and what to do next about it.
//!
//! [`Payment::advance`] is the whole logic of dealing with a provider: it takes in what was learnt,
//! and says what to do next. It is pure; whoever drives it stores the changes, does what it says and
//! comes back with what that brought. Interrupted anywhere, the next driver goes on from what is
//! stored.

use common::ids::OrderId;
use common::money::Money;
use common::time::Timestamp;

use super::intent::{IllegalTransition, Intent, IntentState, Method};
use super::operation::{Kind, Operation, OperationId, OperationState, Request, Settlement};
use super::policy::Policy;

/// Code of an authorization that never reached the provider.
pub(crate) const PROVIDER_UNAVAILABLE: &str = "provider_unavailable";

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

enum Decision {
    Next(Move),
    Start(Kind, Money),
    Settle(OperationId, Settlement),
    Send(OperationId),
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

    /// Takes in what was learnt and decides what to do next.
    ///
    /// # Errors
    /// When the report contradicts what is known: a fault of the program or of the provider.
    pub(crate) fn advance(
        &mut self,
        report: Report,
        plan: Plan,
        policy: &Policy,
        now: Timestamp,
    ) -> Result<(Step, Move), IllegalTransition> {
        let mut step = Step::default();
        let mut decision = self.take_in(report, policy, now, &mut step)?;
        loop {
            let decided = match decision.take() {
                Some(decision) => decision,
                None => self.decide(plan, now),
            };
            match decided {
                Decision::Next(next) => return Ok((step, next)),
                Decision::Settle(id, settlement) => self.settle(id, settlement, now, &mut step)?,
                Decision::Start(kind, amount) => self.start(kind, amount, now, &mut step)?,
                Decision::Send(id) if self.intent.method == Method::Cash => {
                    let settlement = Settlement::Succeeded { reference: None };
                    self.settle(id, settlement, now, &mut step)?;
                }
                Decision::Send(_) if plan.driver == Driver::Bookkeeper => {
                    return Ok((step, Move::Wait(now)));
                }
                Decision::Send(id) => {
                    self.change(id, &mut step, |operation| operation.mark_sent(policy, now));
                    return Ok((step, Move::Send(id)));
                }
            }
        }
    }

    /// Takes in what was learnt; some of it decides at once.
    fn take_in(
        &mut self,
        report: Report,
        policy: &Policy,
        now: Timestamp,
        step: &mut Step,
    ) -> Result<Option<Decision>, IllegalTransition> {
        let open = |id| self.operation(id).is_some_and(Operation::is_open);
        match report {
            Report::Settled(id, settlement) if open(id) => {
                self.settle(id, settlement, now, step)?;
                Ok(None)
            }
            Report::Unanswered(id) | Report::Processing(id) if open(id) => {
                self.change(id, step, |operation| operation.mark_unanswered(policy, now));
                Ok(None)
            }
            Report::Unreachable(id) if open(id) => {
                Ok(Some(self.without_effect(id, policy, now, step)))
            }
            Report::NotFound(id) if open(id) => {
                self.change(id, step, |operation| {
                    // Its sender never said what came of it.
                    if operation.state == OperationState::Pending {
                        operation.doubt();
                    }
                });
                Ok(Some(self.without_effect(id, policy, now, step)))
            }
            // Somebody else has learnt more meanwhile.
            _ => Ok(None),
        }
    }

    /// The operation took no effect so far. Sending it again under its key is always safe; giving it
    /// up is safe only when nothing of it can still be on its way.
    fn without_effect(
        &mut self,
        id: OperationId,
        policy: &Policy,
        now: Timestamp,
        step: &mut Step,
    ) -> Decision {
        let voided = self.order.voided;
        let Some(operation) = self.operation(id) else {
            return Decision::Next(Move::Rest);
        };
        let sent_at = operation.sent_at.unwrap_or(operation.created_at);
        let conclusive = operation.is_conclusive(policy, now);
        let wanted = !voided || matches!(operation.kind, Kind::Void | Kind::Refund);
        let given_up = operation.kind == Kind::Authorize && operation.sends >= policy.max_sends;
        let send_again_at = sent_at.plus(policy.backoff(operation.sends));
        if conclusive && !wanted {
            return Decision::Settle(id, Settlement::Abandoned);
        }
        if conclusive && given_up {
            let code = PROVIDER_UNAVAILABLE.to_owned();
            return Decision::Settle(id, Settlement::Declined { code });
        }
        if wanted && !given_up && now >= send_again_at {
            return Decision::Send(id);
        }
        let due = if wanted && !given_up {
            send_again_at
        } else {
            let asked_again = now.plus(policy.backoff(operation.asks + 1));
            asked_again.min(sent_at.plus(policy.late_effect))
        };
        self.change(id, step, |operation| {
            operation.asks += 1;
            operation.mark_without_effect(due);
        });
        Decision::Next(Move::Wait(due))
    }

    fn decide(&self, plan: Plan, now: Timestamp) -> Decision {
        if let Some(open) = self.open_operation(plan.focus) {
            return Self::decide_open(open, plan.driver, now);
        }
        let intent = &self.intent;
        let capture = plan.want == Want::Capture || intent.method == Method::Cash;
        match (intent.state, self.order.voided) {
            (IntentState::Authorizing, _) => Decision::Start(Kind::Authorize, intent.amount),
            (IntentState::Authorized, false) if capture => {
                Decision::Start(Kind::Capture, intent.amount)
            }
            (IntentState::Authorized | IntentState::Failed, true) => {
                Decision::Start(Kind::Void, intent.amount)
            }
            (IntentState::Captured | IntentState::PartiallyRefunded, true) => {
                Decision::Start(Kind::Refund, self.refundable())
            }
            _ => Decision::Next(Move::Rest),
        }
    }

    /// The operation to wait for: the one looked at, the one that holds up the intent, or, when
    /// everything has to go back, any refund under way.
    fn open_operation(&self, focus: Option<OperationId>) -> Option<&Operation> {
        let mut open = self
            .operations
            .iter()
            .filter(|operation| operation.is_open());
        let focused = open.clone().find(|operation| Some(operation.id) == focus);
        focused
            .or_else(|| open.find(|operation| operation.kind != Kind::Refund || self.order.voided))
    }

    fn decide_open(operation: &Operation, driver: Driver, now: Timestamp) -> Decision {
        let due = now >= operation.next_ask_at;
        let never_sent = operation.sends == 0;
        let at_once = driver == Driver::Caller && operation.state == OperationState::Unknown;
        match (due || at_once, never_sent) {
            (true, true) => Decision::Send(operation.id),
            (true, false) => Decision::Next(Move::Ask(operation.id)),
            (false, _) => Decision::Next(Move::Wait(operation.next_ask_at)),
        }
    }

    /// Stores the intention to do something. After a refusal it waits before it asks again.
    fn start(
        &mut self,
        kind: Kind,
        amount: Money,
        now: Timestamp,
        step: &mut Step,
    ) -> Result<(), IllegalTransition> {
        let attempt = self.attempts(kind) + 1;
        let same_kind = |operation: &&Operation| operation.kind == kind;
        let refused = self
            .operations
            .iter()
            .rev()
            .find(same_kind)
            .is_some_and(|last| last.state == OperationState::Declined);
        let due = if refused {
            now.plus(Policy::backoff_after_refusal(attempt - 1))
        } else {
            now
        };
        let operation = Operation::new(self.intent.id, (kind, attempt), amount, due, now);
        self.intent.begin(kind, now)?;
        step.intent_changed = true;
        step.inserted.push(operation.id);
        self.operations.push(operation);
        Ok(())
    }

    fn settle(
        &mut self,
        id: OperationId,
        settlement: Settlement,
        now: Timestamp,
        step: &mut Step,
    ) -> Result<(), IllegalTransition> {
        let Some(operation) = self.operation(id) else {
            return Ok(());
        };
        let (kind, amount) = (operation.kind, operation.amount);
        self.intent
            .settle((kind, amount.amount), &settlement, now)?;
        step.intent_changed = true;
        self.change(id, step, |operation| operation.settle(&settlement, now));
        step.settled.push(Settled {
            id,
            kind,
            amount,
            settlement,
        });
        Ok(())
    }

    fn change(&mut self, id: OperationId, step: &mut Step, change: impl FnOnce(&mut Operation)) {
        let found = self.operations.iter_mut().find(|found| found.id == id);
        if let Some(operation) = found {
            change(operation);
            if !step.inserted.contains(&id) && !step.updated.contains(&id) {
                step.updated.push(id);
            }
        }
    }

    fn attempts(&self, kind: Kind) -> i64 {
        let same_kind = |operation: &&Operation| operation.kind == kind;
        i64::try_from(self.operations.iter().filter(same_kind).count()).unwrap_or(i64::MAX)
    }
}
