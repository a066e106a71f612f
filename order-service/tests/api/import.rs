//! Taking over the orders of another system.

use common::auth::Role;
use contracts::EventPayload as _;
use contracts::events::OrderConfirmed;
use serde_json::{Value, json};

use crate::harness::{Api, Harness};

fn past_order(api: &Api, number: usize) -> Value {
    json!({
        "external_id": number.to_string(), "store_id": api.store, "channel": "takeaway",
        "placed_at_local": "2015-01-01T11:38:36",
        "lines": [
            {"item_id": api.pizza, "quantity": 2, "unit_price": {"amount": 1_325, "currency": "USD"}},
            {"item_id": api.water, "quantity": 1, "unit_price": {"amount": 200, "currency": "USD"}},
        ],
    })
}

fn batch(orders: &[Value]) -> Value {
    json!({"source": "pizza-place", "orders": orders})
}

async fn import(harness: &Harness, orders: &[Value]) -> Value {
    let reply = harness
        .api
        .owner
        .post("/api/orders/import", &batch(orders))
        .await;
    reply.expect(200)
}

#[tokio::test]
async fn past_orders_are_taken_over_once() {
    let harness = Harness::start().await;
    let api = &harness.api;
    let orders: Vec<Value> = (0..500).map(|number| past_order(api, number)).collect();
    let first = import(&harness, &orders).await;
    assert_eq!(
        first,
        json!({"created": 500, "duplicates": 0, "rejected": []})
    );
    let again = import(&harness, &orders).await;
    assert_eq!(
        again,
        json!({"created": 0, "duplicates": 500, "rejected": []})
    );
    let overlapping: Vec<Value> = (490..510).map(|number| past_order(api, number)).collect();
    let third = import(&harness, &overlapping).await;
    assert_eq!(
        third,
        json!({"created": 10, "duplicates": 10, "rejected": []})
    );

    let events = harness
        .around
        .subscriber
        .wait_for_events(OrderConfirmed::TYPE, 510)
        .await;
    assert_eq!(events.len(), 510);
    let event: OrderConfirmed = serde_json::from_value(events[0]["data"].clone()).unwrap();
    assert_eq!(event.origin.as_str(), "imported");
    assert_eq!(event.net_amount, 2_850);
    assert_eq!(event.local_time.to_string(), "2015-01-01T11:38:36");
    assert_eq!(event.placed_at.to_string(), "2015-01-01T16:38:36Z");
    assert_eq!(event.business_date.to_string(), "2015-01-01");
    // Neither stock nor money was touched.
    assert!(harness.world().steps().is_empty());

    let path = "/api/orders?origin=imported&from=2015-01-01&to=2015-01-01&limit=1";
    let listed = api.owner.get(path).await.expect(200);
    let order = &listed["items"][0];
    assert_eq!(order["status"], "confirmed");
    assert_eq!(order["total"]["amount"], 2_850);
    assert!(order["payment"].is_null());
    assert_eq!(order["source"], "pizza-place");
    let timeline = api.timeline(order).await;
    assert_eq!(timeline["entries"][0]["step"], "imported");
    let path = format!("/api/orders/{}/cancel", order["id"].as_str().unwrap());
    let refused = api
        .owner
        .post_with_key(&path, "k", &json!({"reason": "x"}))
        .await;
    refused.expect_problem(409, "order_imported");
    harness.stop().await;
}

#[tokio::test]
async fn what_cannot_be_taken_over_is_named_and_the_rest_is() {
    let harness = Harness::start().await;
    let api = &harness.api;
    let with = |number: usize, pointer: &str, value: Value| {
        let mut order = past_order(api, number);
        *order.pointer_mut(pointer).unwrap() = value;
        order
    };
    let mut empty = past_order(api, 9);
    empty["lines"] = json!([]);
    let orders = [
        past_order(api, 0),
        with(1, "/store_id", json!(api.new_store())),
        with(2, "/lines/1/item_id", json!(api.new_item())),
        with(3, "/lines/0/unit_price/currency", json!("KRW")),
        with(4, "/lines/0/quantity", json!(0)),
        with(5, "/lines/0/unit_price/amount", json!(-1)),
        with(6, "/placed_at_local", json!("yesterday")),
        with(7, "/placed_at_local", json!("2999-01-01T00:00:00")),
        with(8, "/external_id", json!("")),
        empty,
        past_order(api, 0),
        with(0, "/lines/0/quantity", json!(3)),
        past_order(api, 10),
        with(11, "/placed_at_local", json!("-009000-01-01T00:00:00")),
        with(12, "/placed_at_local", json!("0001-01-01T00:00:00")),
    ];
    let report = import(&harness, &orders).await;
    assert_eq!(
        (report["created"].as_u64(), report["duplicates"].as_u64()),
        (Some(2), Some(1))
    );
    let rejected: Vec<String> = report["rejected"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| {
            let code = entry["code"].as_str().unwrap();
            format!("{} {code}", entry["index"])
        })
        .collect();
    assert_eq!(
        rejected,
        [
            "1 unknown_store",
            "2 unknown_item",
            "3 other_currency",
            "4 invalid_quantity",
            "5 invalid_price",
            "6 invalid_time",
            "7 invalid_time",
            "8 invalid_external_id",
            "9 invalid_lines",
            "11 content_differs",
            "13 invalid_time",
            "14 invalid_time",
        ]
    );
    assert_eq!(report["rejected"][0]["external_id"], "1");
    let other = with(0, "/placed_at_local", json!("2015-01-02T11:38:36"));
    let report = import(&harness, &[other]).await;
    assert_eq!(report["rejected"][0]["code"], "content_differs");
    harness.stop().await;
}

#[tokio::test]
async fn the_same_batch_many_times_at_once_creates_it_once() {
    let harness = Harness::start().await;
    let orders: Vec<Value> = (0..40)
        .map(|number| past_order(&harness.api, number))
        .collect();
    let batches = (0..8).map(|_| import(&harness, &orders));
    let reports = futures_util::future::join_all(batches).await;
    let sum = |name: &str| -> u64 { reports.iter().filter_map(|r| r[name].as_u64()).sum() };
    assert_eq!((sum("created"), sum("duplicates")), (40, 280));
    testkit::assert_outbox_empty(&harness.db).await;
    assert_eq!(
        harness
            .around
            .subscriber
            .events_of(OrderConfirmed::TYPE)
            .len(),
        40
    );
    harness.stop().await;
}

#[tokio::test]
async fn only_the_owner_imports_and_only_up_to_500_orders() {
    let harness = Harness::start().await;
    let api = &harness.api;
    let one = [past_order(api, 1)];
    let manager = harness.client_of(Role::StoreManager);
    let refused = manager.post("/api/orders/import", &batch(&one)).await;
    refused.expect_problem(403, "forbidden");
    for count in [0, 501] {
        let orders = vec![past_order(api, 1); count];
        let refused = api.owner.post("/api/orders/import", &batch(&orders)).await;
        assert_eq!(refused.expect_invalid(), ["orders"]);
    }
    harness.stop().await;
}
