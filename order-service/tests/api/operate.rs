//! Orders that cannot be undone.

use common::auth::Role;
use serde_json::json;
use testkit::wait_for;

use crate::harness::{Harness, new_key};
use crate::neighbours::Trouble;

#[tokio::test]
async fn a_saga_that_cannot_be_undone_is_parked_and_driven_on() {
    let harness = Harness::start_with(&[
        ("ORDER__ORDERS__ANSWER_WITHIN_MS", "50"),
        ("ORDER__SAGA__PARKED_RETRY_MAX_MS", "600000"),
        ("ORDER__SAGA__RETRY_MAX_MS", "10"),
        ("ORDER__SAGA__PARK_AFTER_ATTEMPTS", "22"),
    ])
    .await;
    let api = &harness.api;
    harness.world().trouble("capture", &[Trouble::Refuse]);
    harness.world().lasting_trouble("void", Trouble::Unknown);
    let placed = api
        .post_order(&new_key(), &api.order_body())
        .await
        .expect(202);
    let parked = wait_for("a parked saga", || async {
        let page = api.owner.get("/api/orders/parked").await.expect(200);
        page["items"].as_array()?.first().cloned()
    })
    .await;
    assert_eq!(parked["order"]["id"], placed["id"]);
    assert_eq!(parked["under_way"]["step"], "void");
    assert_eq!(parked["under_way"]["attempt"], 23);
    let timeline = api.timeline(&placed).await;
    assert!(timeline["under_way"]["parked_at"].is_string());
    // The stock came back meanwhile: a failing undo does not keep the others from it.
    let books = harness.world().books(placed["id"].as_str().unwrap());
    assert!(books.restocked && !books.committed);
    let metrics = api.owner.get("/metrics").await;
    assert!(metrics.text.contains("order_sagas_parked_total"));

    let path = format!("/api/orders/{}/redrive", placed["id"].as_str().unwrap());
    let manager = harness.client_of(Role::StoreManager);
    let refused = manager.post(&path, &json!({})).await;
    refused.expect_problem(403, "forbidden");
    let refused = manager.get("/api/orders/parked").await;
    refused.expect_problem(403, "forbidden");
    harness.world().heal();
    let _ = api.owner.post(&path, &json!({})).await.expect(202);
    let order = api.wait_for_end(&placed["id"]).await;
    assert_eq!(order["cancel_reason"], "payment_failed");
    harness.assert_books_agree(&order);
    let page = api.owner.get("/api/orders/parked").await.expect(200);
    assert!(page["items"].as_array().unwrap().is_empty());
    let ended = api.owner.post(&path, &json!({})).await;
    ended.expect_problem(409, "saga_ended");
    let unknown = format!("/api/orders/{}/redrive", new_key());
    let unknown = api.owner.post(&unknown, &json!({})).await;
    unknown.expect_problem(404, "not_found");
    harness.stop().await;
}

#[tokio::test]
async fn the_service_says_how_it_is() {
    let harness = Harness::start().await;
    let health = harness.api.owner.get("/health").await.expect(200);
    assert_eq!(health["status"], "healthy");
    assert_eq!(health["service"], "order-service");
    harness.stop().await;
}
