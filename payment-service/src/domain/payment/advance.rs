//! The whole logic of dealing with a provider.
//!
//! [`Payment::advance`] takes in what was learnt and says what to do next. It is pure; whoever drives
//! it stores the changes, does what it says and comes back with what that brought. Interrupted
//! anywhere, the next driver goes on from what is stored.

use common::money::Money;
use common::time::Timestamp;

use super::{Driver, Move, PROVIDER_UNAVAILABLE, Payment, Plan, Report, Settled, Step, Want};
use crate::domain::intent::{IllegalTransition, IntentState, Method};
use crate::domain::operation::{Kind, Operation, OperationId, OperationState, Settlement};
use crate::domain::policy::Policy;

enum Decision {
    Next(Move),
    Start(Kind, Money),
    Settle(OperationId, Settlement),
    Send(OperationId),
}

impl Payment {
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
}
