//! What the service does about cancelled orders.

use common::ids::OrderId;
use common::time::Timestamp;
use contracts::EventPayload as _;
use contracts::events::{OrderCancelled, PaymentRefunded};
use contracts::payment_v1::IntentState;
use serde_json::{Value, json};
use testkit::events::EventSource;

use crate::harness::{AMOUNT, Harness};

/// Cancels an order, three times with one event, and waits for the answer.
async fn cancel(harness: &Harness, order: OrderId, answers: usize) -> Value {
    let source = EventSource::new("order", &harness.identity);
    let event = source.event(order, &cancelled(harness, order));
    for _ in 0..3 {
        let outcomes = source
            .deliver(harness.http(), std::slice::from_ref(&event))
            .await;
        assert_eq!(outcomes, ["done"]);
    }
    let events = harness
        .order_service
        .wait_for_events(PaymentRefunded::TYPE, answers)
        .await;
    assert_eq!(events.len(), answers);
    let last = events.last().and_then(|event| event.get("data"));
    last.cloned().expect("an event carries data")
}

fn cancelled(harness: &Harness, order: OrderId) -> OrderCancelled {
    OrderCancelled {
        order_id: order,
        store_id: harness.store,
        reason: "guest_left".to_owned(),
        cancelled_at: Timestamp::from_unix_seconds(1_790_000_000),
        was_confirmed: true,
    }
}

/// Nothing more is said, however often the order is cancelled.
async fn assert_said_once(harness: &Harness, order: OrderId, answers: usize) {
    let source = EventSource::new("order", &harness.identity);
    let again = source.event(order, &cancelled(harness, order));
    source.deliver(harness.http(), &[again]).await;
    testkit::assert_outbox_empty(&harness.db).await;
    let events = harness.order_service.events_of(PaymentRefunded::TYPE);
    assert_eq!(events.len(), answers);
}

#[tokio::test]
async fn a_cancelled_order_is_refunded_once_and_says_so() {
    let harness = Harness::start().await;
    let (order, id) = harness.captured("tok_ok").await;
    let said = cancel(&harness, order, 1).await;
    assert_eq!(said["intent_id"], id.to_string());
    assert_eq!(
        (said["amount"].clone(), said["full"].clone()),
        (json!(AMOUNT), json!(true))
    );
    assert_eq!(
        harness.commands().intent(order).await.state(),
        IntentState::Refunded
    );
    assert_eq!(harness.effects("refund").await, 1);
    assert_said_once(&harness, order, 1).await;
    harness.finish().await;
}

#[tokio::test]
async fn the_refund_of_a_cancelled_order_is_told_in_the_trace_of_the_cancellation() {
    let harness = Harness::start().await;
    let (order, _) = harness.captured("tok_ok").await;
    let source = EventSource::new("order", &harness.identity);
    let mut event = source.event(order, &cancelled(&harness, order));
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    event["traceparent"] = json!(trace);
    assert_eq!(source.deliver(harness.http(), &[event]).await, ["done"]);
    // It is the resolver that gives the money back.
    let events = harness
        .order_service
        .wait_for_events(PaymentRefunded::TYPE, 1)
        .await;
    assert_eq!(events[0]["traceparent"], trace);
    harness.finish().await;
}

#[tokio::test]
async fn only_the_rest_of_a_partly_refunded_order_goes_back() {
    let harness = Harness::start().await;
    let (order, id) = harness.captured("tok_refund_timeout_after_success").await;
    let _ = harness.refund(id, "part", 650).await.expect(201);
    let said = cancel(&harness, order, 2).await;
    assert_eq!(
        (said["amount"].clone(), said["full"].clone()),
        (json!(2_000), json!(true))
    );
    assert_eq!(said["refunded_total"], AMOUNT);
    assert_said_once(&harness, order, 2).await;
    harness.finish().await;
}

#[tokio::test]
async fn an_order_that_was_refunded_before_still_closes() {
    let harness = Harness::start().await;
    let (order, id) = harness.captured("tok_ok").await;
    let _ = harness.refund(id, "all", AMOUNT).await.expect(201);
    let said = cancel(&harness, order, 2).await;
    assert_eq!(
        (said["amount"].clone(), said["full"].clone()),
        (json!(0), json!(true))
    );
    assert_eq!(harness.effects("refund").await, 1);
    assert_said_once(&harness, order, 2).await;
    harness.finish().await;
}

#[tokio::test]
async fn an_authorized_order_is_let_go_and_closes_with_nothing() {
    let harness = Harness::start().await;
    let order = harness.new_order();
    harness.commands().authorize(order, "tok_ok").await;
    let said = cancel(&harness, order, 1).await;
    assert_eq!(
        (said["amount"].clone(), said["full"].clone()),
        (json!(0), json!(true))
    );
    assert_eq!(harness.effects("void").await, 1);
    assert_eq!(
        harness.commands().intent(order).await.state(),
        IntentState::Voided
    );
    assert_said_once(&harness, order, 1).await;
    harness.finish().await;
}

#[tokio::test]
async fn an_order_without_a_payment_closes_with_nothing() {
    let harness = Harness::start().await;
    let order = harness.new_order();
    let said = cancel(&harness, order, 1).await;
    assert_eq!(
        (said["amount"].clone(), said["currency"].clone()),
        (json!(0), json!("XXX"))
    );
    assert_eq!(said["full"], true);
    assert_said_once(&harness, order, 1).await;
    harness.finish().await;
}

#[tokio::test]
async fn cash_goes_back_out_of_the_drawer() {
    let harness = Harness::start().await;
    let order = harness.new_order();
    harness.commands().pay_cash(order).await;
    let said = cancel(&harness, order, 1).await;
    assert_eq!(
        (said["amount"].clone(), said["full"].clone()),
        (json!(AMOUNT), json!(true))
    );
    assert_said_once(&harness, order, 1).await;
    harness.finish().await;
}
