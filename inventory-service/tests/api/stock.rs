//! Receipts, waste, counts and what is shown of them.

use common::auth::Role;
use common::ids::StoreId;
use contracts::inventory_v1::ReserveOutcome;
use serde_json::json;

use crate::harness::Harness;

#[tokio::test]
async fn a_receipt_sent_twice_is_booked_once() {
    let harness = Harness::start().await;
    let flour = harness.product("flour").await;
    let body = json!({
        "store_id": harness.store,
        "lines": [
            {"product_id": flour, "quantity": 1000, "expires_on": "2030-01-31", "lot_code": "A1",
             "unit_cost": {"amount": 2, "currency": "USD"}},
            {"product_id": flour, "quantity": 500},
        ],
    });
    let first = harness
        .owner
        .post_with_key("/api/inventory/receipts", "r-1", &body)
        .await
        .expect(201);
    let again = harness
        .owner
        .post_with_key("/api/inventory/receipts", "r-1", &body)
        .await
        .expect(201);
    assert_eq!(first, again);
    assert_eq!(harness.balance(flour).await, (1500, 0));
    let other = json!({"store_id": harness.store, "lines": [{"product_id": flour, "quantity": 1}]});
    let reused = harness
        .owner
        .post_with_key("/api/inventory/receipts", "r-1", &other)
        .await;
    reused.expect_problem(422, "idempotency_key_reused");
    let missing = harness.owner.post("/api/inventory/receipts", &other).await;
    missing.expect_problem(400, "idempotency_key_missing");

    let path = format!(
        "/api/inventory/stock/{flour}/lots?store_id={}",
        harness.store
    );
    let lots = harness.owner.get(&path).await.expect(200);
    assert_eq!(lots["items"][0]["lot_code"], "A1");
    assert_eq!(
        lots["items"][0]["unit_cost"],
        json!({"amount": 2, "currency": "USD"})
    );
    assert_eq!(lots["items"][1]["remaining"], 500);
    harness.assert_ledger_holds().await;
    harness.stop().await;
}

#[tokio::test]
async fn a_receipt_with_a_date_that_cannot_be_stored_is_refused() {
    let harness = Harness::start().await;
    let flour = harness.product("flour").await;
    for date in ["-123-01-01", "+123-01-01", "0000-01-01", "12026-01-1"] {
        let line = json!({"product_id": flour, "quantity": 7, "expires_on": date});
        let body = json!({"store_id": harness.store, "lines": [line]});
        let refused = harness
            .owner
            .post_with_key("/api/inventory/receipts", date, &body)
            .await;
        refused.expect_problem(400, "invalid_type");
    }
    harness.receive(flour, 3, Some("9999-12-31")).await;
    assert_eq!(harness.balance(flour).await, (3, 0));
    harness.stop().await;
}

#[tokio::test]
async fn fifty_equal_receipts_at_once_are_one() {
    let harness = Harness::start().await;
    let flour = harness.product("flour").await;
    let body = json!({"store_id": harness.store, "lines": [{"product_id": flour, "quantity": 7}]});
    let calls = (0..50).map(|_| {
        harness
            .owner
            .post_with_key("/api/inventory/receipts", "same", &body)
    });
    for reply in futures_util::future::join_all(calls).await {
        assert!(matches!(reply.status, 201 | 409), "{reply}");
    }
    assert_eq!(harness.balance(flour).await, (7, 0));
    harness.stop().await;
}

#[tokio::test]
async fn waste_takes_the_earliest_expiry_and_never_what_orders_hold() {
    let harness = Harness::start().await;
    let ham = harness.product("ham").await;
    let item = harness.item(&[(ham, 60)]).await;
    harness.receive(ham, 100, Some("2035-01-01")).await;
    harness.receive(ham, 50, Some("2034-01-01")).await;
    let order = harness.new_order();
    harness.commands().reserve(order, &[(item, 1)]).await;

    let waste = |quantity: i64| json!({"store_id": harness.store, "product_id": ham, "quantity": quantity, "reason": "spoiled"});
    let too_much = harness
        .owner
        .post_with_key("/api/inventory/waste", "w-1", &waste(91))
        .await;
    too_much.expect_problem(409, "not_enough_stock");
    let _ = harness
        .owner
        .post_with_key("/api/inventory/waste", "w-2", &waste(70))
        .await
        .expect(201);
    assert_eq!(harness.balance(ham).await, (80, 60));

    let path = format!(
        "/api/inventory/movements?store_id={}&product_id={ham}",
        harness.store
    );
    let movements = harness.owner.get(&path).await.expect(200);
    let wasted: Vec<i64> = movements["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|row| row["kind"] == "waste")
        .map(|row| row["quantity"].as_i64().unwrap())
        .collect();
    assert_eq!(wasted.iter().sum::<i64>(), -70);
    assert!(
        wasted.contains(&-50),
        "the lot that expires first is emptied first: {wasted:?}"
    );
    harness.assert_ledger_holds().await;
    harness.stop().await;
}

#[tokio::test]
async fn what_has_expired_is_what_is_thrown_away() {
    let harness = Harness::start().await;
    let milk = harness.product("milk").await;
    let shake = harness.item(&[(milk, 10)]).await;
    harness.receive(milk, 50, Some("2020-01-01")).await;
    harness.receive(milk, 100, Some("2035-01-01")).await;
    let waste =
        json!({"store_id": harness.store, "product_id": milk, "quantity": 50, "reason": "expired"});
    let _ = harness
        .owner
        .post_with_key("/api/inventory/waste", "w-1", &waste)
        .await
        .expect(201);
    let order = harness.new_order();
    let reply = harness.commands().reserve(order, &[(shake, 10)]).await;
    assert_eq!(reply.outcome(), ReserveOutcome::Reserved);
    harness.assert_ledger_holds().await;
    harness.stop().await;
}

#[tokio::test]
async fn a_count_corrects_both_ways() {
    let harness = Harness::start().await;
    let salt = harness.product("salt").await;
    harness.receive(salt, 100, None).await;
    for (key, counted, difference) in [("c-1", 90, -10), ("c-2", 120, 30), ("c-3", 120, 0)] {
        let body = json!({
            "store_id": harness.store,
            "lines": [{"product_id": salt, "counted": counted}],
        });
        let out = harness
            .owner
            .post_with_key("/api/inventory/counts", key, &body)
            .await
            .expect(201);
        assert_eq!(out["lines"][0]["difference"], difference);
        assert_eq!(harness.balance(salt).await, (counted, 0));
    }
    harness.assert_ledger_holds().await;
    harness.stop().await;
}

#[tokio::test]
async fn a_foreign_store_does_not_exist() {
    let harness = Harness::start().await;
    let salt = harness.product("salt").await;
    let foreign: StoreId = StoreId::from_uuid(uuid::Uuid::new_v4());
    let manager = harness.client_of(Role::StoreManager);
    let body = json!({"store_id": foreign, "lines": [{"product_id": salt, "quantity": 1}]});
    let receipt = manager
        .post_with_key("/api/inventory/receipts", "k", &body)
        .await;
    receipt.expect_problem(404, "not_found");
    let stock = manager
        .get(&format!("/api/inventory/stock?store_id={foreign}"))
        .await;
    stock.expect_problem(404, "not_found");
    let own = manager
        .get(&format!("/api/inventory/stock?store_id={}", harness.store))
        .await;
    let _ = own.expect(200);
    harness.stop().await;
}
