//! Rules 7, 8, 21, 22, 24, 25, 29, 33 and 45: what comes back.

use super::{Bench, Counted, name_of};
use crate::messages::Framing;
use crate::upstream::{Reply, Seen};

fn answers(seen: &Seen) -> Reply {
    let text = Reply::text;
    let last = |text: &str| Reply::ThenClose(text.as_bytes().to_vec());
    match name_of(seen).as_str() {
        "short" => last("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhello"),
        "cut" => last("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n"),
        "torn" => last("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhel"),
        "badchunk" => {
            last("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nz\r\nhello\r\n0\r\n\r\n")
        }
        "gzip" => last("HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
        "101" => last("HTTP/1.1 101 X\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"),
        "garbage" => last("SSH-2.0-OpenSSH\r\n\r\n"),
        "silence" => last(""),
        "lengths" => {
            last("HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello!")
        }
        "more" => text(
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhelloHTTP/1.1 500 X\r\ncontent-length: 0\r\n\r\n",
        ),
        "closing" => text("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 5\r\n\r\nhello"),
        "both" => last(
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        ),
        "until-close" => last("HTTP/1.1 200 OK\r\n\r\nhello"),
        "old" => last("HTTP/1.0 200 OK\r\n\r\nhello"),
        "hints" => text(
            "HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
        ),
        "trailers" => text(
            "HTTP/1.1 200 OK\r\ntrailer: x-sum\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx-sum: 1\r\ncontent-length: 9\r\n\r\n",
        ),
        "204" => text("HTTP/1.1 204 No Content\r\n\r\n"),
        "304" => text("HTTP/1.1 304 Not Modified\r\netag: \"a\"\r\ncontent-length: 5\r\n\r\n"),
        "205" => text("HTTP/1.1 205 Reset Content\r\ncontent-length: 0\r\n\r\n"),
        "206" => text(
            "HTTP/1.1 206 Partial Content\r\ncontent-range: bytes 0-4/9\r\ncontent-length: 5\r\n\r\nhello",
        ),
        "multi" => text(
            "HTTP/1.1 206 Partial Content\r\ncontent-type: multipart/byteranges; boundary=x\r\ncontent-length: 5\r\n\r\nhello",
        ),
        "416" => text("HTTP/1.1 416 X\r\ncontent-range: bytes */9\r\ncontent-length: 0\r\n\r\n"),
        "412" => text("HTTP/1.1 412 X\r\ncontent-length: 0\r\n\r\n"),
        "head" => text("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"),
        "head-chunked" => text("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"),
        status if status.parse::<u16>().is_ok() => text(&format!(
            "HTTP/1.1 {status} X\r\ncontent-length: 5\r\n\r\nhello"
        )),
        _ => Reply::ok("hello"),
    }
}

fn get(name: &str) -> String {
    format!("GET /api/orders/{name} HTTP/1.1\r\nHost: x\r\n\r\n")
}

pub(super) async fn rule_07_a_part_never_looks_like_the_whole() -> Counted {
    let mut bench = Bench::new(answers).await;
    for name in ["short", "cut", "torn", "badchunk"] {
        let mut client = bench.gateway.connect().await;
        client.send(get(name)).await;
        let answer = client.answer(false).await;
        let looks_whole = answer.is_some_and(|answer| answer.complete && answer.status < 500);
        bench.check(name, !looks_whole, "a part was delivered as the whole");
    }
    bench.done(7)
}

pub(super) async fn rule_08_a_tainted_connection_carries_no_other_request() -> Counted {
    let mut bench = Bench::new(answers).await;
    for name in [
        "more",
        "closing",
        "both",
        "until-close",
        "old",
        "lengths",
        "gzip",
        "garbage",
    ] {
        let _tainting = bench.gateway.ask(&get(name)).await;
        let (seen, answer) = bench.forwarded(&get("plain")).await;
        bench.check(
            name,
            (answer.status, answer.text().as_str()) == (200, "hello"),
            answer.head,
        );
        let mut all = bench.upstream.seen();
        all.pop();
        let before = all.pop().unwrap_or_default().connection;
        bench.check(
            name,
            seen.connection != before,
            "the connection was used again",
        );
    }
    bench.done(8)
}

pub(super) async fn rule_21_expectations_are_met_or_refused() -> Counted {
    let mut bench = Bench::new(answers).await;
    for value in ["200-ok", "100-continued", "x", ""] {
        let request = format!("GET /api/orders HTTP/1.1\r\nHost: x\r\nExpect: {value}\r\n\r\n");
        bench.refused(&request, &[417]).await;
    }
    // Where 100-continue is among the expectations, the server below says that before anybody is
    // asked (docs/gateway.md); the refusal of the other one follows at once.
    for value in ["100-continue, x", "x, 100-continue"] {
        let request = format!(
            "POST /api/orders/a HTTP/1.1\r\nHost: x\r\nExpect: {value}\r\nContent-Length: 5\r\n\r\n"
        );
        let before = bench.upstream.seen().len();
        let mut client = bench.gateway.connect().await;
        client.send(&request).await;
        let first = client.answer(false).await.map(|answer| answer.status);
        bench.check(value, first == Some(100), first);
        let second = client.answer(false).await.map(|answer| answer.status);
        bench.check(value, second == Some(417), second);
        let closed = client.is_closed().await;
        bench.check(value, closed, "the connection goes on");
        let seen = bench.upstream.seen().len() - before;
        bench.check(value, seen == 0, "the request reached the service");
    }
    for value in ["100-continue", "100-Continue"] {
        let mut client = bench.gateway.connect().await;
        client
            .send(format!("POST /api/orders/a HTTP/1.1\r\nHost: x\r\nExpect: {value}\r\nContent-Length: 5\r\n\r\n"))
            .await;
        let first = client.answer(false).await.map(|answer| answer.status);
        bench.check(value, first == Some(100), first);
        client.send("hello").await;
        let second = client.answer(false).await.map(|answer| answer.status);
        bench.check(value, second == Some(200), second);
        let seen = bench.upstream.seen().pop().unwrap_or_default();
        bench.check(value, seen.head.one("expect").is_none(), "was passed on");
    }
    let (_, answer) = bench
        .forwarded("GET /api/orders/a HTTP/1.0\r\nExpect: 200-ok\r\n\r\n")
        .await;
    bench.check("1.0", answer.status == 200, &answer.head.start);
    bench.done(21)
}

pub(super) async fn rule_22_an_answer_without_a_body_has_none() -> Counted {
    let mut bench = Bench::new(answers).await;
    let mut client = bench.gateway.connect().await;
    for (method, name, status, length) in [
        ("GET", "204", 204, None),
        ("GET", "304", 304, Some("5")),
        ("GET", "205", 205, Some("0")),
        ("HEAD", "head", 200, Some("5")),
        ("HEAD", "head-chunked", 200, None),
        ("HEAD", "204", 204, None),
        ("HEAD", "304", 304, Some("5")),
    ] {
        let request = format!("{method} /api/orders/{name} HTTP/1.1\r\nHost: x\r\n\r\n");
        let answer = client.ask(&request).await;
        let found = (
            answer.status,
            answer.head.one("content-length"),
            answer.head.one("transfer-encoding"),
        );
        let expected = (status, length.map(ToOwned::to_owned), None);
        bench.check(&request, found == expected, found);
        // A stray byte would be read as the beginning of this one.
        let next = client.ask(&get("plain")).await;
        bench.check(&request, next.text() == "hello", next.head.start);
    }
    bench.done(22)
}

/// RFC 9112, section 9.3.2: each answer is the one to its own request, whatever comes behind that.
pub(super) async fn rule_22_what_is_sent_ahead_changes_no_answer() -> Counted {
    let mut bench = Bench::new(answers).await;
    let get = |name: &str| ("GET", "1.1", name.to_owned());
    let head = |name: &str| ("HEAD", "1.1", name.to_owned());
    let old = |name: &str| ("GET", "1.0", name.to_owned());
    for row in [
        vec![get("plain"), head("head")],
        vec![get("plain"), get("plain"), head("head"), get("plain")],
        vec![head("head"), get("plain")],
        vec![head("head"), head("head-chunked"), get("trailers")],
        vec![get("trailers"), head("head"), get("trailers")],
        vec![get("204"), head("head"), get("plain")],
        vec![head("nowhere/404"), get("plain")],
        vec![get("plain"), old("plain")],
        vec![get("trailers"), old("trailers")],
        vec![get("until-close"), old("plain")],
        vec![get("trailers"), get("plain"), head("head"), old("plain")],
    ] {
        let case = format!("{row:?}");
        let place = |name: &str| match name.strip_prefix("nowhere/") {
            Some(_) => "/nowhere".to_owned(),
            None => format!("/api/orders/{name}"),
        };
        let requests = row.iter().map(|(method, version, name)| {
            format!("{method} {} HTTP/{version}\r\nHost: x\r\n\r\n", place(name))
        });
        let mut client = bench.gateway.connect().await;
        client.send(requests.collect::<String>()).await;
        for (method, version, name) in &row {
            let answer = client.answer(*method == "HEAD").await;
            let Some(answer) = answer else {
                bench.check(&case, false, format!("no answer to {method} {name}"));
                break;
            };
            let status = match name.as_str() {
                "204" => 204,
                "nowhere/404" => 404,
                _ => 200,
            };
            let body = if *method == "HEAD" || status == 204 {
                ""
            } else {
                "hello"
            };
            let found = (answer.status, answer.complete, answer.text());
            bench.check(&case, found == (status, true, body.to_owned()), found);
            let coding = answer.head.one("transfer-encoding");
            let chunked = *version == "1.1" && *method == "GET";
            let chunked = chunked && matches!(name.as_str(), "trailers" | "until-close");
            bench.check(&case, coding.is_some() == chunked, coding);
        }
    }
    bench.done(22)
}

/// What is wrong behind a good request is answered behind its answer.
pub(super) async fn rule_22_what_is_wrong_behind_a_request_does_not_cost_its_answer() -> Counted {
    let mut bench = Bench::new(answers).await;
    for wrong in [
        "garbage\r\n\r\n",
        "GET /api/orders HTTP/1.1\r\nHost : x\r\n\r\n",
        "POST /api/orders HTTP/1.1\r\nHost: x\r\nContent-Length: +5\r\n\r\nhello",
        "\0\0\0\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        for name in ["plain", "trailers", "until-close"] {
            let mut client = bench.gateway.connect().await;
            client
                .send(format!("{}{wrong}{}", get(name), super::SMUGGLED))
                .await;
            let first = client.answer(false).await;
            let found = first.map(|answer| (answer.status, answer.text()));
            let holds = found == Some((200, "hello".to_owned()));
            bench.check(wrong, holds, found);
            let second = client.answer(false).await.map(|answer| answer.status);
            bench.check(wrong, matches!(second, Some(400 | 505)), second);
            let closed = client.is_closed().await;
            bench.check(wrong, closed, "the connection goes on");
        }
    }
    let smuggled = bench.upstream.seen();
    let smuggled = smuggled.iter().filter(|seen| name_of(seen) == "smuggled");
    let count = smuggled.count();
    bench.check("smuggled", count == 0, count);
    bench.done(22)
}

pub(super) async fn rule_24_every_framing_arrives_whole_in_one_the_client_knows() -> Counted {
    let mut bench = Bench::new(answers).await;
    for (name, framing) in [
        ("plain", Framing::Length(5)),
        ("both", Framing::Chunked),
        ("until-close", Framing::Chunked),
        ("old", Framing::Chunked),
        ("more", Framing::Length(5)),
        ("hints", Framing::Length(5)),
        ("trailers", Framing::Chunked),
    ] {
        let (_, answer) = bench.forwarded(&get(name)).await;
        let found = (answer.text(), answer.complete, answer.head.framing().ok());
        bench.check(
            name,
            found == ("hello".to_owned(), true, Some(framing)),
            found,
        );
        // Rule 25: trailers that cannot be passed on are not announced, and never become headers.
        for gone in ["trailer", "x-sum", "link"] {
            bench.check(name, answer.head.one(gone).is_none(), gone);
        }
        let (_, old) = bench
            .forwarded(&format!("GET /api/orders/{name} HTTP/1.0\r\n\r\n"))
            .await;
        let found = (old.text(), old.head.one("transfer-encoding"));
        bench.check(name, found == ("hello".to_owned(), None), found);
    }
    bench.done(24)
}

pub(super) async fn rule_29_ranges_and_conditions_pass_unchanged() -> Counted {
    let mut bench = Bench::new(answers).await;
    for (name, status, header) in [
        ("206", 206, Some(("content-range", "bytes 0-4/9"))),
        (
            "multi",
            206,
            Some(("content-type", "multipart/byteranges; boundary=x")),
        ),
        ("416", 416, Some(("content-range", "bytes */9"))),
        ("304", 304, Some(("etag", "\"a\""))),
        ("412", 412, None),
    ] {
        let conditions = "Range: bytes=0-4\r\nIf-Range: \"a\"\r\nIf-Match: \"a\", W/\"b\"\r\nIf-None-Match: *\r\nIf-Modified-Since: Thu, 01 Jan 2026 00:00:00 GMT\r\n";
        let request = format!("GET /api/orders/{name} HTTP/1.1\r\nHost: x\r\n{conditions}\r\n");
        let (seen, answer) = bench.forwarded(&request).await;
        bench.check(name, answer.status == status, &answer.head.start);
        if let Some((field, value)) = header {
            let found = answer.head.one(field);
            bench.check(name, found.as_deref() == Some(value), found);
        }
        for (field, value) in [
            ("range", "bytes=0-4"),
            ("if-range", "\"a\""),
            ("if-match", "\"a\", W/\"b\""),
            ("if-none-match", "*"),
            ("if-modified-since", "Thu, 01 Jan 2026 00:00:00 GMT"),
        ] {
            let found = seen.head.one(field);
            bench.check(field, found.as_deref() == Some(value), found);
        }
    }
    bench.done(29)
}

pub(super) async fn rule_33_what_is_no_answer_is_a_bad_gateway_and_statuses_pass() -> Counted {
    let mut bench = Bench::new(answers).await;
    for name in ["gzip", "101", "garbage", "silence", "lengths"] {
        let answer = bench.gateway.ask(&get(name)).await;
        let told = answer.head.one("proxy-status");
        let expected = (502, Some("maru; error=http_protocol_error".to_owned()));
        bench.check(
            name,
            (answer.status, told.clone()) == expected,
            (answer.head.start, told),
        );
    }
    for status in [
        200, 201, 202, 203, 207, 226, 300, 301, 302, 303, 307, 308, 400, 401, 402, 403, 404, 405,
        406, 409, 410, 418, 421, 422, 425, 428, 429, 451, 500, 501, 505, 511, 599,
    ] {
        let (_, answer) = bench.forwarded(&get(&status.to_string())).await;
        let found = (answer.status, answer.text());
        bench.check(
            &status.to_string(),
            found == (status, "hello".to_owned()),
            found,
        );
    }
    bench.done(33)
}

pub(super) async fn rule_45_the_gateway_alone_says_who_may_read() -> Counted {
    let mut bench = Bench::new(|_| {
        Reply::text("HTTP/1.1 200 OK\r\nvary: accept\r\naccess-control-allow-origin: *\r\naccess-control-allow-credentials: true\r\naccess-control-expose-headers: x\r\ncontent-length: 0\r\n\r\n")
    })
    .await;
    for (origin, allowed) in [
        ("http://localhost:3000", true),
        ("http://localhost:3001", false),
        ("https://localhost:3000", false),
        ("http://LOCALHOST:3000", false),
        ("http://localhost:3000.evil.example", false),
        ("http://evil.example/?http://localhost:3000", false),
        ("null", false),
        ("*", false),
    ] {
        let request = format!("GET /api/orders HTTP/1.1\r\nHost: x\r\nOrigin: {origin}\r\n\r\n");
        let (_, answer) = bench.forwarded(&request).await;
        let expected = allowed.then(|| origin.to_owned());
        let found = answer.head.one("access-control-allow-origin");
        bench.check(origin, found == expected, found);
        let credentials = answer.head.one("access-control-allow-credentials");
        bench.check(origin, credentials.is_none(), credentials);
        let vary = answer.head.one("vary");
        bench.check(origin, vary.as_deref() == Some("accept, origin"), vary);
        let preflight = format!(
            "OPTIONS /api/orders HTTP/1.1\r\nHost: x\r\nOrigin: {origin}\r\nAccess-Control-Request-Method: PUT\r\n\r\n"
        );
        bench
            .answered_here(&preflight, if allowed { 204 } else { 403 })
            .await;
    }
    bench.done(45)
}
