//! The gateway's own endpoints.

use serde_json::Value;
use testkit::wait_until;

use crate::gateway::Gateway;
use crate::upstream::{Reply, Upstream};

#[tokio::test]
async fn health_and_readiness_are_the_gateway_s_own() {
    // No service behind it works; the gateway itself does.
    let gateway = Gateway::with("http://127.0.0.1:1", &[]).await;
    for target in ["/health", "/ready"] {
        let answer = gateway
            .ask(&format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n"))
            .await
            .expect(200);
        let report: Value = serde_json::from_slice(&answer.body.kept).unwrap();
        assert_eq!(
            (&report["status"], &report["service"]),
            (&"healthy".into(), &"gateway".into())
        );
    }
    let mut client = gateway.connect().await;
    let answer = client
        .ask("HEAD /health HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .expect(200);
    assert_ne!(answer.head.one("content-length").as_deref(), Some("0"));
    let answer = client
        .ask("DELETE /health HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .problem(405, "method_not_allowed");
    assert_eq!(answer.head.one("allow").as_deref(), Some("GET, HEAD"));
}

#[tokio::test]
async fn metrics_count_by_route_and_never_by_path() {
    let upstream = Upstream::start(|_| Reply::ok("x")).await;
    let gateway = Gateway::before(&upstream).await;
    for id in ["secret-path-1", "secret-path-2"] {
        gateway
            .ask(&format!(
                "GET /api/payments/{id} HTTP/1.1\r\nHost: x\r\n\r\n"
            ))
            .await
            .expect(200);
        gateway
            .ask(&format!("GET /nowhere/{id} HTTP/1.1\r\nHost: x\r\n\r\n"))
            .await
            .expect(404);
        gateway
            .ask(&format!(
                "{} /api/payments HTTP/1.1\r\nHost: x\r\n\r\n",
                id.to_uppercase()
            ))
            .await
            .expect(200);
    }
    // A request is counted when its answer has been written, which the client may see first.
    let counted = r#"http_requests_total{method="GET",route="/api/payments",service="payment",status="200"} 2"#;
    wait_until("the requests to be counted", || async {
        metrics(&gateway).await.contains(counted)
    })
    .await;
    let text = metrics(&gateway).await;
    assert!(!text.to_lowercase().contains("secret-path"));
    assert!(text.contains(r#"method="other",route="/api/payments""#));
    assert!(text.contains(r#"http_request_duration_seconds_count{method="GET",route="/api/payments",service="payment"} 2"#));
    assert!(text.contains(r#"gateway_upstream_duration_seconds_count{service="payment"} 4"#));
}

async fn metrics(gateway: &Gateway) -> String {
    gateway
        .ask("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .expect(200)
        .text()
}

#[tokio::test]
async fn settings_that_make_no_sense_are_refused() {
    for (name, value) in [
        ("GATEWAY__STATUS__TIMEOUT_MS", "1000"),
        ("GATEWAY__CORS__ALLOWED_ORIGINS", "localhost"),
        ("GATEWAY__PROXIES__TRUSTED", "10.0.0.0"),
        ("GATEWAY__ROUTING__FILE", "/nonexistent/routes.toml"),
        ("ORDER_URL", "https://order-service"),
        ("GATEWAY__REGISTRY__ALLOWED_NETWORKS", "10.0.0.0/40"),
        ("GATEWAY__REGISTRY__ALLOWED_PORTS", "0-80"),
        ("GATEWAY__RESILIENCE__BALANCE", "best"),
        ("GATEWAY__RESILIENCE__MAX_ATTEMPTS", "0"),
        ("GATEWAY__RESILIENCE__BREAKER_PROBES", "0"),
        (
            "GATEWAY__RESILIENCE__POLICIES_FILE",
            "/nonexistent/policies.toml",
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let environment = [
            ("MARU_DATA".to_owned(), folder.path().display().to_string()),
            (name.to_owned(), value.to_owned()),
            ("GATEWAY__SERVER__PORT".to_owned(), "0".to_owned()),
        ];
        let loaded =
            common::settings::load("gateway", gateway_service::DEFAULTS, environment).unwrap();
        let built =
            gateway_service::startup::Application::build(loaded, common::shutdown::Shutdown::new())
                .await;
        assert!(built.is_err(), "{name}={value}");
    }
}
