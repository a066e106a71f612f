//! One payment, and what its steps changed since it was read.

use common::context::RequestContext;
use common::ids::{IntentId, OrderId, StoreId};
use common::money::Currency;
use common::time::Timestamp;
use contracts::events::PaymentRefunded;
use uuid::Uuid;

use super::{Cue, Progress};
use crate::app::refund::Asked;
use crate::domain::intent::IntentState;
use crate::domain::ledger::Booking;
use crate::domain::operation::{Kind, Operation, OperationId, Settlement};
use crate::domain::payment::{Order, Payment, Settled, Step};
use crate::domain::policy::Policy;
use crate::error::UseCaseError;
use crate::store::ledger::Booked;

/// A payment, and what is to be stored of it.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) payment: Payment,
    /// The intent is to be inserted as it is.
    pub(super) is_new: bool,
    /// All steps together.
    pub(super) step: Step,
    bookings: Vec<(OperationId, Booking)>,
    /// Each with the context of its cause.
    pub(super) events: Vec<(RequestContext, PaymentRefunded)>,
    /// The order is told that it holds no money.
    pub(super) closes_order: bool,
}

impl Draft {
    /// A payment as it is stored.
    pub(super) fn stored(payment: Payment) -> Self {
        Self {
            payment,
            is_new: false,
            step: Step::default(),
            bookings: Vec::new(),
            events: Vec::new(),
            closes_order: false,
        }
    }

    /// A payment that is not stored yet.
    pub(super) fn new(payment: Payment) -> Self {
        Self {
            is_new: true,
            ..Self::stored(payment)
        }
    }

    /// Takes a step. Refused, it leaves everything as it was.
    pub(super) fn advance(
        &mut self,
        cue: &Cue,
        policy: &Policy,
        now: Timestamp,
    ) -> Result<Progress, UseCaseError> {
        // Aside: what is refused half-way must leave no trace.
        let mut payment = self.payment.clone();
        let (step, next) = payment.advance(cue.report.clone(), cue.plan, policy, now)?;
        let bookings = bookings(&payment, &step)?;
        let mut events = refunds(&payment, &step, now);
        let Order {
            cancelled, closed, ..
        } = payment.order;
        if cancelled && !closed && payment.is_over() {
            if !events.iter().any(|event| event.full) {
                events.push(PaymentRefunded {
                    full: true,
                    ..refunded(&payment, 0, now)
                });
            }
            payment.order.closed = true;
            self.closes_order = true;
        }
        let events = events.into_iter().map(|event| (cue.context.clone(), event));
        self.events.extend(events);
        self.bookings.extend(bookings);
        self.step.add(step);
        let inserted = &self.step.inserted;
        let new = payment.operations.iter_mut();
        for operation in new.filter(|operation| inserted.contains(&operation.id)) {
            let traceparent = &cue.context.traceparent;
            operation
                .traceparent
                .get_or_insert_with(|| traceparent.clone());
        }
        self.payment = payment.clone();
        Ok(Progress { payment, next })
    }

    /// Adds a refund.
    pub(super) fn add_refund(
        &mut self,
        asked: &Asked,
        now: Timestamp,
    ) -> Result<OperationId, UseCaseError> {
        let request = asked.request.clone();
        let refund = self
            .payment
            .add_refund(asked.amount, &asked.reason, request, now)?;
        self.step.inserted.push(refund);
        Ok(refund)
    }

    pub(super) fn operations(&self, ids: &[OperationId]) -> impl Iterator<Item = &Operation> {
        let operations = self.payment.operations.iter();
        operations.filter(|operation| ids.contains(&operation.id))
    }

    pub(super) fn bookings(&self) -> impl Iterator<Item = Booked<'_>> {
        let bookings = self.bookings.iter();
        bookings.map(|(id, booking)| (*id, &self.payment.intent, booking))
    }

    /// Says what became known.
    pub(super) fn log(&self) {
        for settled in &self.step.settled {
            log(&self.payment, settled);
        }
    }
}

fn succeeded(step: &Step) -> impl Iterator<Item = &Settled> {
    let settled = step.settled.iter();
    settled.filter(|settled| matches!(settled.settlement, Settlement::Succeeded { .. }))
}

fn bookings(payment: &Payment, step: &Step) -> Result<Vec<(OperationId, Booking)>, UseCaseError> {
    let mut bookings = Vec::new();
    for settled in succeeded(step) {
        let method = payment.intent.method;
        if let Some(booking) = Booking::of(settled.kind, method, settled.amount)? {
            bookings.push((settled.id, booking));
        }
    }
    Ok(bookings)
}

/// What a step gave back to the guest.
fn refunds(payment: &Payment, step: &Step, now: Timestamp) -> Vec<PaymentRefunded> {
    succeeded(step)
        .filter(|settled| settled.kind == Kind::Refund)
        .map(|settled| refunded(payment, settled.amount.amount, now))
        .collect()
}

fn refunded(payment: &Payment, amount: i64, now: Timestamp) -> PaymentRefunded {
    let intent = &payment.intent;
    PaymentRefunded {
        intent_id: intent.id,
        order_id: intent.order_id,
        store_id: intent.store_id,
        amount,
        currency: intent.amount.currency,
        refunded_total: intent.refunded,
        full: intent.state == IntentState::Refunded,
        refunded_at: now,
    }
}

/// Tells a cancelled order that never had a payment that it holds no money.
pub(crate) fn nothing_to_refund(
    order: OrderId,
    store_id: StoreId,
    now: Timestamp,
) -> PaymentRefunded {
    PaymentRefunded {
        // There is none, and no amount has a currency.
        intent_id: IntentId::from_uuid(Uuid::nil()),
        order_id: order,
        store_id,
        amount: 0,
        currency: Currency::NONE,
        refunded_total: 0,
        full: true,
        refunded_at: now,
    }
}

fn log(payment: &Payment, settled: &Settled) {
    let outcome = settled.settlement.state().as_str();
    let code = match &settled.settlement {
        Settlement::Declined { code } => code.as_str(),
        Settlement::Succeeded { .. } | Settlement::Abandoned => "",
    };
    metrics::counter!(
        "payment_operations_total",
        "kind" => settled.kind.as_str(), "outcome" => outcome
    )
    .increment(1);
    tracing::info!(
        order.id = %payment.order.id,
        intent.id = %payment.intent.id,
        operation.kind = settled.kind.as_str(),
        operation.outcome = outcome,
        operation.code = code,
        "an operation is settled"
    );
}
