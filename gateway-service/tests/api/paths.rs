//! Which target leads where, and which leads nowhere.

use crate::gateway::Gateway;
use crate::upstream::{Reply, Upstream};

async fn start() -> (Upstream, Gateway) {
    let upstream = Upstream::start(|_| Reply::ok("")).await;
    let gateway = Gateway::before(&upstream).await;
    (upstream, gateway)
}

#[tokio::test]
async fn internal_endpoints_are_reached_by_no_trick() {
    let (upstream, gateway) = start().await;
    for (target, status) in [
        ("/internal/tokens", 404),
        ("/internal", 404),
        ("/INTERNAL/tokens", 404),
        ("/%69nternal/tokens", 404),
        ("/internal;x/tokens", 404),
        ("http://x/internal/tokens", 404),
        ("/metrics/../internal/tokens", 400),
        ("//internal/tokens", 400),
        ("/api/orders/../../internal/tokens", 400),
        ("/api/orders/%2e%2e/%2E%2E/internal/tokens", 400),
        ("/api/orders/..%2finternal", 400),
        ("/api/orders/..;/internal", 400),
        ("/api/orders/..%5cinternal", 400),
        ("/api/orders//internal", 400),
        ("/api/orders/%00", 400),
        ("/api/orders/%0d%0aX:%20y", 400),
        ("/api/orders/./x", 400),
        ("/api/ordersheet", 404),
        ("/api/orders%2f1", 400),
        ("/.well-known/security.txt", 404),
        ("/", 404),
    ] {
        let answer = gateway
            .ask(&format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n"))
            .await;
        let code = if status == 404 {
            "not_found"
        } else {
            "invalid_path"
        };
        answer.problem(status, code);
    }
    assert_eq!(upstream.seen().len(), 0);
}

#[tokio::test]
async fn the_path_is_forwarded_in_canonical_form_and_the_query_as_it_is() {
    let (upstream, gateway) = start().await;
    let mut client = gateway.connect().await;
    for (target, expected) in [
        (
            "/api/orders/%61%7e?q=%61%2f..//&x",
            "/api/orders/a~?q=%61%2f..//&x",
        ),
        ("/api/orders/a%2cb;v=1/", "/api/orders/a%2Cb;v=1/"),
        ("/api/orders?", "/api/orders?"),
        ("/api/orders/%ED%95%9C", "/api/orders/%ED%95%9C"),
    ] {
        client
            .ask(&format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n"))
            .await
            .expect(200);
        let start = upstream.seen().pop().unwrap().head.start;
        assert_eq!(start, format!("GET {expected} HTTP/1.1"));
    }
}

#[tokio::test]
async fn a_host_that_is_none_is_refused() {
    let (upstream, gateway) = start().await;
    for headers in [
        "",
        "Host: a\r\nHost: b\r\n",
        "Host: a@b\r\n",
        "Host: a b\r\n",
        "Host: a:99999\r\n",
        "Host: \r\n",
        "Host: a/b\r\n",
    ] {
        let request = format!("GET /api/orders HTTP/1.1\r\n{headers}\r\n");
        gateway.ask(&request).await.expect(400);
    }
    gateway
        .ask("GET http://u@x/api/orders HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .expect(400);
    gateway
        .ask("GET ftp://x/api/orders HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .expect(400);
    assert_eq!(upstream.seen().len(), 0);
}

#[tokio::test]
async fn methods_that_are_not_offered_are_refused_and_others_pass() {
    let (upstream, gateway) = start().await;
    for request in [
        "TRACE /api/orders HTTP/1.1\r\nHost: x\r\n\r\n",
        "CONNECT x:80 HTTP/1.1\r\nHost: x:80\r\n\r\n",
    ] {
        let mut client = gateway.connect().await;
        let answer = client.ask(request).await.problem(405, "method_not_allowed");
        assert!(answer.head.one("allow").unwrap().contains("GET"));
        assert!(client.is_closed().await);
    }
    let answer = gateway
        .ask("OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .expect(204);
    assert!(answer.head.one("allow").unwrap().contains("OPTIONS"));
    assert_eq!(upstream.seen().len(), 0);
    for method in ["PATCH", "DELETE", "OPTIONS", "PURGE"] {
        gateway
            .ask(&format!("{method} /api/orders HTTP/1.1\r\nHost: x\r\n\r\n"))
            .await
            .expect(200);
        let start = upstream.seen().pop().unwrap().head.start;
        assert_eq!(start, format!("{method} /api/orders HTTP/1.1"));
    }
}

#[tokio::test]
async fn a_target_or_head_that_is_too_long_is_refused() {
    let (upstream, gateway) = start().await;
    let long = "a".repeat(9_000);
    let request = format!("GET /api/orders/{long} HTTP/1.1\r\nHost: x\r\n\r\n");
    gateway.ask(&request).await.problem(414, "target_too_long");
    let request = format!(
        "GET /api/orders HTTP/1.1\r\nHost: x\r\n{}\r\n",
        "X: y\r\n".repeat(101)
    );
    gateway.ask(&request).await.expect(431);
    let request = format!(
        "GET /api/orders HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n",
        "y".repeat(200_000)
    );
    gateway.ask(&request).await.expect(431);
    assert_eq!(upstream.seen().len(), 0);
}

#[tokio::test]
async fn an_unknown_expectation_is_not_met() {
    let (upstream, gateway) = start().await;
    gateway
        .ask("GET /api/orders HTTP/1.1\r\nHost: x\r\nExpect: 200-ok\r\n\r\n")
        .await
        .problem(417, "unknown_expectation");
    let mut client = gateway.connect().await;
    client.send("POST /api/orders HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n").await;
    client.answer(false).await.unwrap().expect(100);
    client.ask("hello").await.expect(200);
    let seen = upstream.only();
    assert_eq!(
        (seen.body.text().as_str(), seen.head.one("expect")),
        ("hello", None)
    );
}
