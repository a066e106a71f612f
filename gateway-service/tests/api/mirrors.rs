//! Copies of requests for another service.

use testkit::wait_until;

use crate::gateway::{Gateway, RoutingFile};
use crate::registrar::get;
use crate::upstream::{Reply, Seen, Upstream};

/// A gateway that copies what goes to `order` to another service.
async fn before(shadow: &Upstream, settings: &[(&str, &str)]) -> (Upstream, Gateway) {
    let upstream = Upstream::start(|_| Reply::ok("real")).await;
    let text = format!(
        r#"
        services = [{{name = "next", url = "{}"}}, {{name = "absent"}}]
        routes = [
            {{prefix = "/all", service = "order", mirror = {{service = "next"}}}},
            {{prefix = "/strip", service = "order", strip_path = true, mirror = {{service = "next"}}}},
            {{prefix = "/some", service = "order", mirror = {{service = "next", percent = 10}}}},
            {{prefix = "/guarded", service = "order", auth = "required", mirror = {{service = "next"}}}},
            {{prefix = "/small", service = "order", max_body_bytes = 3, mirror = {{service = "next"}}}},
            {{prefix = "/absent", service = "order", mirror = {{service = "absent"}}}},
            {{prefix = "/none", service = "order"}},
        ]"#,
        shadow.url()
    );
    let file = RoutingFile::new(&text);
    let gateway = Gateway::routing_with(&upstream, &file, settings).await;
    (upstream, gateway)
}

async fn counted(gateway: &Gateway, outcome: &str, count: usize) {
    let end = format!("outcome=\"{outcome}\"}} {count}");
    wait_until("the copies to be counted", || async {
        let metrics = get(gateway, "/metrics").await.text();
        let mut lines = metrics.lines();
        lines.any(|line| line.starts_with("gateway_mirrored_total{") && line.ends_with(&end))
    })
    .await;
}

/// What reached the service, without what names the connection.
fn told(seen: &Seen) -> (String, Vec<(String, Vec<u8>)>, u64, u64) {
    let mut headers = seen.head.headers.clone();
    headers.retain(|(name, _)| !matches!(name.as_str(), "host" | "x-maru-mirror"));
    headers.sort();
    (
        seen.head.start.clone(),
        headers,
        seen.body.bytes,
        seen.body.sum,
    )
}

#[tokio::test]
async fn a_copy_is_the_same_request_and_its_answer_is_nobody_s() {
    let shadow = Upstream::start(|_| {
        Reply::text("HTTP/1.1 500 X\r\nset-cookie: a=b\r\ncontent-length: 6\r\n\r\nshadow")
    })
    .await;
    let (upstream, gateway) = before(&shadow, &[]).await;
    let large = "x".repeat(60_000);
    let requests = [
        "GET /all/a?q=%2F HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer t\r\nX-A: 1\r\nX-A: 2\r\n\r\n".to_owned(),
        "DELETE /strip/a HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
        "POST /all/a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello".to_owned(),
        "POST /all/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n".to_owned(),
        format!("PUT /all/a HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{large}", large.len()),
        "HEAD /all/a HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
    ];
    for (index, request) in requests.iter().enumerate() {
        let answer = gateway.ask(request).await.expect(200);
        assert_eq!(answer.head.one("set-cookie"), None);
        if !request.starts_with("HEAD") {
            assert_eq!(answer.text(), "real");
        }
        wait_until("the copy", || async {
            shadow.seen().get(index).is_some_and(|seen| seen.complete)
        })
        .await;
    }
    for (original, copy) in upstream.seen().iter().zip(shadow.seen()) {
        assert_eq!(told(original), told(&copy));
        assert_eq!(copy.head.one("x-maru-mirror").as_deref(), Some("1"));
        assert_eq!(original.head.one("x-maru-mirror"), None);
    }
    counted(&gateway, "failing_answer", requests.len()).await;
    // Their connections are used again.
    let mut connections: Vec<usize> = shadow.seen().iter().map(|seen| seen.connection).collect();
    connections.dedup();
    assert!(connections.len() < requests.len(), "{connections:?}");
}

#[tokio::test]
async fn a_share_of_the_requests_is_copied() {
    let shadow = Upstream::start(|_| Reply::ok("")).await;
    let (_upstream, gateway) = before(&shadow, &[]).await;
    for _ in 0..100 {
        get(&gateway, "/some/a").await.expect(200);
        get(&gateway, "/none/a").await.expect(200);
    }
    counted(&gateway, "answered", shadow.seen().len()).await;
    assert!(
        (9..=11).contains(&shadow.seen().len()),
        "{}",
        shadow.seen().len()
    );
}

#[tokio::test]
async fn copies_that_hang_cost_the_client_nothing_and_are_bounded() {
    let shadow = Upstream::start(|_| Reply::ThenHold(Vec::new())).await;
    let (upstream, gateway) = before(&shadow, &[("GATEWAY__MIRROR__MAX_IN_FLIGHT", "2")]).await;
    for _ in 0..10 {
        get(&gateway, "/all/a").await.expect(200);
    }
    counted(&gateway, "overflow", 8).await;
    wait_until("the copies", || async { shadow.seen().len() == 2 }).await;
    assert_eq!(upstream.seen().len(), 10);
}

#[tokio::test]
async fn the_place_of_a_copy_is_free_when_it_is_over() {
    let shadow = Upstream::start(|_| Reply::ok("")).await;
    let (_upstream, gateway) = before(&shadow, &[("GATEWAY__MIRROR__MAX_IN_FLIGHT", "1")]).await;
    for number in 1..=5 {
        // The place may be given back a moment after the copy was counted.
        wait_until("a free place", || async {
            get(&gateway, "/all/a").await.expect(200);
            shadow.seen().len() >= number
        })
        .await;
    }
}

#[tokio::test]
async fn a_copy_that_fails_or_has_nowhere_to_go_costs_the_client_nothing() {
    let shadow = Upstream::start(|_| Reply::ok("")).await;
    let (_upstream, gateway) = before(&shadow, &[]).await;
    get(&gateway, "/absent/a").await.expect(200);
    counted(&gateway, "unavailable", 1).await;
    shadow.stop().await;
    for _ in 0..30 {
        get(&gateway, "/all/a").await.expect(200);
    }
    // Its breaker opens, which says nothing about the service itself.
    let failed = "gateway_mirrored_total{service=\"next\",outcome=\"failed\"}";
    let metrics = get(&gateway, "/metrics").await.text();
    assert!(metrics.contains(failed), "{metrics}");
    wait_until("its breaker", || async {
        get(&gateway, "/all/a").await.expect(200);
        let metrics = get(&gateway, "/metrics").await.text();
        metrics.contains("gateway_mirrored_total{service=\"next\",outcome=\"unavailable\"}")
    })
    .await;
}

#[tokio::test]
async fn what_is_refused_too_large_or_a_copy_itself_is_not_copied() {
    let shadow = Upstream::start(|_| Reply::ok("")).await;
    let (upstream, gateway) = before(&shadow, &[]).await;
    get(&gateway, "/guarded/a").await.expect(401);
    let post = |path: &str, headers: &str, length: usize| {
        let body = "x".repeat(length);
        format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
        )
    };
    gateway.ask(&post("/small/a", "", 4)).await.expect(413);
    gateway
        .ask(&post("/all/a", "X-Maru-Mirror: 1\r\n", 1))
        .await
        .expect(200);
    gateway.ask(&post("/all/a", "", 70_000)).await.expect(200);
    counted(&gateway, "body", 2).await;
    // The mark is not a client's to give to a service.
    let marks = upstream
        .seen()
        .iter()
        .filter_map(|seen| seen.head.one("x-maru-mirror"))
        .count();
    assert_eq!((marks, upstream.seen().len()), (0, 2));
    assert_eq!(shadow.seen().len(), 0);
}
