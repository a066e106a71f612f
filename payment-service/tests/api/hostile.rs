//! Every endpoint of the OpenAPI document, attacked.

use crate::harness::Harness;

#[tokio::test]
async fn no_hostile_input_gets_through() {
    let harness = Harness::start().await;
    harness.captured("tok_ok").await;
    let document = harness.owner.get("/openapi.json").await.expect(200);
    testkit::hostile::check_every_endpoint(&harness.owner, &document, &harness.identity).await;
    harness.finish().await;
}
