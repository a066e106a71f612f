//! Every endpoint of the OpenAPI document, attacked.

use crate::harness::Harness;

#[tokio::test]
async fn no_hostile_input_gets_through() {
    let harness = Harness::start().await;
    let api = &harness.api;
    let order = api.place().await;
    let document = api.owner.get("/openapi.json").await.expect(200);
    let report = testkit::hostile::Hostile::new(&harness.around.identity)
        .known("store_id", api.store.to_string())
        .known("item_id", api.pizza.to_string())
        .known("method", "cash")
        .known("/api/menu/items/{id}", api.water.to_string())
        .known("/api/orders/{id}/cancel", order["id"].clone())
        .known("/api/orders/{id}/redrive", order["id"].clone())
        .known("/api/orders/{id}", order["id"].clone())
        .known("/api/orders/{id}/timeline", order["id"].clone())
        .known("/api/stores/{id}", api.store.to_string())
        .run(&api.owner, &document)
        .await;
    report.assert_clean();
    harness.stop().await;
}
