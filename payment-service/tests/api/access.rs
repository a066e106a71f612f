//! Who may call what, for the caller's own store and a foreign one.

use testkit::events::park_an_event;
use testkit::matrix::Matrix;

use crate::harness::Harness;

#[tokio::test]
async fn every_route_lets_in_whom_the_table_of_permissions_says() {
    let mut harness = Harness::start().await;
    let (_order, foreign) = harness.captured("tok_ok").await;
    let other = harness.move_to_new_store();
    let (_order, own) = harness.captured("tok_ok").await;
    let parked = park_an_event(&harness.owner, &harness.identity.service("order")).await;

    let document = harness.owner.get("/openapi.json").await.expect(200);
    let report = Matrix::new(harness.store, other)
        .known("/internal/events/parked/{id}/redrive", parked)
        .object("/api/payments/{id}", own, foreign)
        .object("/api/payments/{id}/refunds", own, foreign)
        .run(&harness.owner, &document, &harness.identity)
        .await;
    report.assert_clean();
    report.assert_table(
        "GET /api/payments: payments:read, query.store_id
         GET /api/payments/{id}: payments:read, object
         POST /api/payments/{id}/refunds: payments:refund, object
         GET /api/payments/ledger/balances: payments:read, query.store_id
         GET /internal/reconciliation: operator, chain
         POST /internal/events: service, chain
         GET /internal/events/parked: operator, chain
         POST /internal/events/parked/{id}/redrive: operator, chain
        ",
    );
    harness.finish().await;
}
