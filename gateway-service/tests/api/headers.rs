//! Which headers pass, in both directions.

use crate::gateway::Gateway;
use crate::upstream::{Reply, Seen, Upstream};

async fn forwarded(headers: &str, settings: &[(&str, &str)]) -> Seen {
    let upstream = Upstream::start(|_| Reply::ok("")).await;
    let gateway = Gateway::with(&upstream.url(), settings).await;
    let request = format!("GET /api/orders HTTP/1.1\r\nHost: shop.example\r\n{headers}\r\n");
    gateway.ask(&request).await.expect(200);
    upstream.only()
}

#[tokio::test]
async fn hop_by_hop_headers_end_here_and_the_others_pass() {
    let seen = forwarded(
        "Connection: keep-alive, X-Priv, te\r\nX-Priv: 1\r\nKeep-Alive: timeout=5\r\nProxy-Connection: x\r\n\
         Proxy-Authorization: Basic eA==\r\nTE: trailers\r\nTrailer: x\r\nUpgrade: h2c\r\nHTTP2-Settings: AAA\r\n\
         Authorization: Bearer abc\r\nCookie: a=b\r\nIdempotency-Key: k-1\r\nAccept: text/html\r\nAccept: */*\r\n\
         X-Latin: caf\u{e9}\r\n",
        &[],
    )
    .await;
    for name in [
        "connection",
        "x-priv",
        "keep-alive",
        "proxy-connection",
        "proxy-authorization",
        "te",
        "trailer",
        "upgrade",
        "http2-settings",
    ] {
        assert_eq!(seen.head.all(name), Vec::<String>::new(), "{name}");
    }
    for (name, value) in [
        ("authorization", "Bearer abc"),
        ("cookie", "a=b"),
        ("idempotency-key", "k-1"),
    ] {
        assert_eq!(seen.head.one(name).as_deref(), Some(value));
    }
    assert_eq!(seen.head.all("accept"), ["text/html", "*/*"]);
    assert_eq!(seen.head.one("x-latin").as_deref(), Some("caf\u{e9}"));
}

#[tokio::test]
async fn a_client_cannot_remove_what_authorization_and_tracing_rely_on() {
    let upstream = Upstream::start(|_| Reply::ok("")).await;
    let gateway = Gateway::before(&upstream).await;
    for name in [
        "authorization",
        "Cookie",
        "host",
        "X-Forwarded-For",
        "traceparent",
        "content-length",
    ] {
        let request = format!("GET /api/orders HTTP/1.1\r\nHost: x\r\nConnection: {name}\r\n\r\n");
        gateway.ask(&request).await.problem(400, "protected_header");
    }
    assert_eq!(upstream.seen().len(), 0);
}

#[tokio::test]
async fn a_client_cannot_say_who_it_is() {
    let seen = forwarded(
        "X-User-Id: 1\r\nX-User-Token: t\r\nX_User_Id: 2\r\nX.User.Id: 3\r\nRemote-User: root\r\nX-Auth-Roles: owner\r\n\
         X-Consumer-Id: 4\r\nX-Real-IP: 10.0.0.1\r\nForwarded: for=10.0.0.1\r\nX-Forwarded-For: 10.0.0.1\r\n\
         X-Forwarded-Proto: https\r\nX-Forwarded-Host: evil.example\r\nX-Forwarded-Prefix: /x\r\nX_Forwarded_For: 10.0.0.2\r\n\
         X-Original-URL: /internal\r\nContent_Length: 5\r\n",
        &[],
    )
    .await;
    let mut names: Vec<&str> = seen
        .head
        .headers
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    names.sort_unstable();
    let expected = [
        "host",
        "traceparent",
        "via",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-request-id",
    ];
    assert_eq!(names, expected);
    assert_eq!(
        seen.head.one("x-forwarded-for").as_deref(),
        Some("127.0.0.1")
    );
    assert_eq!(seen.head.one("x-forwarded-proto").as_deref(), Some("http"));
    assert_eq!(
        seen.head.one("x-forwarded-host").as_deref(),
        Some("shop.example")
    );
}

#[tokio::test]
async fn a_trusted_proxy_is_believed_and_added_to_the_hops() {
    let headers = "X-Forwarded-For: 203.0.113.7\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: console.example\r\n";
    let seen = forwarded(
        headers,
        &[("GATEWAY__PROXIES__TRUSTED", "10.0.0.0/8,127.0.0.0/8")],
    )
    .await;
    assert_eq!(
        seen.head.one("x-forwarded-for").as_deref(),
        Some("203.0.113.7, 127.0.0.1")
    );
    assert_eq!(seen.head.one("x-forwarded-proto").as_deref(), Some("https"));
    assert_eq!(
        seen.head.one("x-forwarded-host").as_deref(),
        Some("console.example")
    );
}

#[tokio::test]
async fn the_service_is_asked_under_its_own_name_and_the_request_target_wins_over_host() {
    let upstream = Upstream::start(|_| Reply::ok("")).await;
    let gateway = Gateway::before(&upstream).await;
    let request =
        "GET http://shop.example:81/api/orders?a=b HTTP/1.1\r\nHost: other.example\r\n\r\n";
    gateway.ask(request).await.expect(200);
    let seen = upstream.only();
    assert_eq!(seen.head.start, "GET /api/orders?a=b HTTP/1.1");
    assert_eq!(seen.head.one("host"), Some(upstream.address().to_string()));
    assert_eq!(
        seen.head.one("x-forwarded-host").as_deref(),
        Some("shop.example:81")
    );
}

#[tokio::test]
async fn request_id_and_trace_are_passed_on_or_made() {
    let upstream = Upstream::start(|_| {
        Reply::text("HTTP/1.1 200 OK\r\nx-request-id: the-service-s\r\ncontent-length: 0\r\n\r\n")
    })
    .await;
    let gateway = Gateway::before(&upstream).await;
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let ask = async |headers: &str| {
        let answer = gateway
            .ask(&format!(
                "GET /api/orders HTTP/1.1\r\nHost: x\r\n{headers}\r\n"
            ))
            .await;
        let seen = upstream.seen().pop().unwrap();
        let id = seen.head.one("x-request-id").unwrap();
        assert_eq!(answer.head.one("x-request-id").as_ref(), Some(&id));
        (
            id,
            seen.head.one("traceparent").unwrap(),
            seen.head.one("tracestate"),
        )
    };
    let good = format!("X-Request-Id: my-id.1\r\nTraceparent: {parent}\r\nTracestate: a=1\r\n");
    assert_eq!(
        ask(&good).await,
        (
            "my-id.1".to_owned(),
            parent.to_owned(),
            Some("a=1".to_owned())
        )
    );
    let (id, trace, state) =
        ask("X-Request-Id: a b\r\nTraceparent: 00-zz\r\nTracestate: a=1\r\n").await;
    assert_ne!(id, "a b");
    assert_eq!((trace.len(), state), (55, None));
    let (other, other_trace, _) = ask("").await;
    assert_ne!((other, other_trace), (id, trace));
}

#[tokio::test]
async fn via_is_written_both_ways_and_finds_loops() {
    let upstream = Upstream::start(|_| {
        Reply::text("HTTP/1.0 200 OK\r\nvia: 1.1 inner\r\ncontent-length: 0\r\n\r\n")
    })
    .await;
    let gateway = Gateway::before(&upstream).await;
    let answer = gateway
        .ask("GET /api/orders HTTP/1.1\r\nHost: x\r\nVia: 1.1 outer\r\n\r\n")
        .await
        .expect(200);
    let forwarded = upstream.only().head.all("via");
    let (outer, own) = (&forwarded[0], &forwarded[1]);
    assert_eq!(outer, "1.1 outer");
    let name = own.strip_prefix("1.1 ").unwrap();
    assert_eq!(
        answer.head.all("via"),
        ["1.1 inner".to_owned(), format!("1.0 {name}")]
    );
    let again = format!("GET /api/orders HTTP/1.1\r\nHost: x\r\nVia: 1.1 outer, {own}\r\n\r\n");
    gateway.ask(&again).await.problem(508, "loop_detected");
}

#[tokio::test]
async fn an_answer_s_headers_pass_but_for_those_that_end_here() {
    let upstream = Upstream::start(|_| {
        Reply::text(
            "HTTP/1.1 201 Made\r\nconnection: keep-alive, x-priv\r\nx-priv: 1\r\nkeep-alive: timeout=5\r\n\
             proxy-authenticate: Basic\r\nupgrade: h2c\r\naccess-control-allow-origin: *\r\n\
             access-control-allow-credentials: true\r\nset-cookie: a=1\r\nset-cookie: b=2\r\nlocation: /api/orders/1\r\n\
             etag: \"x\"\r\nx-latin: caf\u{e9}\r\ndate: Thu, 01 Jan 2026 00:00:00 GMT\r\ncontent-length: 0\r\n\r\n",
        )
    })
    .await;
    let gateway = Gateway::before(&upstream).await;
    let head = gateway
        .ask("POST /api/orders HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .expect(201)
        .head;
    for name in [
        "x-priv",
        "keep-alive",
        "proxy-authenticate",
        "upgrade",
        "access-control-allow-origin",
        "access-control-allow-credentials",
        "server",
        "content-type",
    ] {
        assert_eq!(head.all(name), Vec::<String>::new(), "{name}");
    }
    assert_eq!(head.all("set-cookie"), ["a=1", "b=2"]);
    for (name, value) in [
        ("location", "/api/orders/1"),
        ("etag", "\"x\""),
        ("x-latin", "caf\u{e9}"),
        ("date", "Thu, 01 Jan 2026 00:00:00 GMT"),
    ] {
        assert_eq!(head.one(name).as_deref(), Some(value));
    }
}
