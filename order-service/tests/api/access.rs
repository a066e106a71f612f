//! Who may call what, for the caller's own store and a foreign one.

use testkit::events::park_an_event;
use testkit::matrix::Matrix;

use crate::harness::{Harness, new_key};

#[tokio::test]
async fn every_route_lets_in_whom_the_table_of_permissions_says() {
    let harness = Harness::start().await;
    let (api, identity) = (&harness.api, &harness.around.identity);
    let own = api.place().await;
    let other = api.new_store();
    let _ = api.open_store(other).await;
    let mut body = api.order_body();
    body["store_id"] = other.to_string().into();
    let foreign = api.post_order(&new_key(), &body).await.expect(201);
    let (own, foreign) = (own["id"].as_str().unwrap(), foreign["id"].as_str().unwrap());
    let parked = park_an_event(&api.owner, &identity.service("order")).await;

    let document = api.owner.get("/openapi.json").await.expect(200);
    let report = Matrix::new(api.store, other)
        .known("item_id", api.pizza.to_string())
        .known("method", "cash")
        .known("/api/menu/items/{id}", api.water.to_string())
        .known("/api/orders/{id}/redrive", own)
        .known("/internal/events/parked/{id}/redrive", parked)
        .object("/api/orders/{id}", own, foreign)
        .object("/api/orders/{id}/timeline", own, foreign)
        .object("/api/orders/{id}/cancel", own, foreign)
        .run(&api.owner, &document, identity)
        .await;
    report.assert_clean();
    report.assert_table(
        "POST /api/stores: menu:write, body.id
         GET /api/stores: menu:read, caller
         GET /api/stores/{id}: menu:read, path.id
         PUT /api/menu/items/{id}: menu:write, chain
         GET /api/menu/items: menu:read, chain
         GET /api/menu/items/{id}: menu:read, chain
         POST /api/orders: orders:create, body.store_id
         GET /api/orders: orders:read, query.store_id
         GET /api/orders/{id}: orders:read, object
         GET /api/orders/{id}/timeline: orders:read, object
         POST /api/orders/{id}/cancel: orders:cancel, object
         POST /api/orders/import: orders:import, chain
         GET /api/orders/parked: system:operate, chain
         POST /api/orders/{id}/redrive: system:operate, chain
         POST /internal/events: service, chain
         GET /internal/events/parked: operator, chain
         POST /internal/events/parked/{id}/redrive: operator, chain
        ",
    );
    harness.stop().await;
}
