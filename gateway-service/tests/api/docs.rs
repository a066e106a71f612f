//! The joined document and the page that shows it.

use serde_json::{Value, json};
use testkit::{wait_for, wait_until};

use crate::gateway::Gateway;
use crate::upstream::{Reply, Upstream, healthy};

const FAST: [(&str, &str); 2] = [
    ("GATEWAY__STATUS__INTERVAL_MS", "60"),
    ("GATEWAY__STATUS__TIMEOUT_MS", "50"),
];

/// Every service has the same paths, ids and schema names; each may only show its own paths.
fn document(marker: &str) -> String {
    let paths = ["/api/orders", "/api/inventory/products", "/internal/tokens", "/metrics"].map(|path| {
        let operation = json!({"operationId": "list", "responses": {"200": {"description": marker, "content": {
            "application/json": {"schema": {"$ref": "#/components/schemas/Out"}}}}}});
        (path.to_owned(), json!({"get": operation}))
    });
    let paths: serde_json::Map<String, Value> = paths.into_iter().collect();
    json!({
        "openapi": "3.1.0", "info": {"title": marker, "version": "1"}, "paths": paths,
        "components": {"schemas": {"Out": {"type": "object", "description": marker}}}
    })
    .to_string()
}

async fn joined(gateway: &Gateway) -> Value {
    let answer = gateway
        .ask("GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .expect(200);
    serde_json::from_slice(&answer.body.kept).unwrap()
}

#[tokio::test]
async fn the_documents_of_all_services_are_joined_and_kept_up_to_date() {
    let orders = Upstream::start(|_| Reply::ok("")).await;
    let others = Upstream::start(|_| Reply::ok("")).await;
    orders.set_document(document("orders"));
    others.set_document(document("others"));
    let url = orders.url();
    let mut settings = FAST.to_vec();
    settings.push(("ORDER_URL", &url));
    let gateway = Gateway::with(&others.url(), &settings).await;

    let whole = wait_for("both documents", || async {
        let whole = joined(&gateway).await;
        let schemas = whole["components"]["schemas"].as_object()?;
        (schemas.contains_key("order.Out") && schemas.contains_key("payment.Out")).then_some(whole)
    })
    .await;
    let paths: Vec<&String> = whole["paths"].as_object().unwrap().keys().collect();
    assert_eq!(
        paths,
        [
            "/api/discovery/health",
            "/api/discovery/services",
            "/api/discovery/services/{name}",
            "/api/discovery/services/{name}/instances/{id}",
            "/api/discovery/services/{name}/instances/{id}/heartbeat",
            "/api/discovery/watch",
            "/api/inventory/products",
            "/api/orders",
            "/api/services/status"
        ]
    );
    let at = |pointer: &str| whole.pointer(pointer).unwrap().clone();
    assert_eq!(at("/paths/~1api~1orders/get/operationId"), "order.list");
    assert_eq!(
        at("/paths/~1api~1inventory~1products/get/operationId"),
        "inventory.list"
    );
    assert_eq!(
        at("/paths/~1api~1orders/get/responses/200/content/application~1json/schema/$ref"),
        "#/components/schemas/order.Out"
    );
    assert_eq!(at("/components/schemas/order.Out/description"), "orders");
    assert_eq!(
        at("/components/schemas/inventory.Out/description"),
        "others"
    );
    assert_eq!(whole["info"]["title"], "Maru");

    // A new version of a service shows when it was started again.
    orders.set_document(document("orders, renewed"));
    orders.set_health(healthy(0));
    wait_until("the new document", || async {
        joined(&gateway).await["components"]["schemas"]["order.Out"]["description"]
            == "orders, renewed"
    })
    .await;

    orders.stop().await;
    wait_until("the service's document to go", || async {
        joined(&gateway).await["paths"].get("/api/orders").is_none()
    })
    .await;
}

#[tokio::test]
async fn a_service_whose_document_is_none_does_not_spoil_the_others() {
    let orders = Upstream::start(|_| Reply::ok("")).await;
    let others = Upstream::start(|_| Reply::ok("")).await;
    orders.set_document("<html>".to_owned());
    others.set_document(document("others"));
    let url = orders.url();
    let mut settings = FAST.to_vec();
    settings.push(("ORDER_URL", &url));
    let gateway = Gateway::with(&others.url(), &settings).await;
    wait_until("the other documents", || async {
        joined(&gateway).await["components"]["schemas"]
            .get("inventory.Out")
            .is_some()
    })
    .await;
    assert!(joined(&gateway).await["paths"].get("/api/orders").is_none());
}

#[tokio::test]
async fn the_page_and_all_it_loads_come_from_here() {
    let upstream = Upstream::start(|_| Reply::ok("")).await;
    let gateway = Gateway::before(&upstream).await;
    for target in ["/docs", "/docs/"] {
        let answer = gateway
            .ask(&format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n"))
            .await
            .expect(200);
        let policy = answer.head.one("content-security-policy").unwrap();
        assert!(
            policy.starts_with("default-src 'none'") && !policy.contains("unsafe"),
            "{policy}"
        );
        let page = answer.text();
        let files: Vec<&str> = page
            .split('"')
            .filter(|part| part.starts_with("/docs/"))
            .collect();
        assert_eq!(files.len(), 5);
        for file in files {
            let answer = gateway
                .ask(&format!("GET {file} HTTP/1.1\r\nHost: x\r\n\r\n"))
                .await
                .expect(200);
            assert!(answer.complete && answer.body.bytes > 50, "{file}");
            assert_eq!(
                answer.head.one("x-content-type-options").as_deref(),
                Some("nosniff")
            );
        }
    }
    for target in [
        "/docs/index.html",
        "/docs/swagger-initializer.js",
        "/docs/none",
        "/docs/%2e%2e/x",
    ] {
        let answer = gateway
            .ask(&format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n"))
            .await;
        assert!(matches!(answer.status, 404 | 400), "{target}");
    }
}
