//! `GET /api/services/status` as services come, fail and go.

use serde_json::Value;
use testkit::wait_for;

use crate::gateway::Gateway;
use crate::registrar::Registrar;
use crate::upstream::{Reply, Upstream, healthy};

const FAST: [(&str, &str); 2] = [
    ("GATEWAY__STATUS__INTERVAL_MS", "60"),
    ("GATEWAY__STATUS__TIMEOUT_MS", "50"),
];

async fn report(gateway: &Gateway) -> Value {
    let answer = gateway
        .ask("GET /api/services/status HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .expect(200);
    assert_eq!(
        answer.head.one("content-type").as_deref(),
        Some("application/json")
    );
    assert_eq!(
        answer.head.one("cache-control").as_deref(),
        Some("no-store")
    );
    serde_json::from_slice(&answer.body.kept).unwrap()
}

fn service<'r>(report: &'r Value, name: &str) -> &'r Value {
    let services = report["services"].as_array().unwrap();
    services
        .iter()
        .find(|service| service["name"] == name)
        .unwrap()
}

async fn until(gateway: &Gateway, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
    wait_for(what, || async {
        let report = report(gateway).await;
        holds(&report).then_some(report)
    })
    .await
}

#[tokio::test]
async fn the_first_look_shows_what_is_not_known_yet() {
    // Nobody answers here, and the first check takes its time to find out.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let gateway = Gateway::with(
        &url,
        &[
            ("GATEWAY__STATUS__INTERVAL_MS", "60000"),
            ("GATEWAY__STATUS__TIMEOUT_MS", "50000"),
        ],
    )
    .await;
    let report = report(&gateway).await;
    assert_eq!(report["status"], "degraded");
    assert_eq!(service(&report, "gateway")["status"], "HEALTHY");
    let order = service(&report, "order");
    assert_eq!(
        (&order["status"], &order["last_check"]),
        (&"UNKNOWN".into(), &Value::Null)
    );
    let names: Vec<&str> = report["services"]
        .as_array()
        .unwrap()
        .iter()
        .map(|service| service["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "gateway",
            "user",
            "inventory",
            "order",
            "analytics",
            "iot",
            "payment"
        ]
    );
}

#[tokio::test]
async fn a_status_follows_the_service() {
    let upstream = Upstream::start(|_| Reply::ok("")).await;
    let other = Upstream::start(|_| Reply::ok("")).await;
    let mut settings = FAST.to_vec();
    let url = other.url();
    settings.push(("ORDER_URL", &url));
    let gateway = Gateway::with(&upstream.url(), &settings).await;

    let all_well = until(&gateway, "all to be healthy", |report| {
        report["status"] == "healthy"
    })
    .await;
    let order = service(&all_well, "order");
    assert_eq!(order["version"], "1.2.3");
    assert_eq!(order["instances"][0]["url"], url);
    assert!(order["latency_ms"].is_u64() && order["last_check"].as_str().unwrap().ends_with('Z'));
    assert_eq!(order.get("detail"), None);

    let body = r#"{"status":"degraded","service":"order","version":"1.2.3","uptime_s":2,"checks":[{"name":"redis","status":"degraded","latency_ms":1,"detail":"no answer"}]}"#;
    other.set_health((200, body.to_owned()));
    let partly = until(&gateway, "the detail", |report| {
        service(report, "order")["detail"] == "redis: no answer"
    })
    .await;
    assert_eq!(service(&partly, "order")["status"], "HEALTHY");

    other.set_health((500, "secret stack trace".to_owned()));
    let failed = until(&gateway, "the failure", |report| {
        service(report, "order")["status"] == "UNHEALTHY"
    })
    .await;
    assert_eq!(failed["status"], "degraded");
    assert!(!failed.to_string().contains("secret"));

    other.set_health(healthy(3));
    until(&gateway, "the recovery", |report| {
        report["status"] == "healthy"
    })
    .await;

    let address = other.stop().await;
    let away = until(&gateway, "the end", |report| {
        service(report, "order")["status"] == "UNHEALTHY"
    })
    .await;
    assert_eq!(service(&away, "order")["detail"], "no connection");
    upstream.stop().await;
    until(&gateway, "the end of all", |report| {
        report["status"] == "down"
    })
    .await;
    let _back = Upstream::listen(&address.to_string(), |_| Reply::ok("")).await;
    until(&gateway, "the return", |report| {
        report["status"] == "degraded"
    })
    .await;
}

#[tokio::test]
async fn an_endless_or_silent_health_answer_is_no_good_one() {
    let upstream = Upstream::start(|_| Reply::ok("")).await;
    let gateway = Gateway::with(&upstream.url(), &FAST).await;
    until(&gateway, "all to be healthy", |report| {
        report["status"] == "healthy"
    })
    .await;
    let padding = "x".repeat(100_000);
    upstream.set_health((
        200,
        format!(r#"{{"status":"healthy","service":"{padding}"}}"#),
    ));
    let report = until(&gateway, "the failure", |report| report["status"] == "down").await;
    assert_eq!(
        service(&report, "iot")["detail"],
        "the health answer is too large"
    );
}

#[tokio::test]
async fn a_service_that_registers_is_looked_at_at_once() {
    // By itself the gateway would look again after a quarter of an hour.
    let registrar = Registrar::with(&[
        ("ORDER_URL", "http://127.0.0.1:1"),
        ("GATEWAY__STATUS__INTERVAL_MS", "3600000"),
    ])
    .await;
    let gateway = &registrar.gateway;
    until(gateway, "order to be missed", |report| {
        service(report, "order")["status"] == "UNHEALTHY"
    })
    .await;
    let order = Upstream::start(|_| Reply::ok("")).await;
    registrar.register("order", &order).await.expect(201);
    until(gateway, "order to be seen", |report| {
        service(report, "order")["status"] == "HEALTHY"
    })
    .await;
}
