//! Where a message ends: one meaning for both sides, or none at all.

use testkit::wait_until;

use crate::client::Client;
use crate::gateway::Gateway;
use crate::messages::Framing;
use crate::upstream::{Reply, Upstream};

async fn start(
    script: impl Fn(&crate::upstream::Seen) -> Reply + Send + Sync + 'static,
) -> (Upstream, Gateway) {
    let upstream = Upstream::start(script).await;
    let gateway = Gateway::before(&upstream).await;
    (upstream, gateway)
}

/// Two requests; the second must never be taken for part of the first, or seen by the service.
#[tokio::test]
async fn ambiguous_requests_are_refused_and_end_the_connection() {
    let (upstream, gateway) = start(|_| Reply::ok("")).await;
    let smuggled = "GET /api/orders/smuggled HTTP/1.1\r\nHost: x\r\n\r\n";
    for headers in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: 5, 5\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: -5\r\n",
        "Content-Length: 0x5\r\n",
        "Content-Length: 5 5\r\n",
        "Content-Length:\r\n",
        "Content-Length: 99999999999999999999\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: chunked, chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding : chunked\r\n",
        "X: y\r\n folded: z\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\nUpgrade: websocket\r\nConnection: upgrade\r\n",
        "Upgrade: websocket\r\n",
    ] {
        let mut client = gateway.connect().await;
        let request =
            format!("POST /api/orders HTTP/1.1\r\nHost: x\r\n{headers}\r\n0\r\n\r\n{smuggled}");
        let answer = client.ask(&request).await;
        assert!(
            matches!(answer.status, 400 | 501),
            "{headers:?}: {}",
            answer.head.start
        );
        assert!(client.is_closed().await, "{headers:?}");
    }
    let old = "POST /api/orders HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    gateway.ask(old).await.expect(400);
    assert_eq!(upstream.seen().len(), 0);
}

#[tokio::test]
async fn a_broken_chunk_never_completes_the_request_at_the_service() {
    let (upstream, gateway) = start(|_| Reply::ok("")).await;
    let bad = [
        "\r\n",
        "0x5\r\n",
        "5_0\r\n",
        "+5\r\n",
        "-1\r\n",
        "11111111111111111\r\n",
        "5\r\nhelloXX",
        "z\r\n",
    ];
    for chunk in bad {
        let mut client = gateway.connect().await;
        let head = "POST /api/orders HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n";
        client.send(format!("{head}{chunk}0\r\n\r\n")).await;
        let answer = client.answer(false).await;
        assert!(
            answer.is_none_or(|answer| answer.status == 400),
            "{chunk:?}"
        );
    }
    wait_until("the broken requests to end", || async {
        upstream.closed() >= upstream.seen().len()
    })
    .await;
    assert!(upstream.seen().iter().all(|seen| !seen.complete));
}

#[tokio::test]
async fn a_body_is_framed_as_it_came_but_written_anew() {
    let (upstream, gateway) = start(|seen| Reply::ok(&seen.body.text())).await;
    let mut client = gateway.connect().await;
    for (request, framing, body) in [
        (
            "POST /api/orders HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
            Framing::Length(5),
            "hello",
        ),
        (
            "POST /api/orders HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: Chunked\r\n\r\n2;ext=1\r\nhe\r\n3\r\nllo\r\n0\r\nTrailer: x\r\n\r\n",
            Framing::Chunked,
            "hello",
        ),
        (
            "POST /api/orders HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            Framing::Chunked,
            "",
        ),
        (
            "POST /api/orders HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
            Framing::Length(0),
            "",
        ),
        (
            "POST /api/orders HTTP/1.1\r\nHost: x\r\n\r\n",
            Framing::None,
            "",
        ),
        (
            "GET /api/orders HTTP/1.1\r\nHost: x\r\n\r\n",
            Framing::None,
            "",
        ),
        (
            "GET /api/orders HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc",
            Framing::Length(3),
            "abc",
        ),
        (
            "DELETE /api/orders HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            Framing::Chunked,
            "abc",
        ),
        (
            "GET /api/orders HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            Framing::Chunked,
            "abc",
        ),
    ] {
        let answer = client.ask(request).await.expect(200);
        assert_eq!(answer.text(), body, "{request:?}");
        let seen = upstream.seen().pop().unwrap();
        assert_eq!(
            (seen.framing, seen.complete),
            (Some(framing), true),
            "{request:?}"
        );
    }
}

fn answers(seen: &crate::upstream::Seen) -> Reply {
    let path = seen.head.start.split(' ').nth(1).unwrap_or_default();
    let name = path.rsplit('/').next().unwrap_or_default();
    match name {
        "length" => Reply::ok("hello"),
        "chunked" => Reply::text("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"),
        "both" => Reply::ThenClose(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n".to_vec()),
        "close" => Reply::ThenClose(b"HTTP/1.1 200 OK\r\n\r\nhello".to_vec()),
        "old" => Reply::ThenClose(b"HTTP/1.0 200 OK\r\n\r\nhello".to_vec()),
        "twice" => Reply::text("HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 5\r\n\r\nhello"),
        "more" => Reply::text("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\n\r\n"),
        "trailers" => Reply::text("HTTP/1.1 200 OK\r\ntrailer: x-sum\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx-sum: 1\r\n\r\n"),
        "continue" => Reply::text("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"),
        "short" => Reply::ThenClose(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhello".to_vec()),
        "cut" => Reply::ThenClose(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n".to_vec()),
        "torn" => Reply::ThenClose(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhel".to_vec()),
        "204" => Reply::text("HTTP/1.1 204 No Content\r\n\r\n"),
        "304" => Reply::text("HTTP/1.1 304 Not Modified\r\netag: \"a\"\r\ncontent-length: 5\r\n\r\n"),
        "205" => Reply::text("HTTP/1.1 205 Reset Content\r\ncontent-length: 0\r\n\r\n"),
        "empty" => Reply::ok(""),
        "head" => Reply::text("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"),
        "head-chunked" => Reply::text("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"),
        "gzip" => Reply::ThenClose(b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n".to_vec()),
        "101" => Reply::ThenClose(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n".to_vec()),
        "garbage" => Reply::ThenClose(b"SSH-2.0-OpenSSH\r\n\r\n".to_vec()),
        "silence" => Reply::ThenClose(Vec::new()),
        "differing" => Reply::ThenClose(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello!".to_vec()),
        _ => panic!("{path}"),
    }
}

fn get(name: &str) -> String {
    format!("GET /api/orders/{name} HTTP/1.1\r\nHost: x\r\n\r\n")
}

#[tokio::test]
async fn every_framing_of_an_answer_arrives_whole_on_one_connection() {
    let (_upstream, gateway) = start(answers).await;
    let mut client = gateway.connect().await;
    for (name, framing) in [
        ("length", Framing::Length(5)),
        ("chunked", Framing::Chunked),
        ("both", Framing::Chunked),
        ("close", Framing::Chunked),
        ("old", Framing::Chunked),
        ("twice", Framing::Length(5)),
        ("more", Framing::Length(5)),
        ("trailers", Framing::Chunked),
        ("continue", Framing::Length(5)),
        ("length", Framing::Length(5)),
    ] {
        let answer = client.ask(&get(name)).await.expect(200);
        assert_eq!(
            (answer.text().as_str(), answer.complete),
            ("hello", true),
            "{name}"
        );
        assert_eq!(answer.head.framing().unwrap(), framing, "{name}");
        assert_eq!(answer.head.one("trailer"), None, "{name}");
    }
}

#[tokio::test]
async fn a_client_of_http_1_0_gets_no_chunks() {
    let (_upstream, gateway) = start(answers).await;
    for name in ["length", "chunked", "close"] {
        let mut client = gateway.connect().await;
        let answer = client
            .ask(&format!("GET /api/orders/{name} HTTP/1.0\r\n\r\n"))
            .await
            .expect(200);
        assert_eq!(answer.text(), "hello", "{name}");
        assert_ne!(answer.head.framing().unwrap(), Framing::Chunked, "{name}");
        assert!(client.is_closed().await, "{name}");
    }
}

#[tokio::test]
async fn an_answer_without_a_body_leaves_the_connection_in_step() {
    let (_upstream, gateway) = start(answers).await;
    let mut client = gateway.connect().await;
    for (name, status, length) in [
        ("204", 204, None),
        ("304", 304, Some("5")),
        ("205", 205, Some("0")),
        ("empty", 200, Some("0")),
    ] {
        let answer = client.ask(&get(name)).await.expect(status);
        assert_eq!(
            answer.head.one("content-length").as_deref(),
            length,
            "{name}"
        );
        assert_eq!(answer.head.one("transfer-encoding"), None, "{name}");
        assert_eq!(answer.head.one("content-type"), None, "{name}");
        client.ask(&get("length")).await.expect(200);
    }
    for (name, length) in [("head", Some("5")), ("head-chunked", None)] {
        let answer = client
            .ask(&format!(
                "HEAD /api/orders/{name} HTTP/1.1\r\nHost: x\r\n\r\n"
            ))
            .await
            .expect(200);
        assert_eq!(
            answer.head.one("content-length").as_deref(),
            length,
            "{name}"
        );
        client.ask(&get("length")).await.expect(200);
    }
}

#[tokio::test]
async fn a_truncated_answer_never_looks_complete() {
    let (_upstream, gateway) = start(answers).await;
    for name in ["short", "cut", "torn"] {
        let mut client = gateway.connect().await;
        client.send(get(name)).await;
        let answer = client.answer(false).await;
        // The head may be lost with the connection; what came must not be taken for the whole.
        assert!(answer.is_none_or(|answer| !answer.complete), "{name}");
    }
}

#[tokio::test]
async fn what_is_no_answer_is_a_bad_gateway() {
    let (_upstream, gateway) = start(answers).await;
    let mut client: Client = gateway.connect().await;
    for name in ["gzip", "101", "garbage", "silence", "differing"] {
        client.ask(&get(name)).await.problem(502, "bad_gateway");
    }
    client.ask(&get("length")).await.expect(200);
}
