//! Connections to the services: kept, found dead, missing, slow.

use std::time::Duration;

use crate::gateway::Gateway;
use crate::upstream::{Reply, Upstream};

const GET: &str = "GET /api/orders HTTP/1.1\r\nHost: x\r\n\r\n";
const POST: &str = "POST /api/orders HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello";

#[tokio::test]
async fn a_connection_is_used_again() {
    let upstream = Upstream::start(|_| Reply::ok("x")).await;
    let gateway = Gateway::before(&upstream).await;
    for _ in 0..10 {
        // Clients come and go; the connection behind the gateway stays.
        gateway.ask(POST).await.expect(200);
        gateway.ask(GET).await.expect(200);
    }
    let connections: Vec<usize> = upstream.seen().iter().map(|seen| seen.connection).collect();
    assert_eq!(connections, [1; 20]);
}

#[tokio::test]
async fn a_connection_that_says_close_is_not_used_again() {
    let upstream = Upstream::start(|_| {
        Reply::text("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
    })
    .await;
    let gateway = Gateway::before(&upstream).await;
    for _ in 0..3 {
        gateway.ask(GET).await.expect(200);
    }
    let connections: Vec<usize> = upstream.seen().iter().map(|seen| seen.connection).collect();
    assert_eq!(connections, [1, 2, 3]);
}

#[tokio::test]
async fn an_old_connection_is_not_used_again() {
    let upstream = Upstream::start(|_| Reply::ok("x")).await;
    let gateway = Gateway::with(
        &upstream.url(),
        &[("GATEWAY__UPSTREAM__IDLE_CONNECTION_MS", "0")],
    )
    .await;
    gateway.ask(GET).await.expect(200);
    gateway.ask(GET).await.expect(200);
    let connections: Vec<usize> = upstream.seen().iter().map(|seen| seen.connection).collect();
    assert_eq!(connections, [1, 2]);
}

/// It closes them then, and what is on its way is lost.
#[tokio::test]
async fn a_connection_is_kept_no_longer_than_its_service_says() {
    let ok = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n";
    for (value, expected) in [("timeout=0", [1, 2, 3]), ("timeout=60, max=9", [1, 1, 1])] {
        let head = format!("{ok}Keep-Alive: {value}\r\n\r\n");
        let upstream = Upstream::start(move |_| Reply::text(&head)).await;
        let gateway = Gateway::before(&upstream).await;
        for _ in 0..3 {
            gateway.ask(POST).await.expect(200);
        }
        let connections: Vec<usize> = upstream.seen().iter().map(|seen| seen.connection).collect();
        assert_eq!(connections, expected, "{value}");
    }
    let head = format!("{ok}keep-alive: timeout=1\r\n\r\n");
    let upstream = Upstream::start(move |_| Reply::text(&head)).await;
    let settings = [("GATEWAY__UPSTREAM__IDLE_CONNECTION_MS", "60000")];
    let gateway = Gateway::with(&upstream.url(), &settings).await;
    gateway.ask(GET).await.expect(200);
    testkit::wait_until("the gateway to let go", || async { upstream.closed() == 1 }).await;
}

/// The service closes a kept connection just as the next request is on its way.
#[tokio::test]
async fn a_kept_connection_that_dies_costs_an_idempotent_request_nothing() {
    let upstream = Upstream::start(|_| Reply::ok("x")).await;
    let gateway = Gateway::before(&upstream).await;
    gateway.ask(GET).await.expect(200);
    upstream.drop_kept_connections();
    for _ in 0..20 {
        gateway.ask(GET).await.expect(200);
    }
    assert_eq!(upstream.seen().len(), 21);
}

/// It may have been carried out before the connection died, so it is not sent twice.
#[tokio::test]
async fn a_post_that_may_have_arrived_is_not_repeated() {
    let upstream = Upstream::start(|_| Reply::ok("x")).await;
    let gateway = Gateway::before(&upstream).await;
    gateway.ask(GET).await.expect(200);
    upstream.drop_kept_connections();
    gateway.ask(POST).await.problem(502, "bad_gateway");
    gateway.ask(POST).await.expect(200);
    assert_eq!(upstream.seen().len(), 2);
}

/// Closed while idle, long enough ago to be known: nothing was sent, so any method may go again.
#[tokio::test]
async fn a_connection_that_was_closed_while_idle_is_never_tried_with_a_post() {
    let upstream = Upstream::start(|_| {
        Reply::ThenClose(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_vec())
    })
    .await;
    let gateway = Gateway::before(&upstream).await;
    for count in 1..=50 {
        gateway.ask(POST).await.expect(200);
        assert_eq!(upstream.seen().len(), count);
        testkit::wait_until("the connection to close", || async {
            upstream.closed() >= count
        })
        .await;
    }
}

/// A service that speaks out of turn cannot have its words taken for an answer.
#[tokio::test]
async fn bytes_after_an_answer_are_never_taken_for_the_next_one() {
    let upstream = Upstream::start(|seen| match seen.connection {
        1 => Reply::text("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\naHTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nwrong"),
        _ => Reply::ok("right"),
    })
    .await;
    let gateway = Gateway::before(&upstream).await;
    gateway.ask(GET).await.expect(200);
    for _ in 0..5 {
        let answer = gateway.ask(GET).await.expect(200);
        assert_eq!(answer.text(), "right");
    }
}

#[tokio::test]
async fn a_service_that_is_away_is_unavailable_and_then_back() {
    let upstream = Upstream::start(|_| Reply::ok("x")).await;
    let gateway = Gateway::before(&upstream).await;
    gateway.ask(GET).await.expect(200);
    let address = upstream.stop().await;
    for request in [GET, POST] {
        let answer = gateway
            .ask(request)
            .await
            .problem(503, "service_unavailable");
        assert_eq!(answer.head.one("retry-after").as_deref(), Some("1"));
    }
    // At once, without waiting for a health check.
    let _upstream = Upstream::listen(&address.to_string(), |_| Reply::ok("x")).await;
    gateway.ask(GET).await.expect(200);
}

#[tokio::test]
async fn a_slow_service_is_given_up_and_its_connection_closed() {
    let upstream = Upstream::start(|_| Reply::ThenHold(Vec::new())).await;
    let settings = [("GATEWAY__UPSTREAM__HEADER_TIMEOUT_MS", "150")];
    let gateway = Gateway::with(&upstream.url(), &settings).await;
    for (count, request) in [GET, POST].into_iter().enumerate() {
        let started = std::time::Instant::now();
        gateway.ask(request).await.problem(504, "gateway_timeout");
        assert!(started.elapsed() >= Duration::from_millis(150));
        testkit::wait_until("the service to be left", || async {
            upstream.closed() == count + 1
        })
        .await;
    }
    // It was not asked again: what it did is not known.
    assert_eq!(upstream.seen().len(), 2);
}

#[tokio::test]
async fn a_service_that_says_it_cannot_work_is_not_called() {
    let upstream = Upstream::start(|_| Reply::ok("x")).await;
    let gateway = Gateway::with(
        &upstream.url(),
        &[
            ("GATEWAY__STATUS__INTERVAL_MS", "40"),
            ("GATEWAY__STATUS__TIMEOUT_MS", "30"),
        ],
    )
    .await;
    let body = r#"{"status":"unhealthy","service":"order","version":"1","uptime_s":1,"checks":[]}"#;
    upstream.set_health((503, body.to_owned()));
    testkit::wait_until("the service to be left alone", || async {
        gateway.ask(GET).await.status == 503
    })
    .await;
    let count = upstream.seen().len();
    let answer = gateway.ask(POST).await.problem(503, "service_unhealthy");
    assert!(answer.head.one("retry-after").is_some());
    assert_eq!(upstream.seen().len(), count);
    upstream.set_health(crate::upstream::healthy(2));
    testkit::wait_until("the service to be called again", || async {
        gateway.ask(GET).await.status == 200
    })
    .await;
}

#[tokio::test]
async fn many_clients_are_served_at_once() {
    let upstream = Upstream::start(|seen| Reply::ok(&seen.head.start)).await;
    let gateway = Gateway::before(&upstream).await;
    let calls = (0..200).map(|number| {
        let gateway = &gateway;
        async move {
            let mut client = gateway.connect().await;
            for round in 0..5 {
                let target = format!("/api/orders/{number}-{round}");
                let answer = client
                    .ask(&format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n"))
                    .await
                    .expect(200);
                assert_eq!(answer.text(), format!("GET {target} HTTP/1.1"));
            }
        }
    });
    futures_util::future::join_all(calls).await;
    assert_eq!(upstream.seen().len(), 1_000);
}
