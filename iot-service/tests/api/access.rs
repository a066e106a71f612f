//! Who may call what, for the caller's own store and a foreign one.

use common::clock::Clock;
use common::ids::StoreId;
use serde_json::json;
use testkit::matrix::Matrix;

use crate::harness::Harness;

#[tokio::test]
async fn every_route_lets_in_whom_the_table_of_permissions_says() {
    let harness = Harness::start().await;
    let other = StoreId::new(&Clock::system());
    let own = harness.device().await;
    let body = json!({"store_id": other, "name": "Fridge 2", "kind": "fridge"});
    let foreign = harness
        .owner
        .post("/api/iot/devices", &body)
        .await
        .expect(201);
    let (own, foreign) = (own["id"].as_str().unwrap(), foreign["id"].as_str().unwrap());

    let document = harness.owner.get("/openapi.json").await.expect(200);
    let report = Matrix::new(harness.store, other)
        .object("/api/iot/devices/{id}", own, foreign)
        .object("/api/iot/devices/{id}/credentials", own, foreign)
        .object("/api/iot/devices/{id}/readings", own, foreign)
        .object("/api/iot/devices/{id}/latest", own, foreign)
        .run(&harness.owner, &document, &harness.identity)
        .await;
    report.assert_clean();
    report.assert_table(
        "POST /api/iot/devices: devices:write, body.store_id
         GET /api/iot/devices: devices:read, query.store_id
         GET /api/iot/devices/{id}: devices:read, object
         POST /api/iot/devices/{id}/credentials: devices:write, object
         GET /api/iot/devices/{id}/readings: devices:read, object
         GET /api/iot/devices/{id}/latest: devices:read, object",
    );
    harness.stop().await;
}
