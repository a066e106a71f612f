//! Rules 11 to 14: whom and what a request is for.

use super::{Bench, Counted, ok};

pub(super) async fn rule_11_there_is_one_host_and_it_is_one() -> Counted {
    let mut bench = Bench::new(ok).await;
    for headers in [
        "",
        "Host: a\r\nHost: a\r\n",
        "Host: a\r\nHost: b\r\n",
        "Host: a, b\r\n",
        "Host: a@b\r\n",
        "Host: user:pass@b\r\n",
        "Host: a b\r\n",
        "Host: a/b\r\n",
        "Host: a?b\r\n",
        "Host: a#b\r\n",
        "Host: a:\r\n",
        "Host: a:b\r\n",
        "Host: a:99999\r\n",
        "Host: a:-1\r\n",
        "Host: a:+1\r\n",
        "Host: a:80:80\r\n",
        "Host: [::1\r\n",
        "Host: ::1\r\n",
        "Host: [x]\r\n",
        "Host: [::1]x\r\n",
        "Host: http://a\r\n",
        "Host: a%00\r\n",
        "Host: a\\b\r\n",
        "Host: \r\n",
    ] {
        let request = format!("GET /api/orders HTTP/1.1\r\n{headers}\r\n");
        bench.refused(&request, &[400]).await;
    }
    for host in [
        "a",
        "a.b",
        "a.b:80",
        "A.B",
        "10.0.0.1",
        "[::1]",
        "[::1]:8080",
        "a-b_c",
        "xn--1",
    ] {
        let request = format!("GET /api/orders HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let (seen, _) = bench.forwarded(&request).await;
        let told = seen.head.one("x-forwarded-host");
        bench.check(&request, told.as_deref() == Some(host), told);
    }
    bench.done(11)
}

pub(super) async fn rule_12_every_form_of_a_target_has_its_answer() -> Counted {
    let mut bench = Bench::new(ok).await;
    for (target, host) in [
        ("http://shop.example/api/orders?a=b", "shop.example"),
        ("http://shop.example:81/api/orders?a=b", "shop.example:81"),
        ("https://shop.example/api/orders?a=b", "shop.example"),
        ("HTTP://SHOP.example/api/orders?a=b", "SHOP.example"),
    ] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: other.example\r\n\r\n");
        let (seen, _) = bench.forwarded(&request).await;
        let found = (seen.head.start.clone(), seen.head.one("x-forwarded-host"));
        let expected = (
            "GET /api/orders?a=b HTTP/1.1".to_owned(),
            Some(host.to_owned()),
        );
        bench.check(&request, found == expected, found);
    }
    for target in [
        "http://u@x/api/orders",
        "http://u:p@x/api/orders",
        "ftp://x/api/orders",
        "file:///api/orders",
    ] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n");
        bench.refused(&request, &[400]).await;
    }
    bench
        .answered_here("OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", 204)
        .await;
    for request in [
        "TRACE /api/orders HTTP/1.1\r\nHost: x\r\n\r\n",
        "TRACE /api/orders HTTP/1.1\r\nHost: x\r\nMax-Forwards: 0\r\n\r\n",
        "CONNECT x:80 HTTP/1.1\r\nHost: x:80\r\n\r\n",
        "CONNECT /api/orders HTTP/1.1\r\nHost: x\r\n\r\n",
    ] {
        bench.refused(request, &[400, 405]).await;
    }
    bench.done(12)
}

/// Paths that two programs could read in two ways.
const AMBIGUOUS_PATHS: [&str; 34] = [
    "/api/orders/..",
    "/api/orders/../internal",
    "/api/orders/%2e%2e/internal",
    "/api/orders/%2E%2E/internal",
    "/api/orders/.%2e/internal",
    "/api/orders/%2e./internal",
    "/api/orders/.",
    "/api/orders/./x",
    "/api/orders/%2e/x",
    "/api/orders/..;/x",
    "/api/orders/..;a=b/x",
    "/api/orders/.;/x",
    "/api/orders//x",
    "//api/orders",
    "///api/orders",
    "/api//orders",
    "/api/orders/x//",
    "/api/orders/%00",
    "/api/orders/%0a",
    "/api/orders/%0d%0aX:y",
    "/api/orders/%09",
    "/api/orders/%7f",
    "/api/orders\\x",
    "/api\\orders",
    "/api/orders/%5c..",
    "/api/orders%5Cx",
    "/api/orders/%2f",
    "/api/orders%2f1",
    "/api/orders/..%2finternal",
    "/api/orders/%2e%2e%2finternal",
    "/api/orders/%",
    "/api/orders/%2",
    "/api/orders/%zz",
    "/api/orders/%u002e",
];

pub(super) async fn rule_13_a_path_has_one_reading_for_all() -> Counted {
    let mut bench = Bench::new(ok).await;
    for path in AMBIGUOUS_PATHS {
        bench
            .answered_here(&format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"), 400)
            .await;
    }
    for path in [
        "/internal",
        "/internal/tokens",
        "/%69nternal/tokens",
        "/internal;x/tokens",
        "/",
        "/metricsx",
        "/api",
        "/API/orders",
        "/api/ordersheet",
    ] {
        bench
            .answered_here(&format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"), 404)
            .await;
    }
    for (path, expected) in [
        ("/api/orders/%61%62%63", "/api/orders/abc"),
        ("/api/orders/%7e%2d%5f%2e1", "/api/orders/~-_.1"),
        ("/api/orders/%c3%a9", "/api/orders/%C3%A9"),
        ("/api/orders/a%2cb", "/api/orders/a%2Cb"),
        ("/api/orders/%25", "/api/orders/%25"),
        ("/api/orders/%252e%252e/", "/api/orders/%252e%252e/"),
        ("/api/orders/a;v=1;w", "/api/orders/a;v=1;w"),
        ("/api/orders/...", "/api/orders/..."),
        ("/api/orders/a..b", "/api/orders/a..b"),
        ("/api/orders/", "/api/orders/"),
        ("/api/orders?", "/api/orders?"),
        (
            "/api/orders?a=%2F..//&b=%00&c='`{|}^[]\\",
            "/api/orders?a=%2F..//&b=%00&c='`{|}^[]\\",
        ),
        ("/api/orders?a?b?c", "/api/orders?a?b?c"),
        ("/api/orders/!$&'()*+,=:@", "/api/orders/!$&'()*+,=:@"),
    ] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
        let (seen, _) = bench.forwarded(&request).await;
        bench.check(
            path,
            seen.head.start == format!("GET {expected} HTTP/1.1"),
            seen.head.start,
        );
    }
    // No URI has these unescaped (RFC 3986, section 3.4), and the parser below refuses them.
    for byte in ['"', '<', '>'] {
        let request = format!("GET /api/orders?a={byte} HTTP/1.1\r\nHost: x\r\n\r\n");
        bench.refused(&request, &[400]).await;
    }
    bench.done(13)
}

pub(super) async fn rule_14_a_prefix_is_left_out_at_a_segment() -> Counted {
    let routes = "routes = [{prefix = \"/v2\", service = \"order\", strip_path = true}, {prefix = \"/old\", service = \"order\", rewrite = \"/new\"}]";
    let mut bench = Bench::routing(routes, |_| {
        crate::upstream::Reply::text("HTTP/1.1 302 Found\r\nlocation: /x\r\nset-cookie: a=b; Path=/x\r\ncontent-length: 0\r\n\r\n")
    })
    .await;
    for (path, expected) in [
        ("/v2", "/"),
        ("/v2/", "/"),
        ("/v2?a", "/?a"),
        ("/v2/example", "/example"),
        ("/v2/v2", "/v2"),
        ("/v2/v2/", "/v2/"),
        ("/old", "/new"),
        ("/old/a/b?c", "/new/a/b?c"),
    ] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
        let (seen, answer) = bench.forwarded(&request).await;
        bench.check(
            path,
            seen.head.start == format!("GET {expected} HTTP/1.1"),
            seen.head.start,
        );
        let kept = (answer.head.one("location"), answer.head.one("set-cookie"));
        let expected = (Some("/x".to_owned()), Some("a=b; Path=/x".to_owned()));
        bench.check(path, kept == expected, kept);
    }
    for path in ["/v2example", "/v20", "/V2", "/older"] {
        bench
            .answered_here(&format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"), 404)
            .await;
    }
    bench.done(14)
}
