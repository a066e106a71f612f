//! Many commands at the same time, which share transactions and nothing else.

use std::collections::{BTreeMap, BTreeSet};

use common::ids::{IntentId, OrderId};
use contracts::EventPayload as _;
use contracts::events::{OrderCancelled, PaymentRefunded};
use contracts::payment_v1::{AuthorizeOutcome, CaptureOutcome, IntentState, VoidOutcome};
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::json;
use testkit::events::EventSource;

use crate::harness::{AMOUNT, Harness, usd};

/// Authorizes many orders at once.
async fn authorized(harness: &Harness, orders: usize) -> Vec<(OrderId, IntentId)> {
    let commands = harness.commands();
    join_all((0..orders).map(|_| async {
        let order = harness.new_order();
        let reply = commands.authorize(order, "tok_ok").await;
        assert_eq!(reply.outcome(), AuthorizeOutcome::Authorized);
        (order, reply.intent_id.parse().expect("an id"))
    }))
    .await
}

#[tokio::test]
async fn many_orders_at_once_are_paid_each_once_and_a_declined_one_stops_no_other() {
    let harness = Harness::start().await;
    let commands = harness.commands();
    let pay = |index: usize, order: OrderId| {
        let commands = commands.clone();
        let token = if index.is_multiple_of(5) {
            "tok_declined"
        } else {
            "tok_ok"
        };
        async move {
            let reply = commands.authorize(order, token).await;
            let captured = match reply.outcome() {
                AuthorizeOutcome::Authorized => {
                    Some(commands.capture(reply.intent_id.parse().unwrap()).await)
                }
                _ => None,
            };
            (index, reply.outcome(), captured)
        }
    };
    let orders: Vec<_> = (0..40).map(|_| harness.new_order()).collect();
    // Everybody asks twice.
    let twice = orders.iter().chain(&orders).zip((0..40).chain(0..40));
    let paid = join_all(twice.map(|(order, index)| pay(index, *order))).await;
    for (index, outcome, captured) in paid {
        let expected = if index.is_multiple_of(5) {
            (AuthorizeOutcome::Declined, None)
        } else {
            let captured = Some(CaptureOutcome::Captured);
            (AuthorizeOutcome::Authorized, captured)
        };
        assert_eq!((outcome, captured), expected, "order {index}");
    }
    for kind in ["authorize", "capture"] {
        assert_eq!(harness.effects(kind).await, 32, "{kind}");
    }
    harness.finish().await;
}

#[tokio::test]
async fn captures_and_voids_of_the_same_orders_at_once_leave_no_money_held() {
    let harness = Harness::start().await;
    let commands = harness.commands();
    let orders = authorized(&harness, 24).await;
    let both = orders.iter().enumerate().map(|(index, (order, intent))| {
        let (capture, void) = (commands.capture(*intent), commands.void(*order));
        async move {
            // Who comes first differs.
            if index.is_multiple_of(2) {
                tokio::join!(capture, void)
            } else {
                let (void, capture) = tokio::join!(void, capture);
                (capture, void)
            }
        }
    });
    for (index, (captured, voided)) in join_all(both).await.into_iter().enumerate() {
        let state = commands.intent(orders[index].0).await.state();
        let consistent = match voided {
            VoidOutcome::Voided => {
                captured == CaptureOutcome::Failed && state == IntentState::Voided
            }
            VoidOutcome::Refunded => state == IntentState::Refunded,
            _ => false,
        };
        assert!(consistent, "{captured:?}, {voided:?}, {state:?}");
    }
    let refunded = harness.effects("refund").await;
    assert_eq!(harness.effects("capture").await, refunded);
    assert_eq!(harness.effects("void").await, 24 - refunded);
    harness.finish().await;
}

#[tokio::test]
async fn whatever_happens_to_the_same_orders_at_once_the_books_agree() {
    let harness = Harness::start().await;
    let commands = harness.commands();
    let orders = authorized(&harness, 16).await;
    let source = EventSource::new("order", &harness.identity);
    let cancelled = |(order, _): &(OrderId, IntentId)| {
        let event = OrderCancelled {
            order_id: *order,
            store_id: harness.store,
            reason: "guest_left".to_owned(),
            cancelled_at: harness.clock.now(),
            was_confirmed: true,
        };
        source.event(*order, &event)
    };
    // Newest first: against the order in which batches lock.
    let events: Vec<_> = orders.iter().rev().step_by(3).map(cancelled).collect();
    let captures = orders.iter().map(|(_, intent)| commands.capture(*intent));
    let again = orders.iter().rev();
    let again = again.map(|(order, _)| commands.authorize(*order, "tok_ok"));
    let voids = orders
        .iter()
        .step_by(4)
        .map(|(order, _)| commands.void(*order));
    let refunds = orders.iter().map(|(order, intent)| {
        let (harness, key) = (&harness, order.to_string());
        async move { harness.refund(*intent, &key, 100).await }
    });
    let (_captured, _again, _voided, refunds, outcomes) = tokio::join!(
        join_all(captures),
        join_all(again),
        join_all(voids),
        join_all(refunds),
        source.deliver(harness.http(), &events)
    );
    assert_eq!(outcomes, vec!["done"; events.len()]);
    for refund in refunds {
        // Too early, too late, or done.
        let status = refund.status;
        assert!([201, 202, 409].contains(&status), "{status}");
    }
    testkit::wait_until("nothing is under way", || async {
        let report = harness.owner.get("/internal/reconciliation").await;
        report.expect(200)["unsettled"] == 0
    })
    .await;
    for (order, _) in orders.iter().rev().step_by(3) {
        let state = commands.intent(*order).await.state();
        let over = [IntentState::Voided, IntentState::Refunded].contains(&state);
        assert!(over, "a cancelled order holds money: {state:?}");
    }
    harness.finish().await;
}

#[tokio::test]
async fn events_of_requests_that_share_a_transaction_keep_their_own_traces() {
    let harness = Harness::start().await;
    let commands = harness.commands();
    let orders = authorized(&harness, 12).await;
    join_all(orders.iter().map(|(_, intent)| commands.capture(*intent))).await;
    let mut traces = BTreeMap::new();
    let refunds = orders.iter().enumerate().map(|(index, (order, intent))| {
        let trace = format!("00-4bf92f3577b34da6a3ce929d0e0e{index:04x}-00f067aa0ba902b7-01");
        traces.insert(order.to_string(), trace.clone());
        let path = format!("/api/payments/{intent}/refunds");
        let request = harness.owner.request(Method::POST, &path);
        let request = request.header("traceparent", trace);
        let request = request.header("idempotency-key", order.to_string());
        request
            .json(&json!({"amount": usd(AMOUNT), "reason": "cold pizza"}))
            .send()
    });
    for reply in join_all(refunds.collect::<Vec<_>>()).await {
        assert_eq!(reply.unwrap().status(), 201);
    }
    let subscriber = &harness.order_service;
    let events = subscriber.wait_for_events(PaymentRefunded::TYPE, 12).await;
    let told: BTreeMap<_, _> = events
        .iter()
        .map(|event| {
            let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
            (
                text(&event["data"]["order_id"]),
                text(&event["traceparent"]),
            )
        })
        .collect();
    assert_eq!(told, traces);
    assert_eq!(traces.values().collect::<BTreeSet<_>>().len(), 12);
    harness.finish().await;
}
