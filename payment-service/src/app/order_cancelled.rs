//! Confirmed orders were cancelled: their money goes back on its own.

use std::collections::{BTreeMap, BTreeSet};

use ::store::Tx;
use common::context::RequestContext;
use common::time::Timestamp;
use contracts::events::OrderCancelled;
use messaging::Outbox;

use super::drafts::{Cue, Drafts, nothing_to_refund};
use crate::domain::payment::{Driver, Plan, Report, Want};
use crate::domain::policy::Policy;
use crate::error::UseCaseError;
use crate::store::payments;

const PLAN: Plan = Plan {
    want: Want::Nothing,
    focus: None,
    driver: Driver::Bookkeeper,
};

/// An order that was cancelled, and in which context it was.
pub(crate) type Cancelled = (RequestContext, OrderCancelled);

/// Remembers that the orders' money has to go back and stores the intentions to give it back; the
/// resolver does the rest. What needs no provider is done here.
///
/// Each order hears of it by `payment.refunded.v1`, over nothing if there was nothing to refund.
pub(crate) async fn orders_cancelled(
    tx: &mut Tx,
    outbox: &Outbox,
    policy: &Policy,
    cancelled: Vec<Cancelled>,
    now: Timestamp,
) -> Result<(), UseCaseError> {
    let ids: BTreeSet<_> = cancelled.iter().map(|(_, event)| event.order_id).collect();
    let mut held = payments::lock_orders(tx, &ids, now).await?;
    held.retain(|_, held| !held.order.closed);
    let open: Vec<_> = held.keys().copied().collect();
    payments::update_orders_cancelled(tx, &open, now).await?;

    // Told twice, an order is cancelled once, by the first.
    let cancelled: BTreeMap<_, _> = cancelled
        .into_iter()
        .rev()
        .map(|(context, event)| (event.order_id, (context, event.store_id)))
        .collect();
    let (mut paid, mut cues, mut unpaid) = (Vec::new(), Vec::new(), Vec::new());
    for (id, held) in held {
        let Some((context, store)) = cancelled.get(&id).cloned() else {
            continue;
        };
        let Some(mut payment) = held.latest else {
            let event = nothing_to_refund(id, store, now);
            context.scope(outbox.append(tx, id, &event)).await?;
            unpaid.push(id);
            continue;
        };
        (payment.order.voided, payment.order.cancelled) = (true, true);
        let cue = Cue {
            report: Report::Nothing,
            plan: PLAN,
            context,
        };
        cues.push((payment.intent.id, cue));
        paid.push(payment);
    }
    payments::update_orders_closed(tx, &unpaid, now).await?;
    let mut drafts = Drafts::of(paid);
    for (intent, cue) in &cues {
        drafts.advance(*intent, cue, policy, now)?;
    }
    drafts.store(tx, outbox, now).await
}
