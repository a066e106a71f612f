//! Rules 1 to 10: where a request ends.

use testkit::wait_until;

use super::{Bench, Counted, ok};
use crate::messages::Framing;

fn post(headers: &str, body: &str) -> String {
    format!("POST /api/orders HTTP/1.1\r\nHost: x\r\n{headers}\r\n{body}")
}

pub(super) async fn rule_01_a_length_and_a_coding_together_are_refused() -> Counted {
    let mut bench = Bench::new(ok).await;
    for headers in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n",
        "content-length: 5\r\ntransfer-encoding: CHUNKED\r\n",
        "Transfer-Encoding: chunked\r\nX: y\r\nContent-Length: 0\r\n",
        "Content-Length: 5\r\nTransfer-Encoding: identity\r\n",
        "Content-Length: 5\r\nTransfer-Encoding: gzip, chunked\r\n",
        "Content-Length: 5\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n",
    ] {
        bench
            .refused(&post(headers, "0\r\n\r\n"), &[400, 501])
            .await;
    }
    bench.done(1)
}

pub(super) async fn rule_02_a_length_is_one_number_in_digits() -> Counted {
    let mut bench = Bench::new(ok).await;
    for value in [
        "5, 5",
        "5,6",
        "+5",
        "-5",
        "0x5",
        "5 5",
        "",
        " ",
        "5a",
        "a",
        "5.0",
        "1e1",
        "5;",
        "\"5\"",
        "99999999999999999999",
        "18446744073709551616",
        "\u{0665}",
        "5\t5",
        "05,5",
    ] {
        let request = post(&format!("Content-Length: {value}\r\n"), "hello");
        bench.refused(&request, &[400, 413]).await;
    }
    for headers in [
        "Content-Length: 5\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: 5\r\ncontent-length: 5\r\n",
        "Content-Length: 0\r\nContent-Length: 0\r\n",
    ] {
        bench.refused(&post(headers, "hello"), &[400]).await;
    }
    bench.done(2)
}

pub(super) async fn rule_03_the_one_coding_is_chunked_and_in_http_1_1() -> Counted {
    let mut bench = Bench::new(ok).await;
    for value in [
        "gzip",
        "gzip, chunked",
        "chunked, gzip",
        "chunked, chunked",
        "identity",
        "identity, chunked",
        "xchunked",
        "chunkedx",
        "chunked;q=1",
        "\"chunked\"",
        "chunked,",
        ",chunked",
        "chunk",
        "",
        "deflate",
        "trailers",
    ] {
        let request = post(&format!("Transfer-Encoding: {value}\r\n"), "0\r\n\r\n");
        bench.refused(&request, &[400, 501]).await;
    }
    for headers in [
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n",
    ] {
        bench
            .refused(&post(headers, "0\r\n\r\n"), &[400, 501])
            .await;
    }
    for headers in ["", "Connection: keep-alive\r\n"] {
        let old = format!(
            "POST /api/orders HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n{headers}\r\n0\r\n\r\n"
        );
        bench.refused(&old, &[400, 501]).await;
    }
    bench.done(3)
}

pub(super) async fn rule_04_a_malformed_chunk_never_completes_a_request() -> Counted {
    let mut bench = Bench::new(ok).await;
    for chunks in [
        "\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "5_0\r\nhello\r\n0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        "-5\r\nhello\r\n0\r\n\r\n",
        " 5\r\nhello\r\n0\r\n\r\n",
        "11111111111111111\r\nhello\r\n0\r\n\r\n",
        "FFFFFFFFFFFFFFFFF\r\nhello\r\n0\r\n\r\n",
        "5\r\nhelloXX0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "4\r\nhello\r\n0\r\n\r\n",
        "z\r\nhello\r\n0\r\n\r\n",
        "5,\r\nhello\r\n0\r\n\r\n",
        "5\nhello\r\n0\r\n\r\n",
        ";ext\r\nhello\r\n0\r\n\r\n",
        "\"5\"\r\nhello\r\n0\r\n\r\n",
    ] {
        let before = bench.upstream.seen().len();
        let mut client = bench.gateway.connect().await;
        let head = "POST /api/orders HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n";
        client
            .send(format!("{head}{chunks}{}", super::SMUGGLED))
            .await;
        let status = client.answer(false).await.map(|answer| answer.status);
        bench.check(chunks, matches!(status, None | Some(400)), status);
        let closed = client.is_closed().await;
        bench.check(chunks, closed, "the connection goes on");
        let upstream = &bench.upstream;
        wait_until("the broken request to end", || async {
            upstream.closed() >= upstream.seen().len()
        })
        .await;
        let complete = bench.upstream.seen().split_off(before);
        let complete = complete.into_iter().filter(|seen| seen.complete).count();
        bench.check(chunks, complete == 0, "a request was completed");
    }
    bench.done(4)
}

pub(super) async fn rule_05_a_header_line_has_one_reading() -> Counted {
    let mut bench = Bench::new(ok).await;
    for line in [
        "Content-Length : 5\r\n",
        "X : y\r\n",
        "X\t: y\r\n",
        " X: y\r\n",
        "X: y\r\n folded: z\r\n",
        "X: y\r\n\tfolded\r\n",
        ": y\r\n",
        "X\r\n",
        "X: a\0b\r\n",
        "X: a\rb\r\n",
        "X: a\r\r\n",
        "X\0: a\r\n",
        "X(: a\r\n",
        "X@y: a\r\n",
        "X y: a\r\n",
        "\u{e9}: a\r\n",
        "X: a\u{7f}b\r\n",
        "X: a\u{1}b\r\n",
    ] {
        bench.refused(&post(line, ""), &[400]).await;
    }
    for start in [
        "GET  /api/orders HTTP/1.1",
        "GET /api/orders  HTTP/1.1",
        "GET /api/orders HTTP/1.1 ",
        "GET /api/orders HTTP/1.2",
        "GET /api/orders HTTP/3.0",
        "GET /api/orders http/1.1",
        "GET /api/orders",
        "/api/orders HTTP/1.1",
        "GE(T /api/orders HTTP/1.1",
        "GET\t/api/orders HTTP/1.1",
    ] {
        bench
            .refused(&format!("{start}\r\nHost: x\r\n\r\n"), &[400, 505])
            .await;
    }
    bench.done(5)
}

/// Method, headers and body as a client sends them; framing and body as a service sees them.
const FRAMED: [(&str, &str, &str, Framing, &str); 20] = [
    (
        "POST",
        "Content-Length: 5\r\n",
        "hello",
        Framing::Length(5),
        "hello",
    ),
    (
        "POST",
        "Content-Length: 005\r\n",
        "hello",
        Framing::Length(5),
        "hello",
    ),
    (
        "POST",
        "Content-Length:5\r\n",
        "hello",
        Framing::Length(5),
        "hello",
    ),
    ("POST", "Content-Length: 0\r\n", "", Framing::Length(0), ""),
    ("POST", "", "", Framing::None, ""),
    ("GET", "", "", Framing::None, ""),
    ("HEAD", "", "", Framing::None, ""),
    ("DELETE", "", "", Framing::None, ""),
    (
        "GET",
        "Content-Length: 3\r\n",
        "abc",
        Framing::Length(3),
        "abc",
    ),
    (
        "DELETE",
        "Content-Length: 3\r\n",
        "abc",
        Framing::Length(3),
        "abc",
    ),
    (
        "OPTIONS",
        "Content-Length: 3\r\n",
        "abc",
        Framing::Length(3),
        "abc",
    ),
    (
        "PUT",
        "Transfer-Encoding: chunked\r\n",
        "3\r\nabc\r\n0\r\n\r\n",
        Framing::Chunked,
        "abc",
    ),
    (
        "PUT",
        "Transfer-Encoding: ChUnKeD\r\n",
        "3\r\nabc\r\n0\r\n\r\n",
        Framing::Chunked,
        "abc",
    ),
    (
        "PUT",
        "Transfer-Encoding: chunked\r\n",
        "0\r\n\r\n",
        Framing::Chunked,
        "",
    ),
    (
        "PUT",
        "Transfer-Encoding: chunked\r\n",
        "3;a=b\r\nabc\r\n0\r\n\r\n",
        Framing::Chunked,
        "abc",
    ),
    (
        "PUT",
        "Transfer-Encoding: chunked\r\n",
        "3;a=\"b;c\"\r\nabc\r\n0\r\n\r\n",
        Framing::Chunked,
        "abc",
    ),
    (
        "PUT",
        "Transfer-Encoding: chunked\r\n",
        "003\r\nabc\r\n000\r\n\r\n",
        Framing::Chunked,
        "abc",
    ),
    (
        "PUT",
        "Transfer-Encoding: chunked\r\n",
        "A\r\n0123456789\r\n0\r\n\r\n",
        Framing::Chunked,
        "0123456789",
    ),
    (
        "PUT",
        "Transfer-Encoding: chunked\r\n",
        "a\r\n0123456789\r\n0\r\n\r\n",
        Framing::Chunked,
        "0123456789",
    ),
    (
        "PUT",
        "Transfer-Encoding: chunked\r\n",
        "3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n",
        Framing::Chunked,
        "abc",
    ),
];

pub(super) async fn rule_06_framing_is_written_anew() -> Counted {
    let mut bench = Bench::new(ok).await;
    for (method, headers, body, framing, text) in FRAMED {
        let request = format!("{method} /api/orders HTTP/1.1\r\nHost: x\r\n{headers}\r\n{body}");
        let (seen, _) = bench.forwarded(&request).await;
        let found = (seen.framing, seen.body.text(), seen.complete);
        bench.check(
            &request,
            found == (Some(framing), text.to_owned(), true),
            found,
        );
        let trailer = seen.head.one("x-sum");
        bench.check(&request, trailer.is_none(), "a trailer became a header");
    }
    bench.done(6)
}

pub(super) async fn rule_09_only_a_whole_handshake_leaves_http() -> Counted {
    let routes = "routes = [{prefix = \"/api/orders\", service = \"order\", websocket = true}]";
    let mut bench = Bench::routing(routes, ok).await;
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let version = "Sec-WebSocket-Version: 13\r\n";
    for (headers, statuses) in [
        (format!("Upgrade: websocket\r\n{key}{version}"), [400]),
        (
            format!("Upgrade: WebSocket\r\nConnection: close\r\n{key}{version}"),
            [400],
        ),
        (
            format!(
                "Upgrade: websocket\r\nConnection: upgrade\r\nContent-Length: 5\r\n{key}{version}"
            ),
            [400],
        ),
        (
            format!(
                "Upgrade: websocket\r\nConnection: upgrade\r\nTransfer-Encoding: chunked\r\n{key}{version}"
            ),
            [400],
        ),
        (
            format!("Upgrade: websocket\r\nConnection: upgrade\r\n{version}"),
            [400],
        ),
        (
            format!("Upgrade: websocket\r\nConnection: upgrade\r\n{key}"),
            [426],
        ),
        (
            format!(
                "Upgrade: websocket\r\nConnection: upgrade\r\n{key}Sec-WebSocket-Version: 14\r\n"
            ),
            [426],
        ),
    ] {
        let request = format!("GET /api/orders HTTP/1.1\r\nHost: x\r\n{headers}\r\n");
        bench.refused(&request, &statuses).await;
    }
    // Nothing behind a refused one is a request, wherever it seems to begin.
    for (method, framing) in [
        ("POST", "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        (
            "GET",
            "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        ),
        ("PUT", "Content-Length: 3\r\n\r\nabc"),
        ("POST", "Content-Length: 0\r\n\r\n"),
        ("DELETE", "\r\n"),
    ] {
        let request =
            format!("{method} /api/orders HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n{framing}");
        bench.refused(&request, &[400]).await;
    }
    // Other protocols are not offered, and the request is served as if nobody had asked.
    for protocol in ["h2c", "TLS/1.0", "foo"] {
        let request = format!(
            "GET /api/orders HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: {protocol}\r\n\r\n"
        );
        let (seen, answer) = bench.forwarded(&request).await;
        bench.check(&request, answer.status == 200, &answer.head.start);
        bench.check(
            &request,
            seen.head.one("upgrade").is_none(),
            "the protocol was passed on",
        );
    }
    bench.done(9)
}

/// RFC 9112, section 9.6.
pub(super) async fn rule_10_nothing_is_served_behind_the_last_answer_of_a_connection() -> Counted {
    let mut bench = Bench::new(ok).await;
    for request in [
        "GET /api/orders HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        "GET /api/orders HTTP/1.1\r\nHost: x\r\nConnection: x-y, Close\r\n\r\n",
        "GET /api/orders HTTP/1.0\r\nHost: x\r\n\r\n",
        "POST /api/orders HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello",
        "POST /api/orders HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    ] {
        let before = bench.upstream.seen().len();
        let mut client = bench.gateway.connect().await;
        client
            .send(format!("{request}{}", super::SMUGGLED.repeat(3)))
            .await;
        let answer = client.answer(false).await;
        let whole = answer.is_some_and(|answer| answer.status == 200 && answer.complete);
        bench.check(request, whole, "the answer did not come");
        let closed = client.is_closed().await;
        bench.check(request, closed, "the connection goes on");
        let seen = bench.upstream.seen().len() - before;
        bench.check(request, seen == 1, format!("{seen} requests were served"));
    }
    bench.done(10)
}

pub(super) async fn rule_22_requests_that_are_sent_ahead_are_answered_in_their_order() -> Counted {
    let mut bench = Bench::new(|seen| crate::upstream::Reply::ok(&super::name_of(seen))).await;
    let all = (0..12).map(|number| {
        format!("POST /api/orders/{number} HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc")
    });
    let mut client = bench.gateway.connect().await;
    client.send(all.collect::<String>()).await;
    for number in 0..12 {
        let answer = client.answer(false).await;
        let found = answer.map(|answer| (answer.status, answer.text()));
        let holds = found == Some((200, number.to_string()));
        bench.check(&number.to_string(), holds, found);
    }
    bench.done(22)
}

pub(super) async fn rule_10_heads_targets_and_bodies_have_limits() -> Counted {
    let mut bench = Bench::new(ok).await;
    let many = "X: y\r\n".repeat(120);
    let long = format!("X: {}\r\n", "y".repeat(200_000));
    let target = "a".repeat(9_000);
    for (request, status) in [
        (
            format!("GET /api/orders HTTP/1.1\r\nHost: x\r\n{many}\r\n"),
            431,
        ),
        (
            format!("GET /api/orders HTTP/1.1\r\nHost: x\r\n{long}\r\n"),
            431,
        ),
        (
            format!("GET /api/orders/{target} HTTP/1.1\r\nHost: x\r\n\r\n"),
            414,
        ),
        (
            format!("GET /api/orders?{target} HTTP/1.1\r\nHost: x\r\n\r\n"),
            414,
        ),
        (post("Content-Length: 99999999\r\n", ""), 413),
        (post("Content-Length: 8388609\r\n", ""), 413),
    ] {
        bench.answered_here(&request, status).await;
    }
    bench.done(10)
}
