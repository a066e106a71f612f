use testkit::hostile::Hostile;

use crate::harness::TestApp;
use crate::keys::with_second_key;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_endpoint_stands_hostile_input() {
    let app = TestApp::start().await;
    let (app, identity) = with_second_key(app).await;
    let document = app.client.get("/openapi.json").await.expect(200);
    let report = Hostile::new(&identity)
        .public("/api/auth/login")
        .public("/api/auth/refresh")
        .public("/api/auth/logout")
        .public("/internal/tokens")
        .public("/.well-known/jwks.json")
        .run(&app.client, &document)
        .await;
    assert!(report.violations.is_empty(), "{report}");
}
