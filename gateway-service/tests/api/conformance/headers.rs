//! Rules 16 to 20: which headers pass, and which are added.

use super::{Bench, Counted, ok};
use crate::upstream::Reply;

pub(super) async fn rule_16_what_belongs_to_one_connection_ends_there() -> Counted {
    let mut bench = Bench::new(|_| {
        Reply::text(
            "HTTP/1.1 200 OK\r\nconnection: keep-alive, x-priv, X-Other\r\nx-priv: 1\r\nx-other: 1\r\nkeep-alive: timeout=5\r\n\
             proxy-authenticate: Basic\r\nproxy-connection: x\r\ntrailer: x-sum\r\nupgrade: h2c\r\nx-kept: 1\r\ncontent-length: 0\r\n\r\n",
        )
    })
    .await;
    for (headers, names) in [
        ("Connection: X-Priv\r\nX-Priv: 1\r\n", "x-priv"),
        ("Connection: keep-alive, x-priv\r\nX-PRIV: 1\r\n", "x-priv"),
        (
            "Connection: x-priv\r\nConnection: x-other\r\nX-Other: 1\r\n",
            "x-other",
        ),
        ("Connection: ,, x-priv ,\r\nX-Priv: 1\r\n", "x-priv"),
        ("Keep-Alive: timeout=5\r\n", "keep-alive"),
        ("Proxy-Connection: keep-alive\r\n", "proxy-connection"),
        ("Proxy-Authorization: Basic eA==\r\n", "proxy-authorization"),
        ("TE: gzip\r\n", "te"),
        ("TE: trailers\r\nConnection: te\r\n", "te"),
        ("Trailer: x\r\n", "trailer"),
        ("Upgrade: h2c\r\nConnection: upgrade\r\n", "upgrade"),
        ("HTTP2-Settings: AAA\r\n", "http2-settings"),
    ] {
        let request = format!("GET /api/orders HTTP/1.1\r\nHost: x\r\n{headers}\r\n");
        let (seen, answer) = bench.forwarded(&request).await;
        let passed = seen.head.all(names);
        bench.check(&request, passed.is_empty(), passed);
        for name in [
            "x-priv",
            "x-other",
            "keep-alive",
            "proxy-authenticate",
            "proxy-connection",
            "trailer",
            "upgrade",
        ] {
            let passed = answer.head.all(name);
            bench.check(name, passed.is_empty(), passed);
        }
        bench.check("x-kept", answer.head.one("x-kept").is_some(), "is gone");
    }
    for name in [
        "authorization",
        "Cookie",
        "HOST",
        "x-forwarded-for",
        "X-Forwarded-Anything",
        "traceparent",
        "content-length",
        "transfer-encoding",
        "idempotency-key",
        "origin",
        "via",
        "x-request-id",
    ] {
        let request = format!("GET /api/orders HTTP/1.1\r\nHost: x\r\nConnection: {name}\r\n\r\n");
        bench.refused(&request, &[400]).await;
    }
    for token in ["a b", "a=b", "(x)", "\"x\""] {
        let request = format!("GET /api/orders HTTP/1.1\r\nHost: x\r\nConnection: {token}\r\n\r\n");
        bench.refused(&request, &[400]).await;
    }
    bench.done(16)
}

pub(super) async fn rule_17_via_is_written_and_finds_loops() -> Counted {
    let mut bench = Bench::new(ok).await;
    let (seen, answer) = bench
        .forwarded("GET /api/orders HTTP/1.1\r\nHost: x\r\nVia: 1.1 a, 1.0 b\r\n\r\n")
        .await;
    let via = seen.head.all("via");
    bench.check("via", via.len() == 2 && via[0] == "1.1 a, 1.0 b", &via);
    let own = via.last().cloned().unwrap_or_default();
    bench.check("own", answer.head.one("via").as_ref() == Some(&own), &own);
    let (seen, _) = bench.forwarded("GET /api/orders HTTP/1.0\r\n\r\n").await;
    let old = seen.head.one("via").unwrap_or_default();
    bench.check("1.0", old.starts_with("1.0 maru-"), old);
    for before in ["", "1.1 a, "] {
        let request = format!("GET /api/orders HTTP/1.1\r\nHost: x\r\nVia: {before}{own}\r\n\r\n");
        bench.answered_here(&request, 508).await;
    }
    let asked = |method: &str, headers: &str| {
        format!("{method} /api/orders HTTP/1.1\r\nHost: x\r\n{headers}\r\n")
    };
    // RFC 9110, section 7.6.2.
    for (method, sent, passed) in [
        ("OPTIONS", "1", "0"),
        ("OPTIONS", "010", "9"),
        ("OPTIONS", "18446744073709551615", "18446744073709551614"),
        ("OPTIONS", "99999999999999999999", "18446744073709551614"),
        ("GET", "0", "0"),
        ("POST", "7", "7"),
        ("GET", "x", "x"),
    ] {
        let request = asked(method, &format!("Max-Forwards: {sent}\r\n"));
        let (seen, _) = bench.forwarded(&request).await;
        let found = seen.head.all("max-forwards");
        bench.check(&request, found == [passed], found);
    }
    let (seen, _) = bench.forwarded(&asked("OPTIONS", "")).await;
    let found = seen.head.all("max-forwards");
    bench.check("none", found.is_empty(), found);
    for headers in ["Max-Forwards: 0\r\n", "Max-Forwards: 000\r\n"] {
        let request = asked("OPTIONS", headers);
        bench.answered_here(&request, 204).await;
        let allowed = bench.gateway.ask(&request).await.head.one("allow");
        let holds = allowed.as_ref().is_some_and(|it| it.contains("OPTIONS"));
        bench.check(&request, holds, allowed);
    }
    for headers in [
        "Max-Forwards: x\r\n",
        "Max-Forwards: -1\r\n",
        "Max-Forwards:\r\n",
        "Max-Forwards: 1\r\nMax-Forwards: 2\r\n",
    ] {
        bench.refused(&asked("OPTIONS", headers), &[400]).await;
    }
    bench.done(17)
}

pub(super) async fn rule_18_a_client_does_not_say_where_it_is_or_who() -> Counted {
    let mut bench = Bench::new(ok).await;
    for name in [
        "X-Forwarded-For",
        "X-Forwarded-Proto",
        "X-Forwarded-Host",
        "X-Forwarded-Port",
        "X-Forwarded-Prefix",
        "X_Forwarded_For",
        "X.Forwarded.For",
        "Forwarded",
        "X-Real-IP",
        "X_Real_Ip",
        "X-Client-IP",
        "True-Client-IP",
        "CF-Connecting-IP",
        "X-Original-URL",
        "X-Rewrite-URL",
        "X-User-Id",
        "X_User_Id",
        "X.User.Id",
        "X-Auth-Roles",
        "X-Authenticated-User",
        "X-Consumer-Id",
        "Remote-User",
        "Remote_User",
        "X-Remote-User",
        "X-Maru-Subject",
        "X_Maru_Subject",
        "x.maru.roles",
        "Content_Length",
        "Transfer_Encoding",
        "X-Groups",
        "X-Roles",
    ] {
        let request = format!("GET /api/orders HTTP/1.1\r\nHost: x\r\n{name}: spoofed\r\n\r\n");
        let (seen, _) = bench.forwarded(&request).await;
        let spoofed = seen
            .head
            .headers
            .iter()
            .filter(|(_, value)| value == b"spoofed")
            .count();
        bench.check(name, spoofed == 0, seen.head.headers);
    }
    bench.done(18)
}

pub(super) async fn rule_19_repeated_and_opaque_values_pass_as_they_are() -> Counted {
    let mut bench = Bench::new(|_| {
        Reply::text("HTTP/1.1 200 OK\r\nset-cookie: a=1, x\r\nset-cookie: b=2\r\nwarning: 1\r\nx-odd: caf\u{e9}\r\nwarning: 2\r\ncontent-length: 0\r\n\r\n")
    })
    .await;
    for (headers, name, expected) in [
        (
            "Accept: a\r\nX: y\r\nAccept: b\r\n",
            "accept",
            vec!["a", "b"],
        ),
        ("Cookie: a=1; b=2\r\n", "cookie", vec!["a=1; b=2"]),
        // One list, whatever it came as (RFC 9113, section 8.2.3).
        (
            "Cookie: a=1; b=2\r\nX: y\r\nCookie: c=3\r\n",
            "cookie",
            vec!["a=1; b=2; c=3"],
        ),
        ("X-Empty:\r\n", "x-empty", vec![""]),
        ("X-Pad:   a  b  \r\n", "x-pad", vec!["a  b"]),
        ("X-Quote: \"a, b\"\r\n", "x-quote", vec!["\"a, b\""]),
        ("X-Latin: caf\u{e9}\r\n", "x-latin", vec!["caf\u{e9}"]),
    ] {
        let request = format!("GET /api/orders HTTP/1.1\r\nHost: x\r\n{headers}\r\n");
        let (seen, answer) = bench.forwarded(&request).await;
        bench.check(
            &request,
            seen.head.all(name) == expected,
            seen.head.all(name),
        );
        let head = &answer.head;
        let found = (
            head.all("set-cookie"),
            head.all("warning"),
            head.one("x-odd"),
        );
        let holds = found.0 == ["a=1, x", "b=2"] && found.1 == ["1", "2"];
        bench.check(
            &request,
            holds && found.2.as_deref() == Some("caf\u{e9}"),
            found,
        );
    }
    bench.done(19)
}

pub(super) async fn rule_20_ids_are_checked_and_nothing_is_invented() -> Counted {
    let mut bench = Bench::new(ok).await;
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    for (header, name, kept) in [
        ("X-Request-Id: a1.b-c_d", "x-request-id", true),
        ("X-Request-Id: a b", "x-request-id", false),
        ("X-Request-Id: a\"b", "x-request-id", false),
        ("X-Request-Id: <a>", "x-request-id", false),
        ("X-Request-Id:", "x-request-id", false),
        (
            &format!("X-Request-Id: {}", "a".repeat(129)),
            "x-request-id",
            false,
        ),
        (&format!("Traceparent: {parent}"), "traceparent", true),
        (
            "Traceparent: 00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "traceparent",
            false,
        ),
        (
            "Traceparent: 00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "traceparent",
            false,
        ),
        (
            "Traceparent: ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "traceparent",
            false,
        ),
        ("Traceparent: x", "traceparent", false),
    ] {
        let request = format!("GET /api/orders HTTP/1.1\r\nHost: x\r\n{header}\r\n\r\n");
        let (seen, answer) = bench.forwarded(&request).await;
        let sent = header
            .split_once(':')
            .map(|(_, value)| value.trim().to_owned());
        let found = seen.head.one(name);
        bench.check(header, found.is_some() && (found == sent) == kept, &found);
        if name == "x-request-id" {
            bench.check(
                header,
                answer.head.one(name) == found,
                "differs in the answer",
            );
        }
        bench.check(header, answer.head.one("date").is_some(), "no date");
        bench.check(
            header,
            answer.head.one("content-type").is_none(),
            "a type was invented",
        );
        bench.check(
            header,
            answer.head.one("server").is_none(),
            "a server was invented",
        );
    }
    bench.done(20)
}

/// The answers of one worker have nothing to do with each other.
pub(super) async fn rule_16_an_old_client_does_not_cost_others_their_connections() -> Counted {
    let mut bench = Bench::new(ok).await;
    for _ in 0..5 {
        let old = "GET /api/orders HTTP/1.0\r\n\r\n";
        let (_, answer) = bench.forwarded(old).await;
        bench.check(old, answer.status == 200, &answer.head.start);
        let mut client = bench.gateway.connect().await;
        for _ in 0..3 {
            let new = "GET /api/orders HTTP/1.1\r\nHost: x\r\n\r\n";
            let answer = client.ask(new).await;
            let told = answer.head.one("connection");
            bench.check(new, told.is_none(), told);
        }
    }
    bench.done(16)
}
