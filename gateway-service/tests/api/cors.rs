//! Pages of other origins.

use crate::gateway::Gateway;
use crate::upstream::{Reply, Upstream};

async fn start(settings: &[(&str, &str)]) -> (Upstream, Gateway) {
    let upstream = Upstream::start(|_| {
        Reply::text("HTTP/1.1 200 OK\r\nvary: accept\r\naccess-control-allow-origin: *\r\naccess-control-allow-origin: https://a.example\r\ncontent-length: 0\r\n\r\n")
    })
    .await;
    let gateway = Gateway::with(&upstream.url(), settings).await;
    (upstream, gateway)
}

fn preflight(origin: &str, target: &str) -> String {
    format!(
        "OPTIONS {target} HTTP/1.1\r\nHost: x\r\nOrigin: {origin}\r\nAccess-Control-Request-Method: POST\r\n\
         Access-Control-Request-Headers: authorization, idempotency-key\r\n\r\n"
    )
}

#[tokio::test]
async fn a_preflight_is_answered_here() {
    let (upstream, gateway) = start(&[]).await;
    for target in ["/api/orders", "/api/nowhere", "/api/services/status"] {
        let head = gateway
            .ask(&preflight("http://localhost:3000", target))
            .await
            .expect(204)
            .head;
        assert_eq!(
            head.one("access-control-allow-origin").as_deref(),
            Some("http://localhost:3000")
        );
        assert!(
            head.one("access-control-allow-methods")
                .unwrap()
                .contains("POST")
        );
        assert!(
            head.one("access-control-allow-headers")
                .unwrap()
                .contains("idempotency-key")
        );
        assert_eq!(head.one("access-control-max-age").as_deref(), Some("600"));
        assert_eq!(head.one("access-control-allow-credentials"), None);
        let vary = head.one("vary").unwrap();
        assert!(
            vary.contains("origin") && vary.contains("access-control-request-headers"),
            "{vary}"
        );
    }
    assert_eq!(upstream.seen().len(), 0);
}

#[tokio::test]
async fn another_origin_is_allowed_nothing() {
    let (upstream, gateway) = start(&[]).await;
    for origin in [
        "http://localhost:3001",
        "https://localhost:3000",
        "http://localhost:3000.evil.example",
        "null",
        "*",
    ] {
        let answer = gateway
            .ask(&preflight(origin, "/api/orders"))
            .await
            .problem(403, "origin_not_allowed");
        assert_eq!(
            answer.head.all("access-control-allow-origin"),
            Vec::<String>::new(),
            "{origin}"
        );
        let request = format!("GET /api/orders HTTP/1.1\r\nHost: x\r\nOrigin: {origin}\r\n\r\n");
        let head = gateway.ask(&request).await.expect(200).head;
        assert_eq!(
            head.all("access-control-allow-origin"),
            Vec::<String>::new(),
            "{origin}"
        );
        assert_eq!(head.one("vary").as_deref(), Some("accept, origin"));
    }
    assert_eq!(upstream.seen().len(), 5);
}

#[tokio::test]
async fn an_answer_carries_the_gateway_s_word_only() {
    let (_upstream, gateway) = start(&[]).await;
    let origin = "Origin: http://localhost:3000\r\n";
    for (request, status) in [
        (
            format!("GET /api/orders HTTP/1.1\r\nHost: x\r\n{origin}\r\n"),
            200,
        ),
        (
            format!("GET /api/nowhere HTTP/1.1\r\nHost: x\r\n{origin}\r\n"),
            404,
        ),
        (
            format!("GET /api/orders/.. HTTP/1.1\r\nHost: x\r\n{origin}\r\n"),
            400,
        ),
        (
            format!(
                "POST /api/orders HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n{origin}\r\n"
            ),
            413,
        ),
    ] {
        let head = gateway.ask(&request).await.expect(status).head;
        assert_eq!(
            head.all("access-control-allow-origin"),
            ["http://localhost:3000"],
            "{request}"
        );
        assert!(
            head.one("access-control-expose-headers")
                .unwrap()
                .contains("x-request-id")
        );
    }
}

#[tokio::test]
async fn a_service_that_is_away_is_readable_for_the_page() {
    let gateway = Gateway::with("http://127.0.0.1:1", &[]).await;
    let request = "GET /api/orders HTTP/1.1\r\nHost: x\r\nOrigin: http://localhost:3000\r\n\r\n";
    let answer = gateway
        .ask(request)
        .await
        .problem(503, "service_unavailable");
    assert_eq!(
        answer.head.all("access-control-allow-origin"),
        ["http://localhost:3000"]
    );
}

#[tokio::test]
async fn origins_are_a_setting() {
    let list = "https://console.example,https://till.example";
    let (_upstream, gateway) = start(&[("GATEWAY__CORS__ALLOWED_ORIGINS", list)]).await;
    gateway
        .ask(&preflight("https://till.example", "/api/orders"))
        .await
        .expect(204);
    gateway
        .ask(&preflight("http://localhost:3000", "/api/orders"))
        .await
        .expect(403);
    let (_upstream, gateway) = start(&[("GATEWAY__CORS__ALLOWED_ORIGINS", "*")]).await;
    let head = gateway
        .ask(&preflight("https://anybody.example", "/api/orders"))
        .await
        .expect(204)
        .head;
    assert_eq!(
        head.one("access-control-allow-origin").as_deref(),
        Some("*")
    );
}

#[tokio::test]
async fn an_options_request_that_is_no_preflight_reaches_the_service() {
    let (upstream, gateway) = start(&[]).await;
    gateway
        .ask("OPTIONS /api/orders HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .expect(200);
    assert_eq!(upstream.only().head.start, "OPTIONS /api/orders HTTP/1.1");
}
