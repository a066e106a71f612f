//! Stores.

use common::auth::{Role, StoreClaim};
use serde_json::json;

use crate::harness::Harness;

#[tokio::test]
async fn a_store_is_opened_once_however_often_it_is_asked_for() {
    let harness = Harness::start().await;
    let owner = &harness.api.owner;
    let body = json!({
        "id": harness.api.new_store(), "name": "Seoul", "time_zone": "Asia/Seoul",
        "currency": "KRW", "business_day_cutoff": "05:30",
    });
    let created = owner.post("/api/stores", &body).await;
    let location = created.header("location").unwrap().to_owned();
    let created = created.expect(201);
    assert_eq!(owner.post("/api/stores", &body).await.expect(200), created);
    assert_eq!(owner.get(&location).await.expect(200), created);
    assert_eq!(created["business_day_cutoff"], "05:30");

    let mut other = body.clone();
    other["currency"] = json!("USD");
    let refused = owner.post("/api/stores", &other).await;
    refused.expect_problem(409, "store_differs");
    harness.stop().await;
}

#[tokio::test]
async fn what_is_no_store_is_refused_field_by_field() {
    let harness = Harness::start().await;
    let body = json!({
        "name": " ", "time_zone": "Mars/Olympus", "currency": "USD", "business_day_cutoff": "25:00",
    });
    let fields = harness.api.owner.post("/api/stores", &body).await;
    assert_eq!(
        fields.expect_invalid(),
        ["name", "time_zone", "business_day_cutoff"]
    );
    let body = json!({"name": "A", "time_zone": "UTC", "currency": "usd"});
    let refused = harness.api.owner.post("/api/stores", &body).await;
    refused.expect_problem(400, "invalid_type");
    harness.stop().await;
}

#[tokio::test]
async fn everybody_sees_their_own_stores_only() {
    let harness = Harness::start().await;
    let api = &harness.api;
    let (second, third) = (api.new_store(), api.new_store());
    api.open_store(second).await;
    api.open_store(third).await;
    let manager = harness.around.identity.user(
        &[Role::AreaManager],
        StoreClaim::Only(vec![third, api.store]),
    );
    let manager = api.owner.with_token(manager);
    let page = manager.get("/api/stores?limit=1").await.expect(200);
    assert_eq!(page["items"][0]["id"], api.store.to_string());
    let cursor = page["next_cursor"].as_str().unwrap();
    let path = format!("/api/stores?limit=1&cursor={cursor}");
    let page = manager.get(&path).await.expect(200);
    assert_eq!(page["items"][0]["id"], third.to_string());
    assert!(page["next_cursor"].is_null());

    let foreign = manager.get(&format!("/api/stores/{second}")).await;
    foreign.expect_problem(404, "not_found");
    let all = api.owner.get("/api/stores").await.expect(200);
    assert_eq!(all["items"].as_array().unwrap().len(), 3);
    let body = json!({"name": "Mine", "time_zone": "UTC", "currency": "USD"});
    let refused = manager.post("/api/stores", &body).await;
    refused.expect_problem(403, "forbidden");
    harness.stop().await;
}
