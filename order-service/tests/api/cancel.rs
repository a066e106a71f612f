//! Cancelling confirmed orders.

use common::auth::Role;
use common::ids::{IntentId, OrderId};
use common::time::Timestamp;
use contracts::EventPayload as _;
use contracts::events::{InventoryRestocked, OrderCancelled, PaymentRefunded};
use serde_json::{Value, json};
use testkit::events::EventSource;

use crate::harness::{Harness, new_key};
use crate::neighbours::Trouble;

fn order_id(order: &Value) -> OrderId {
    order["id"].as_str().unwrap().parse().unwrap()
}

fn refunded(harness: &Harness, order: &Value, full: bool) -> Value {
    let id = order_id(order);
    let event = PaymentRefunded {
        intent_id: IntentId::from_uuid(id.as_uuid()),
        order_id: id,
        store_id: harness.api.store,
        amount: 2_500,
        currency: "USD".parse().unwrap(),
        refunded_total: 2_500,
        full,
        refunded_at: Timestamp::from_unix_seconds(1_790_000_000),
    };
    EventSource::new("payment", &harness.around.identity).event(id, &event)
}

fn restocked(harness: &Harness, order: &Value) -> Value {
    let id = order_id(order);
    let event = InventoryRestocked {
        order_id: id,
        store_id: harness.api.store,
        restocked_at: Timestamp::from_unix_seconds(1_790_000_001),
    };
    EventSource::new("inventory", &harness.around.identity).event(id, &event)
}

async fn deliver(harness: &Harness, event: &Value) -> String {
    let source = EventSource::new("payment", &harness.around.identity);
    let events = std::slice::from_ref(event);
    source.deliver(harness.address, events).await.remove(0)
}

async fn cancel(harness: &Harness, order: &Value, key: &str) -> testkit::Reply {
    let path = format!("/api/orders/{}/cancel", order_id(order));
    let body = json!({"reason": "guest_request"});
    harness.api.owner.post_with_key(&path, key, &body).await
}

#[tokio::test]
async fn an_order_closes_when_money_and_stock_are_back_in_any_order() {
    let harness = Harness::start().await;
    for money_first in [true, false] {
        let order = harness.api.place().await;
        let key = new_key();
        let cancelling = cancel(&harness, &order, &key).await.expect(202);
        assert_eq!(cancelling["status"], "cancelling");
        assert!(cancelling["closed_at"].is_null());
        let (refund, restock) = (
            refunded(&harness, &order, true),
            restocked(&harness, &order),
        );
        let (first, second) = if money_first {
            (&refund, &restock)
        } else {
            (&restock, &refund)
        };
        for _ in 0..3 {
            assert_eq!(deliver(&harness, first).await, "done");
        }
        assert_eq!(
            harness.api.order(&order["id"]).await["status"],
            "cancelling"
        );
        for _ in 0..3 {
            assert_eq!(deliver(&harness, second).await, "done");
        }
        let closed = harness.api.order(&order["id"]).await;
        assert_eq!(closed["status"], "cancelled");
        assert_eq!(closed["cancel_reason"], "guest_request");
        // Other events of the same kind change nothing any more.
        assert_eq!(
            deliver(&harness, &refunded(&harness, &order, true)).await,
            "done"
        );
        assert_eq!(harness.api.order(&order["id"]).await, closed);
        // The same key repeats the answer, another one tells how it is.
        assert_eq!(cancel(&harness, &order, &key).await.expect(202), cancelling);
        assert_eq!(
            cancel(&harness, &order, &new_key()).await.expect(200),
            closed
        );
    }
    let told = harness
        .around
        .subscriber
        .wait_for_events(OrderCancelled::TYPE, 6)
        .await;
    let event: OrderCancelled = serde_json::from_value(told[0]["data"].clone()).unwrap();
    assert_eq!(
        (event.reason.as_str(), event.was_confirmed),
        ("guest_request", true)
    );
    testkit::assert_outbox_empty(&harness.db).await;
    // Three subscribers, two orders, however often it was asked for.
    let told = harness.around.subscriber.events_of(OrderCancelled::TYPE);
    assert_eq!(told.len(), 6);
    harness.stop().await;
}

#[tokio::test]
async fn a_partial_refund_closes_nothing_and_an_early_full_one_counts() {
    let harness = Harness::start().await;
    let order = harness.api.place().await;
    let _ = cancel(&harness, &order, &new_key()).await.expect(202);
    deliver(&harness, &restocked(&harness, &order)).await;
    assert_eq!(
        deliver(&harness, &refunded(&harness, &order, false)).await,
        "done"
    );
    assert_eq!(
        harness.api.order(&order["id"]).await["status"],
        "cancelling"
    );
    deliver(&harness, &refunded(&harness, &order, true)).await;
    assert_eq!(harness.api.order(&order["id"]).await["status"], "cancelled");

    let order = harness.api.place().await;
    deliver(&harness, &refunded(&harness, &order, true)).await;
    assert_eq!(harness.api.order(&order["id"]).await["status"], "confirmed");
    let _ = cancel(&harness, &order, &new_key()).await.expect(202);
    deliver(&harness, &restocked(&harness, &order)).await;
    assert_eq!(harness.api.order(&order["id"]).await["status"], "cancelled");
    harness.stop().await;
}

#[tokio::test]
async fn a_free_order_waits_for_its_stock_only() {
    let harness = Harness::start().await;
    let api = &harness.api;
    let body = api.order_of(&[(api.water, 1)]);
    let order = api.post_order(&new_key(), &body).await.expect(201);
    let _ = cancel(&harness, &order, &new_key()).await.expect(202);
    deliver(&harness, &restocked(&harness, &order)).await;
    let closed = api.order(&order["id"]).await;
    assert_eq!(closed["status"], "cancelled");
    let timeline = api.timeline(&order).await;
    let steps: Vec<_> = timeline["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["step"].as_str().unwrap())
        .collect();
    for step in [
        "placed",
        "confirmed",
        "cancellation_requested",
        "restocked",
        "cancelled",
    ] {
        assert!(steps.contains(&step), "{step} in {steps:?}");
    }
    harness.stop().await;
}

#[tokio::test]
async fn an_order_that_is_not_confirmed_is_not_cancelled() {
    let harness = Harness::start_with(&[("ORDER__ORDERS__ANSWER_WITHIN_MS", "50")]).await;
    let api = &harness.api;
    harness.world().trouble("capture", &[Trouble::HoldBefore]);
    let pending = api
        .post_order(&new_key(), &api.order_body())
        .await
        .expect(202);
    let refused = cancel(&harness, &pending, "k").await;
    refused.expect_problem(409, "order_pending");
    harness.world().go_on();
    api.wait_for_status(&pending["id"], "confirmed").await;
    // The refusal was no answer to keep: the same key works now.
    let _ = cancel(&harness, &pending, "k").await.expect(202);

    harness.world().trouble("reserve", &[Trouble::Refuse]);
    let placed = api.post_order(&new_key(), &api.order_body()).await;
    let cancelled = api
        .wait_for_status(&placed.json::<Value>()["id"], "cancelled")
        .await;
    let again = cancel(&harness, &cancelled, "k").await.expect(200);
    assert_eq!(again, cancelled);
    harness.stop().await;
}

#[tokio::test]
async fn cancelling_needs_a_right_a_key_and_a_reason() {
    let harness = Harness::start().await;
    let order = harness.api.place().await;
    let path = format!("/api/orders/{}/cancel", order_id(&order));
    let body = json!({"reason": "guest_request"});
    let crew = harness.client_of(Role::Crew);
    let refused = crew.post_with_key(&path, "k", &body).await;
    refused.expect_problem(403, "forbidden");
    let stranger = harness.api.new_store();
    let foreign = harness
        .around
        .identity
        .user_of(Role::StoreManager, stranger);
    let foreign = harness.api.owner.with_token(foreign);
    let refused = foreign.post_with_key(&path, "k", &body).await;
    refused.expect_problem(404, "not_found");
    let refused = harness.api.owner.post(&path, &body).await;
    refused.expect_problem(400, "idempotency_key_missing");
    let empty = json!({"reason": ""});
    let refused = harness.api.owner.post_with_key(&path, "k", &empty).await;
    assert_eq!(refused.expect_invalid(), ["reason"]);
    let card = json!({"reason": "paid with 4111 1111 1111 1111"});
    let refused = harness.api.owner.post_with_key(&path, "k", &card).await;
    assert_eq!(refused.expect_invalid(), ["reason"]);
    let manager = harness.client_of(Role::StoreManager);
    let _ = manager.post_with_key(&path, "k", &body).await.expect(202);
    let other = json!({"reason": "kitchen_closed"});
    let refused = manager.post_with_key(&path, "k", &other).await;
    refused.expect_problem(422, "idempotency_key_reused");
    harness.stop().await;
}

#[tokio::test]
async fn an_event_about_an_unknown_order_is_parked() {
    let harness = Harness::start().await;
    let unknown = json!({"id": new_key()});
    assert_eq!(
        deliver(&harness, &restocked(&harness, &unknown)).await,
        "parked"
    );
    harness.stop().await;
}
