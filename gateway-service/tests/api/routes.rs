//! The routing file: what it decides, and how a change takes effect.

use testkit::wait_until;

use crate::gateway::{Gateway, RoutingFile};
use crate::upstream::{Reply, Upstream};

fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: shop.example\r\n\r\n")
}

async fn start(routes: &str) -> (Upstream, Gateway) {
    let upstream = Upstream::start(|_| Reply::ok("")).await;
    let file = RoutingFile::new(routes);
    let gateway = Gateway::routing(&upstream, &file).await;
    (upstream, gateway)
}

#[tokio::test]
async fn a_file_of_one_s_own_replaces_the_routes() {
    let (_upstream, gateway) =
        start("routes = [{prefix = \"/shop\", service = \"order\", max_body_bytes = 3}]").await;
    gateway.ask(&get("/shop/1")).await.expect(200);
    gateway
        .ask(&get("/api/orders"))
        .await
        .problem(404, "not_found");
    let request = "POST /shop HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nabcd";
    gateway.ask(request).await.problem(413, "body_too_large");
}

#[tokio::test]
async fn a_route_decides_what_its_service_sees() {
    let (upstream, gateway) = start(
        r#"
        routes = [
            {prefix = "/a", service = "order", strip_path = true, host_header = "client"},
            {prefix = "/b", service = "order", rewrite = "/v2/b", host_header = "inner.example"},
            {template = "/c/{id}/{*rest}", service = "order", rewrite = "/{rest}/{id}"},
            {prefix = "/d", service = "order", encoded_slashes = true},
            {prefix = "/e", service = "order", request_headers = {set = {x-a = "1"}, add = {accept = "b"}, remove = ["cookie"]}},
        ]"#,
    )
    .await;
    for (target, seen, host) in [
        ("/a", "/", Some("shop.example")),
        ("/a/x?q=%2F", "/x?q=%2F", Some("shop.example")),
        ("/b/x", "/v2/b/x", Some("inner.example")),
        ("/c/7/x/y", "/x/y/7", None),
        ("/d/x%2fy", "/d/x%2Fy", None),
    ] {
        gateway.ask(&get(target)).await.expect(200);
        let head = upstream.seen().pop().unwrap().head;
        assert_eq!(head.start, format!("GET {seen} HTTP/1.1"));
        let own = upstream.address().to_string();
        assert_eq!(
            head.one("host").as_deref(),
            Some(host.unwrap_or(&own)),
            "{target}"
        );
    }
    let prefix = upstream.seen()[0].head.one("x-forwarded-prefix");
    assert_eq!(prefix.as_deref(), Some("/a"));
    gateway
        .ask("GET /e HTTP/1.1\r\nHost: x\r\nAccept: a\r\nCookie: c\r\nX-A: 0\r\nX-A: 9\r\n\r\n")
        .await
        .expect(200);
    let head = upstream.seen().pop().unwrap().head;
    assert_eq!(head.all("accept"), ["a", "b"]);
    assert_eq!(
        (head.one("x-a").as_deref(), head.one("cookie")),
        (Some("1"), None)
    );
}

#[tokio::test]
async fn no_strip_and_no_escape_reaches_internal_endpoints() {
    let (upstream, gateway) = start(
        r#"
        routes = [
            {prefix = "/a", service = "user", strip_path = true},
            {prefix = "/b", service = "user", rewrite = "/", encoded_slashes = true},
            {prefix = "/", service = "user", encoded_slashes = true},
            {prefix = "/c", service = "user", strip_path = true, encoded_slashes = true},
        ]"#,
    )
    .await;
    for (target, status) in [
        ("/a/internal/tokens", 404),
        ("/a/%69nternal/tokens", 404),
        ("/b/internal/tokens", 404),
        ("/b/internal%2Ftokens", 404),
        ("/b/internal;x/tokens", 404),
        ("/internal/tokens", 404),
        ("/internal%2ftokens", 400),
        ("/b%2Finternal/../tokens", 400),
        ("/c/internal%2ftokens", 404),
        ("/b/..%2Finternal", 400),
        ("/a/internal%2Ftokens", 400),
        ("/b/x%2F%2Finternal", 400),
    ] {
        gateway.ask(&get(target)).await.expect(status);
    }
    assert_eq!(upstream.seen().len(), 0);
}

#[tokio::test]
async fn an_answer_s_headers_are_changed_as_the_route_says() {
    let upstream = Upstream::start(|_| {
        Reply::text(
            "HTTP/1.1 200 OK\r\nserver: x\r\nx-old: 1\r\nx-two: 1\r\ncontent-length: 0\r\n\r\n",
        )
    })
    .await;
    let file = RoutingFile::new(
        "routes = [{prefix = \"/a\", service = \"order\", response_headers = {set = {x-old = \"2\"}, add = {x-two = \"2\"}, remove = [\"server\"]}}]",
    );
    let gateway = Gateway::routing(&upstream, &file).await;
    let head = gateway.ask(&get("/a")).await.expect(200).head;
    assert_eq!(
        (head.one("x-old").as_deref(), head.one("server")),
        (Some("2"), None)
    );
    assert_eq!(head.all("x-two"), ["1", "2"]);
}

#[tokio::test]
async fn a_request_is_routed_by_host_method_header_and_query() {
    let upstream = Upstream::start(|_| Reply::ok("")).await;
    let file = RoutingFile::new(
        r#"
        routes = [
            {name = "a", prefix = "/", service = "order", request_headers = {set = {x-route = "a"}}},
            {name = "b", hosts = ["b.example"], prefix = "/", service = "order", request_headers = {set = {x-route = "b"}}},
            {name = "c", prefix = "/", methods = ["PUT"], service = "order", request_headers = {set = {x-route = "c"}}},
            {name = "d", prefix = "/", headers = [{name = "x-beta", regex = "[0-9]+"}], service = "order", request_headers = {set = {x-route = "d"}}},
            {name = "e", prefix = "/", query = [{name = "v", equals = "2"}], service = "order", request_headers = {set = {x-route = "e"}}},
        ]"#,
    );
    let gateway = Gateway::routing(&upstream, &file).await;
    for (request, route) in [
        ("GET / HTTP/1.1\r\nHost: x\r\n\r\n", "a"),
        ("GET / HTTP/1.1\r\nHost: B.example:5000\r\n\r\n", "b"),
        ("GET http://b.example/ HTTP/1.1\r\nHost: x\r\n\r\n", "b"),
        ("PUT / HTTP/1.1\r\nHost: x\r\n\r\n", "c"),
        ("GET / HTTP/1.1\r\nHost: x\r\nX-Beta: 7\r\n\r\n", "d"),
        ("GET / HTTP/1.1\r\nHost: x\r\nX-Beta: 7x\r\n\r\n", "a"),
        ("GET /?a&v=2 HTTP/1.1\r\nHost: x\r\n\r\n", "e"),
        ("GET / HTTP/1.0\r\n\r\n", "a"),
    ] {
        gateway.ask(request).await.expect(200);
        let seen = upstream.seen().pop().unwrap().head.one("x-route");
        assert_eq!(seen.as_deref(), Some(route), "{request}");
    }
}

#[tokio::test]
async fn a_canary_gets_its_share() {
    let (stable, canary) = (
        Upstream::start(|_| Reply::ok("")).await,
        Upstream::start(|_| Reply::ok("")).await,
    );
    let file = RoutingFile::new(&format!(
        "services = [{{name = \"next\", url = \"{}\"}}]\nroutes = [{{prefix = \"/\", backends = [{{service = \"order\", weight = 90}}, {{service = \"next\", weight = 10}}]}}]",
        canary.url()
    ));
    let gateway = Gateway::routing(&stable, &file).await;
    let mut client = gateway.connect().await;
    for _ in 0..200 {
        client.ask(&get("/x")).await.expect(200);
    }
    let (most, few) = (stable.seen().len(), canary.seen().len());
    assert_eq!(most + few, 200);
    assert!((18..=22).contains(&few), "{few}");
}

#[tokio::test]
async fn a_change_takes_effect_and_a_fault_changes_nothing() {
    let upstream = Upstream::start(|_| Reply::ok("")).await;
    let file = RoutingFile::new("routes = [{prefix = \"/a\", service = \"order\"}]");
    let gateway = Gateway::routing(&upstream, &file).await;
    let mut client = gateway.connect().await;
    client.ask(&get("/a")).await.expect(200);
    file.write("routes = [{prefix = \"/b\", service = \"order\"}]");
    wait_until("the new route", || async {
        gateway.ask(&get("/b")).await.status == 200
    })
    .await;
    client.ask(&get("/a")).await.problem(404, "not_found");
    file.write("routes = [{prefix = \"/c\", service = \"nobody\"}]");
    wait_until("the refusal", || async {
        let metrics = gateway.ask(&get("/metrics")).await.text();
        metrics.contains("gateway_routing_reloads_total{outcome=\"refused\"} 1")
    })
    .await;
    client.ask(&get("/b")).await.expect(200);
    client.ask(&get("/c")).await.problem(404, "not_found");
    file.write("routes = [{prefix = \"/d\", service = \"order\"}]");
    wait_until("the repaired file", || async {
        gateway.ask(&get("/d")).await.status == 200
    })
    .await;
}

#[cfg(unix)]
#[tokio::test]
async fn a_hang_up_signal_reads_the_file_and_does_not_end_the_gateway() {
    let upstream = Upstream::start(|_| Reply::ok("")).await;
    let file = RoutingFile::new("routes = [{prefix = \"/a\", service = \"order\"}]");
    let gateway = Gateway::routing(&upstream, &file).await;
    file.write("routes = [{prefix = \"/b\", service = \"order\"}]");
    let own = rustix::process::getpid();
    rustix::process::kill_process(own, rustix::process::Signal::HUP).unwrap();
    wait_until("the new route", || async {
        gateway.ask(&get("/b")).await.status == 200
    })
    .await;
}

#[tokio::test]
async fn a_file_with_a_fault_does_not_start() {
    let file = RoutingFile::new("routes = [{prefix = \"/a\", service = \"nobody\"}]");
    let fault = Gateway::refused(&file).await;
    assert!(
        fault.contains("line 1, column 37: routes[0].service: there is no service `nobody`"),
        "{fault}"
    );
}

#[tokio::test]
async fn limits_of_a_route_are_its_own() {
    let (upstream, gateway) = start(
        r#"
        routes = [
            {prefix = "/small", service = "order", max_target_bytes = 20, max_header_bytes = 60},
            {prefix = "/large", service = "order", max_target_bytes = 20000},
        ]"#,
    )
    .await;
    let long = "a".repeat(10_000);
    gateway
        .ask(&get(&format!("/large/{long}")))
        .await
        .expect(200);
    gateway
        .ask(&get("/small/aaaaaaaaaaaaaaaaaaaa"))
        .await
        .problem(414, "target_too_long");
    gateway
        .ask(&format!(
            "GET /small HTTP/1.1\r\nHost: x\r\nX-Long: {}\r\n\r\n",
            "y".repeat(60)
        ))
        .await
        .problem(431, "headers_too_large");
    gateway.ask(&get("/small")).await.expect(200);
    assert_eq!(upstream.seen().len(), 2);
}

#[tokio::test]
async fn a_route_is_for_the_networks_that_it_names() {
    let upstream = Upstream::start(|_| Reply::ok("")).await;
    let file = RoutingFile::new(
        r#"
        routes = [
            {prefix = "/closed", service = "order", allow = ["10.0.0.0/8"]},
            {prefix = "/denied", service = "order", deny = ["127.0.0.1", "203.0.113.0/24"]},
            {prefix = "/open", service = "order", allow = ["127.0.0.0/8"]},
        ]"#,
    );
    let gateway = Gateway::routing(&upstream, &file).await;
    gateway.ask(&get("/open")).await.expect(200);
    for path in ["/closed", "/denied"] {
        gateway
            .ask(&get(path))
            .await
            .problem(403, "address_not_allowed");
        let claimed =
            format!("GET {path} HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 10.1.1.1\r\n\r\n");
        gateway
            .ask(&claimed)
            .await
            .problem(403, "address_not_allowed");
    }
    let trusting = Gateway::routing_with(
        &upstream,
        &file,
        &[("GATEWAY__PROXIES__TRUSTED", "127.0.0.0/8")],
    )
    .await;
    for (path, hops, status) in [
        ("/closed", "10.1.1.1", 200),
        ("/closed", "10.1.1.1, 203.0.113.9", 403),
        ("/denied", "203.0.113.9", 403),
        ("/denied", "198.51.100.1", 200),
    ] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: {hops}\r\n\r\n");
        trusting.ask(&request).await.expect(status);
    }
}

#[tokio::test]
async fn a_route_has_cross_origin_rules_of_its_own() {
    let (upstream, gateway) = start(
        r#"
        cors = [{name = "shop", allowed_origins = ["https://shop.example"], allowed_methods = ["PUT"], allowed_headers = ["x-a"], allow_credentials = true, max_age_seconds = 5}]
        routes = [
            {name = "read", prefix = "/shop", service = "order"},
            {name = "write", prefix = "/shop", methods = ["PUT"], service = "order", cors = "shop"},
            {prefix = "/off", service = "order", cors = "off"},
        ]"#,
    )
    .await;
    let preflight = |target: &str, origin: &str, method: &str| {
        format!(
            "OPTIONS {target} HTTP/1.1\r\nHost: x\r\nOrigin: {origin}\r\nAccess-Control-Request-Method: {method}\r\n\r\n"
        )
    };
    let answer = gateway
        .ask(&preflight("/shop", "https://shop.example", "PUT"))
        .await;
    let head = answer.expect(204).head;
    for (name, value) in [
        ("access-control-allow-origin", "https://shop.example"),
        ("access-control-allow-credentials", "true"),
        ("access-control-allow-methods", "PUT"),
        ("access-control-max-age", "5"),
    ] {
        assert_eq!(head.one(name).as_deref(), Some(value));
    }
    // The route of the request that is asked about decides, not that of OPTIONS.
    gateway
        .ask(&preflight("/shop", "https://shop.example", "GET"))
        .await
        .expect(403);
    gateway
        .ask(&preflight("/off", "http://localhost:3000", "GET"))
        .await
        .expect(403);
    let request = "GET /off HTTP/1.1\r\nHost: x\r\nOrigin: http://localhost:3000\r\n\r\n";
    let head = gateway.ask(request).await.expect(200).head;
    assert_eq!(head.one("access-control-allow-origin"), None);
    assert_eq!(upstream.seen().len(), 1);
}
