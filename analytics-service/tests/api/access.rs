//! Who may call what, for the caller's own store and a foreign one.

use common::clock::Clock;
use common::ids::StoreId;
use testkit::events::park_an_event;
use testkit::matrix::Matrix;

use crate::harness::Harness;

#[tokio::test]
async fn every_route_lets_in_whom_the_table_of_permissions_says() {
    let harness = Harness::start().await;
    let other = StoreId::new(&Clock::system());
    let parked = park_an_event(&harness.owner, &harness.identity.service("order")).await;

    let document = harness.owner.get("/openapi.json").await.expect(200);
    let report = Matrix::new(harness.store, other)
        .known("dimension", "category")
        .known("/internal/events/parked/{id}/redrive", parked)
        .run(&harness.owner, &document, &harness.identity)
        .await;
    report.assert_clean();
    report.assert_table(
        "GET /api/analytics/sales/summary: analytics:read, query.store_id
         GET /api/analytics/sales/by-{dimension}: analytics:read, query.store_id
         POST /api/analytics/read-model/compare: system:operate, chain
         POST /api/analytics/read-model/rebuild: system:operate, chain
         POST /internal/events: service, chain
         GET /internal/events/parked: operator, chain
         POST /internal/events/parked/{id}/redrive: operator, chain
        ",
    );
    harness.stop().await;
}
