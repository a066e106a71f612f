//! Who may call the gateway's own operations. What it passes on is judged by the services.

use common::clock::Clock;
use common::ids::StoreId;
use serde_json::json;
use testkit::ApiClient;
use testkit::matrix::Matrix;

use crate::registrar::Registrar;

const INSTANCE: &str = "/api/discovery/services/{name}/instances/{id}";

#[tokio::test]
async fn every_route_lets_in_whom_the_table_of_permissions_says() {
    let registrar = Registrar::start().await;
    // Each is what one operation removes or renews: its id is its service's name.
    for name in ["service", "removed", "renewed"] {
        let body = json!({"service_name": name, "instance_id": name,
            "base_url": "http://127.0.0.1:8080"});
        let answer = registrar.call("POST", "/api/discovery/services", Some(body));
        answer.await.expect(201);
    }

    let clock = Clock::system();
    let client = ApiClient::new(format!("http://{}", registrar.gateway.address()));
    let document = client.get("/openapi.json").await.expect(200);
    let report = Matrix::new(StoreId::new(&clock), StoreId::new(&clock))
        .known("service_name", "web")
        .known("base_url", "http://127.0.0.1:8080")
        .known("/api/discovery/services/{name}", "service")
        .known(INSTANCE, "removed")
        .known(&format!("{INSTANCE}/heartbeat"), "renewed")
        .vanishing("DELETE /api/discovery/services/{name}")
        .vanishing(&format!("DELETE {INSTANCE}"))
        .run(&client, &document, &registrar.identity)
        .await;
    report.assert_clean();
    report.assert_table(
        "GET /api/discovery/health: public, public
         GET /api/discovery/services: operator, chain
         POST /api/discovery/services: operator, chain
         GET /api/discovery/services/{name}: operator, chain
         DELETE /api/discovery/services/{name}: operator, chain
         DELETE /api/discovery/services/{name}/instances/{id}: operator, chain
         PUT /api/discovery/services/{name}/instances/{id}/heartbeat: operator, chain
         GET /api/discovery/watch: operator, chain
         GET /api/services/status: public, public
        ",
    );
}
