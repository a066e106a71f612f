//! Rules 23, 25, 28 and 39: what ends here, what is changed on purpose, and who is not there.

use super::{Bench, Counted, name_of, ok};
use crate::upstream::{Reply, Seen};

fn early(seen: &Seen) -> Reply {
    let first = match name_of(seen).as_str() {
        "hints" => "HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n",
        "many" => "HTTP/1.1 103 X\r\nlink: </x>\r\n\r\nHTTP/1.1 103 X\r\nlink: </y>\r\n\r\n",
        "processing" => "HTTP/1.1 102 Processing\r\n\r\n",
        "continue" => "HTTP/1.1 100 Continue\r\n\r\n",
        "mixed" => "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 X\r\nx-early: 1\r\n\r\n",
        "unknown" => "HTTP/1.1 199 X\r\nx-early: 1\r\n\r\n",
        _ => "",
    };
    Reply::text(&format!(
        "{first}HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"
    ))
}

pub(super) async fn rule_23_what_comes_before_an_answer_ends_here() -> Counted {
    let mut bench = Bench::new(early).await;
    let mut client = bench.gateway.connect().await;
    for name in [
        "hints",
        "many",
        "processing",
        "continue",
        "mixed",
        "unknown",
        "plain",
    ] {
        for (method, version) in [("GET", "1.1"), ("POST", "1.1"), ("GET", "1.0")] {
            let request = format!("{method} /api/orders/{name} HTTP/{version}\r\nHost: x\r\n\r\n");
            let answer = match version {
                "1.0" => bench.gateway.ask(&request).await,
                _ => client.ask(&request).await,
            };
            let found = (answer.status, answer.text());
            bench.check(&request, found == (200, "hello".to_owned()), found);
            for gone in ["link", "x-early"] {
                let found = answer.head.one(gone);
                bench.check(&request, found.is_none(), found);
            }
        }
    }
    bench.done(23)
}

pub(super) async fn rule_25_trailers_never_become_headers() -> Counted {
    let mut bench = Bench::new(|_| {
        Reply::text("HTTP/1.1 200 OK\r\ntrailer: x-sum, content-length\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx-sum: 1\r\nset-cookie: a=b\r\ncontent-length: 9\r\n\r\n")
    })
    .await;
    for trailers in [
        "X-Sum: 1\r\n",
        "Content-Length: 9\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Host: other\r\n",
        "Authorization: Bearer x\r\n",
        "X-Forwarded-For: 10.0.0.1\r\n",
        "Cookie: a=b\r\nX-Sum: 1\r\n",
    ] {
        let request = format!(
            "POST /api/orders HTTP/1.1\r\nHost: x\r\nTrailer: x-sum\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n{trailers}\r\n"
        );
        let (seen, answer) = bench.forwarded(&request).await;
        bench.check(
            &request,
            seen.complete && seen.body.text() == "abc",
            &seen.body,
        );
        for gone in [
            "x-sum",
            "authorization",
            "cookie",
            "trailer",
            "content-length",
        ] {
            let found = seen.head.all(gone);
            bench.check(&request, found.is_empty(), found);
        }
        let hops = seen.head.one("x-forwarded-for");
        bench.check(&request, hops.as_deref() == Some("127.0.0.1"), hops);
        bench.check(&request, answer.text() == "hello", answer.text());
        for gone in ["x-sum", "set-cookie", "trailer", "content-length"] {
            let found = answer.head.all(gone);
            bench.check(&request, found.is_empty(), found);
        }
    }
    bench.done(25)
}

fn compressible(seen: &Seen) -> Reply {
    let headers = match name_of(seen).as_str() {
        "encoded" => "content-encoding: x\r\n",
        "transformed" => "cache-control: no-transform\r\n",
        "events" => "content-type: text/event-stream\r\n",
        "picture" => "content-type: image/png\r\n",
        "range" => "content-range: bytes 0-2047/9999\r\n",
        _ => "content-type: text/plain\r\netag: \"a\"\r\n",
    };
    let (status, length) = match name_of(seen).as_str() {
        "range" => (206, 2_048),
        "small" => (200, 100),
        _ => (200, 2_048),
    };
    Reply::text(&format!(
        "HTTP/1.1 {status} X\r\n{headers}content-length: {length}\r\n\r\n{}",
        "a".repeat(length)
    ))
}

pub(super) async fn rule_28_a_coding_is_made_only_where_it_is_right() -> Counted {
    let routes = "routes = [{prefix = \"/api/orders\", service = \"order\", compress = true}]";
    let mut bench = Bench::routing(routes, compressible).await;
    for (name, accepted, coding) in [
        ("text", "gzip", Some("gzip")),
        ("text", "br", Some("br")),
        ("text", "zstd", Some("zstd")),
        ("text", "gzip;q=0.5, br;q=0", Some("gzip")),
        ("text", "", None),
        ("text", "identity", None),
        ("text", "gzip;q=0", None),
        ("text", "compress", None),
        ("small", "gzip", None),
        ("encoded", "gzip", None),
        ("transformed", "gzip", None),
        ("events", "gzip", None),
        ("picture", "gzip", None),
        ("range", "gzip", None),
    ] {
        let request = format!(
            "GET /api/orders/{name} HTTP/1.1\r\nHost: x\r\nAccept-Encoding: {accepted}\r\n\r\n"
        );
        let (_, answer) = bench.forwarded(&request).await;
        let found = answer.head.one("content-encoding");
        let expected = match name {
            "encoded" => Some("x"),
            _ => coding,
        };
        bench.check(&request, found.as_deref() == expected, found);
        let has_length = answer.head.one("content-length").is_some();
        bench.check(&request, has_length == coding.is_none(), has_length);
        if coding.is_some() {
            let told = (
                answer.head.one("etag"),
                answer.head.one("vary").unwrap_or_default(),
            );
            let weak = told.0.as_deref() == Some("W/\"a\"");
            bench.check(&request, weak && told.1.contains("accept-encoding"), told);
        }
    }
    bench.done(28)
}

pub(super) async fn rule_39_unknown_and_missing_services_have_their_answers() -> Counted {
    let mut bench = Bench::new(ok).await;
    for name in ["nobody", "nobody/x", "ORDER", "order%2Fx", ""] {
        for method in ["GET", "POST", "DELETE", "PURGE"] {
            let request = format!("{method} /proxy/{name} HTTP/1.1\r\nHost: x\r\n\r\n");
            bench.answered_here(&request, 404).await;
        }
    }
    for path in ["/proxy/order/api/orders", "/proxy/order/x?a=b"] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
        let (seen, _) = bench.forwarded(&request).await;
        let target = path.trim_start_matches("/proxy/order");
        bench.check(
            path,
            seen.head.start == format!("GET {target} HTTP/1.1"),
            seen.head.start,
        );
    }
    bench.done(39)
}
