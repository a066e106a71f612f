//! Writes down what a step changed: the payment, its bookings and its events, in one transaction.

use ::store::Tx;
use common::ids::{IntentId, StoreId};
use common::money::Currency;
use common::time::Timestamp;
use contracts::events::PaymentRefunded;
use messaging::Outbox;
use uuid::Uuid;

use crate::domain::intent::IntentState;
use crate::domain::ledger::Booking;
use crate::domain::operation::{Kind, Settlement};
use crate::domain::payment::{Order, Payment, Settled, Step};
use crate::error::UseCaseError;
use crate::store::{ledger, payments};

/// Stores a step, books the money that it moved and announces what went back to the guest.
pub(crate) async fn record(
    tx: &mut Tx,
    outbox: &Outbox,
    payment: &mut Payment,
    step: &Step,
    now: Timestamp,
) -> Result<(), UseCaseError> {
    payments::update_payment(tx, payment, step).await?;
    let mut announced_all = false;
    for settled in &step.settled {
        log(payment, settled);
        if !matches!(settled.settlement, Settlement::Succeeded { .. }) {
            continue;
        }
        let intent = &payment.intent;
        if let Some(booking) = Booking::of(settled.kind, intent.method, settled.amount)? {
            ledger::insert_booking(tx, (settled.id, intent), &booking, now).await?;
        }
        if settled.kind == Kind::Refund {
            let event = refunded(payment, settled.amount.amount, now);
            outbox.append(tx, payment.order.id, &event).await?;
            announced_all |= event.full;
        }
    }
    if payment.order.cancelled && !payment.order.closed && payment.is_over() {
        if !announced_all {
            let event = PaymentRefunded {
                full: true,
                ..refunded(payment, 0, now)
            };
            outbox.append(tx, payment.order.id, &event).await?;
        }
        payments::update_order_closed(tx, payment.order.id, now).await?;
        payment.order.closed = true;
    }
    Ok(())
}

/// Tells a cancelled order that never had a payment that it holds no money.
pub(crate) async fn record_nothing_to_refund(
    tx: &mut Tx,
    outbox: &Outbox,
    (order, store_id): (Order, StoreId),
    now: Timestamp,
) -> Result<(), UseCaseError> {
    let event = PaymentRefunded {
        // There is none, and no amount has a currency.
        intent_id: IntentId::from_uuid(Uuid::nil()),
        order_id: order.id,
        store_id,
        amount: 0,
        currency: Currency::NONE,
        refunded_total: 0,
        full: true,
        refunded_at: now,
    };
    outbox.append(tx, order.id, &event).await?;
    payments::update_order_closed(tx, order.id, now).await?;
    Ok(())
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
