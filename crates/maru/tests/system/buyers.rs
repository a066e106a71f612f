//! Many at once.

use futures_util::future::join_all;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::system::System;

/// A shop with `units` pieces of one item; the ids of shop, product and item.
async fn shop(system: &System, units: i64) -> (Uuid, Uuid, Uuid) {
    let (store, product, item) = (Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4());
    let client = &system.client;
    let body = json!({"id": store, "name": "Kiosk", "time_zone": "Asia/Seoul", "currency": "KRW",
                      "business_day_cutoff": "04:00"});
    let _ = client
        .post_with_key("/api/stores", &store.to_string(), &body)
        .await
        .expect(201);
    let body = json!({"sku": product.to_string(), "name": "Rice cake", "unit": "piece"});
    let _ = client
        .put(&format!("/api/inventory/products/{product}"), &body)
        .await
        .expect(200);
    let body = json!({"lines": [{"product_id": product, "quantity": 1}]});
    let _ = client
        .put(&format!("/api/inventory/recipes/{item}"), &body)
        .await
        .expect(200);
    let body = json!({"sku": item.to_string(), "name": "Rice cake", "product_key": "rice_cake",
                      "product_name": "Rice cake", "category": "Sweets",
                      "price": {"amount": 1_500, "currency": "KRW"}, "active": true});
    let saved = client.put(&format!("/api/menu/items/{item}"), &body).await;
    assert!(saved.status < 300, "{saved}");
    let body = json!({"store_id": store, "lines": [{"product_id": product, "quantity": units}]});
    let key = Uuid::new_v4().to_string();
    let _ = client
        .post_with_key("/api/inventory/receipts", &key, &body)
        .await
        .expect(201);
    (store, product, item)
}

fn order(store: Uuid, item: Uuid, quantity: i64) -> Value {
    json!({"store_id": store, "channel": "takeaway",
           "lines": [{"item_id": item, "quantity": quantity}],
           "payment": {"method": "card", "token": "tok_ok"}})
}

/// The orders of a store in this status.
async fn orders(system: &System, store: Uuid, status: &str) -> Vec<Value> {
    let path = format!("/api/orders?store_id={store}&status={status}&limit=200");
    let page = system.client.get(&path).await.expect(200);
    page["items"].as_array().expect("orders").clone()
}

async fn wait_until_none_is_pending(system: &System, store: Uuid) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while !orders(system, store, "pending").await.is_empty() {
        assert!(std::time::Instant::now() < deadline, "orders stay pending");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_hundred_buyers_of_the_last_ten_units() {
    let system = System::start().await;
    let (store, product, item) = shop(&system, 10).await;
    let body = order(store, item, 1);
    let keys: Vec<String> = (0..100).map(|_| Uuid::new_v4().to_string()).collect();
    let placed = join_all(
        keys.iter()
            .map(|key| system.client.post_with_key("/api/orders", key, &body)),
    )
    .await;
    for reply in &placed {
        assert!(matches!(reply.status, 201 | 202), "{reply}");
    }
    wait_until_none_is_pending(&system, store).await;

    assert_eq!(orders(&system, store, "confirmed").await.len(), 10);
    let cancelled = orders(&system, store, "cancelled").await;
    assert_eq!(cancelled.len(), 90);
    assert!(
        cancelled
            .iter()
            .all(|order| order["cancel_reason"] == "out_of_stock")
    );
    let payments = system
        .client
        .get(&format!("/api/payments?store_id={store}&limit=200"))
        .await
        .expect(200);
    let payments = payments["items"].as_array().expect("payments").clone();
    assert_eq!(
        payments.len(),
        10,
        "nothing is even authorized for an order without stock"
    );
    let stock = system
        .client
        .get(&format!("/api/inventory/stock?store_id={store}"))
        .await
        .expect(200);
    let balance = &stock["items"][0];
    assert_eq!(balance["product_id"], product.to_string());
    assert_eq!(
        (&balance["on_hand"], &balance["reserved"]),
        (&json!(0), &json!(0))
    );
    system.verify(&[]).await;
    system.stop().await;
}

#[tokio::test]
async fn one_key_fifty_times_at_once_is_one_order() {
    let system = System::start().await;
    let (store, _product, item) = shop(&system, 100).await;
    let body = order(store, item, 2);
    let replies =
        join_all((0..50).map(|_| system.client.post_with_key("/api/orders", "same", &body))).await;
    for reply in &replies {
        assert!(matches!(reply.status, 201 | 202 | 409), "{reply}");
    }
    wait_until_none_is_pending(&system, store).await;
    assert_eq!(orders(&system, store, "confirmed").await.len(), 1);
    let again = system
        .client
        .post_with_key("/api/orders", "same", &body)
        .await;
    assert!(matches!(again.status, 201 | 202), "{again}");
    let other = system
        .client
        .post_with_key("/api/orders", "same", &order(store, item, 3))
        .await;
    other.expect_problem(422, "idempotency_key_reused");
    system.verify(&[]).await;
    system.stop().await;
}
