//! Who may call what, for the caller's own store and a foreign one.

use testkit::events::park_an_event;
use testkit::matrix::Matrix;

use crate::harness::Harness;

#[tokio::test]
async fn every_route_lets_in_whom_the_table_of_permissions_says() {
    let harness = Harness::start().await;
    let other = harness.new_store();
    let product = harness.product("flour").await;
    let item = harness.item(&[(product, 1)]).await;
    let (own, foreign) = (harness.new_order(), harness.new_order());
    harness.receive(product, 1_000, None).await;
    harness.commands().reserve(own, &[(item, 1)]).await;
    let elsewhere = harness.commands().in_store(other);
    elsewhere.reserve(foreign, &[(item, 1)]).await;
    let parked = park_an_event(&harness.owner, &harness.identity.service("order")).await;

    let document = harness.owner.get("/openapi.json").await.expect(200);
    let report = Matrix::new(harness.store, other)
        .known("product_id", product.to_string())
        .known("/api/inventory/products/{id}", product.to_string())
        .known("/api/inventory/recipes/{id}", item.to_string())
        .known("/api/inventory/stock/{id}/lots", product.to_string())
        .known("/internal/events/parked/{id}/redrive", parked)
        .object("/api/inventory/reservations/{id}", own, foreign)
        .run(&harness.owner, &document, &harness.identity)
        .await;
    report.assert_clean();
    report.assert_table(
        "PUT /api/inventory/products/{id}: catalog:write, chain
         GET /api/inventory/products: inventory:read, chain
         GET /api/inventory/products/{id}: inventory:read, chain
         PUT /api/inventory/recipes/{id}: catalog:write, chain
         GET /api/inventory/recipes/{id}: inventory:read, chain
         POST /api/inventory/receipts: inventory:write, body.store_id
         POST /api/inventory/waste: inventory:write, body.store_id
         POST /api/inventory/counts: inventory:write, body.store_id
         GET /api/inventory/stock: inventory:read, query.store_id
         GET /api/inventory/stock/{id}/lots: inventory:read, query.store_id
         GET /api/inventory/movements: inventory:read, query.store_id
         GET /api/inventory/reservations/{id}: inventory:read, object
         POST /internal/events: service, chain
         GET /internal/events/parked: operator, chain
         POST /internal/events/parked/{id}/redrive: operator, chain
        ",
    );
    harness.stop().await;
}
