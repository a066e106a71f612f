//! The writes of a saga. Each is one transaction.

use common::time::Timestamp;
use contracts::events::{ConfirmedLine, OrderConfirmed};

use super::driver::{Driver, Progress, Work};
use crate::domain::order::{Order, Status};
use crate::domain::saga::Position;
use crate::error::UseCaseError;
use crate::store::{orders, sagas};
use crate::wire::OrderOut;

impl Driver {
    /// Writes where the saga stands and the attempts made since the last write.
    pub(super) async fn write(
        &self,
        work: &mut Work,
        now: Timestamp,
    ) -> Result<Progress, UseCaseError> {
        let mut tx = self.db.begin().await?;
        if !sagas::update_saga(&mut tx, work.order.id, &work.stored, now).await? {
            return Ok(Progress::Lost);
        }
        sagas::insert_steps(&mut tx, work.order.id, &work.steps).await?;
        tx.commit().await?;
        work.stored.version += 1;
        work.steps.clear();
        Ok(Progress::Go)
    }

    /// Ends the saga: its state, the order's, the event and the remembered answer become durable
    /// together. Tells whether the saga was still this driver's.
    pub(super) async fn finish(&self, work: &mut Work) -> Result<bool, UseCaseError> {
        let now = self.clock.now();
        work.stored.next_attempt_at = None;
        work.stored.leased_until = None;
        work.stored.parked_at = None;
        close_order(&mut work.order, &work.stored.saga, now)?;

        let mut tx = self.db.begin().await?;
        let id = work.order.id;
        if !sagas::update_saga(&mut tx, id, &work.stored, now).await? {
            return Ok(false);
        }
        sagas::insert_steps(&mut tx, id, &work.steps).await?;
        if !orders::update_status(&mut tx, &work.order, Status::Pending).await? {
            return Err(UseCaseError::Inconsistent(format!(
                "order {id} was closed without its saga"
            )));
        }
        if work.order.status == Status::Confirmed {
            let event = confirmed_event(&work.order);
            self.outbox.append(&mut tx, id, &event).await?;
        }
        if let Some(request) = &work.answer_to {
            let body = OrderOut::from(&work.order);
            ::store::idempotency::finish(&mut tx, request, CREATED, &body).await?;
        }
        tx.commit().await?;
        self.outbox.wake();
        count(&work.order, now);
        Ok(true)
    }
}

/// The status of the answer to an order that has ended.
pub(crate) const CREATED: u16 = 201;

fn close_order(
    order: &mut Order,
    saga: &crate::domain::saga::Saga,
    now: Timestamp,
) -> Result<(), UseCaseError> {
    match saga.position {
        Position::Confirmed => order.become_status(Status::Confirmed, now)?,
        _ => {
            order.become_status(Status::Cancelled, now)?;
            order.cancel_reason = saga.reason.map(|reason| reason.as_str().to_owned());
        }
    }
    Ok(())
}

fn count(order: &Order, now: Timestamp) {
    let outcome = order.status.as_str();
    let reason = order.cancel_reason.clone().unwrap_or_default();
    metrics::counter!("order_sagas_total", "outcome" => outcome, "reason" => reason).increment(1);
    let duration = now.since(order.created_at);
    metrics::histogram!("order_saga_duration_seconds", "outcome" => outcome)
        .record(duration.as_secs_f64());
}

/// What the world is told of a confirmed order.
pub(crate) fn confirmed_event(order: &Order) -> OrderConfirmed {
    let lines = (1..)
        .zip(&order.lines)
        .map(|(line_no, line)| ConfirmedLine {
            line_no,
            item_id: line.item.item_id,
            item_sku: line.item.sku.clone(),
            item_name: line.item.name.clone(),
            product_key: line.item.product_key.clone(),
            product_name: line.item.product_name.clone(),
            category: line.item.category.clone(),
            quantity: line.quantity,
            unit_price: line.unit_price,
            net_amount: line.net_amount,
        });
    OrderConfirmed {
        order_id: order.id,
        store_id: order.store_id,
        channel: order.channel.as_str().to_owned(),
        currency: order.total.currency,
        placed_at: order.placed_at,
        local_time: order.local_time,
        business_date: order.business_date,
        origin: order.origin,
        lines: lines.collect(),
        net_amount: order.total.amount,
    }
}
