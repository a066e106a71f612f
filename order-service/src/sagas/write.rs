//! The writes of sagas. What several drivers write at the same time is one transaction.

use std::collections::HashSet;

use ::store::idempotency::{self, Answer};
use ::store::{BatchResult, BatchWork, Db, Tx};
use common::ids::OrderId;
use common::time::Timestamp;
use contracts::events::{ConfirmedLine, OrderConfirmed};
use messaging::{Outbox, PreparedEvent};

use super::driver::{Driver, Progress, Work};
use crate::domain::order::{Order, Status};
use crate::domain::saga::Position;
use crate::error::UseCaseError;
use crate::store::sagas::{StepRow, StoredSaga};
use crate::store::{orders, sagas};
use crate::wire::OrderOut;

/// The status of the answer to an order that has ended.
pub(crate) const CREATED: u16 = 201;

impl Driver {
    /// Writes where the saga stands and the attempts made since the last write.
    pub(super) async fn write(
        &self,
        work: &mut Work,
        now: Timestamp,
    ) -> Result<Progress, UseCaseError> {
        if !self.writer.run(Entry::of(work, now)).await? {
            return Ok(Progress::Lost);
        }
        work.stored.version += 1;
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

        let end = End::of(work, &self.outbox)?;
        let entry = Entry {
            end: Some(end),
            ..Entry::of(work, now)
        };
        let was_ours = self.writer.run(entry).await?;
        if was_ours {
            count(&work.order, now);
        }
        Ok(was_ours)
    }
}

/// What one driver has to write.
pub(crate) struct Entry {
    order: OrderId,
    stored: StoredSaga,
    /// Attempts made since the last write.
    steps: Vec<StepRow>,
    now: Timestamp,
    /// With the last entry of a saga.
    end: Option<End>,
}

/// What becomes durable with the end of a saga.
struct End {
    order: Order,
    event: Option<PreparedEvent>,
    answer: Option<Answer>,
}

impl Entry {
    fn of(work: &mut Work, now: Timestamp) -> Self {
        Self {
            order: work.order.id,
            stored: work.stored.clone(),
            steps: std::mem::take(&mut work.steps),
            now,
            end: None,
        }
    }
}

impl End {
    fn of(work: &Work, outbox: &Outbox) -> Result<Self, UseCaseError> {
        let order = &work.order;
        let event = match order.status {
            Status::Confirmed => Some(outbox.prepare(&order.id, &confirmed_event(order))?),
            _ => None,
        };
        let answer = match &work.answer_to {
            Some(request) => {
                let body = OrderOut::from(order);
                Some(Answer::new(request.clone(), CREATED, &body)?)
            }
            None => None,
        };
        Ok(Self {
            order: order.clone(),
            event,
            answer,
        })
    }
}

/// Writes entries; tells of each whether the saga was still that driver's.
pub(crate) struct WriteSagas {
    pub(crate) db: Db,
    pub(crate) outbox: Outbox,
}

impl BatchWork for WriteSagas {
    type Request = Entry;
    type Answer = bool;
    type Error = UseCaseError;

    fn db(&self) -> &Db {
        &self.db
    }

    async fn work(&self, entries: &[Entry]) -> BatchResult<Self> {
        let mut seen = HashSet::new();
        // Two drivers of one saga write the same version; only the first of them can be in time.
        let in_time: Vec<bool> = entries
            .iter()
            .map(|entry| seen.insert(entry.order))
            .collect();
        let candidates = || {
            entries
                .iter()
                .zip(&in_time)
                .filter(|(_, in_time)| **in_time)
        };
        let sagas: Vec<_> = candidates()
            .map(|(entry, _)| (entry.order, &entry.stored))
            .collect();
        let Some(now) = entries.iter().map(|entry| entry.now).max() else {
            return Ok(Vec::new());
        };

        let mut tx = self.db.begin().await?;
        let ours = sagas::update_sagas(&mut tx, &sagas, now).await?;
        let written = || candidates().filter(|(entry, _)| ours.contains(&entry.order));
        let steps: Vec<_> = written()
            .flat_map(|(entry, _)| entry.steps.iter().map(|step| (entry.order, step)))
            .collect();
        sagas::insert_steps(&mut tx, &steps).await?;
        let ended: Vec<&End> = written()
            .filter_map(|(entry, _)| entry.end.as_ref())
            .collect();
        self.end(&mut tx, &ended).await?;
        tx.commit().await?;
        let was_ours = |(entry, in_time): (&Entry, &bool)| *in_time && ours.contains(&entry.order);
        Ok(entries.iter().zip(&in_time).map(was_ours).map(Ok).collect())
    }
}

impl WriteSagas {
    async fn end(&self, tx: &mut Tx, ended: &[&End]) -> Result<(), UseCaseError> {
        let closed: Vec<&Order> = ended.iter().map(|end| &end.order).collect();
        if orders::update_status(tx, &closed, Status::Pending).await? != closed.len() {
            // Nothing of this batch is written; each entry alone shows whose fault it is.
            let ids: Vec<String> = closed.iter().map(|order| order.id.to_string()).collect();
            let fault = format!("one of {} was closed without its saga", ids.join(", "));
            return Err(UseCaseError::Inconsistent(fault));
        }
        let events: Vec<_> = ended.iter().filter_map(|end| end.event.clone()).collect();
        self.outbox.append_prepared(tx, &events).await?;
        let answers: Vec<&Answer> = ended.iter().filter_map(|end| end.answer.as_ref()).collect();
        idempotency::finish_many(tx, &answers).await?;
        Ok(())
    }
}

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
