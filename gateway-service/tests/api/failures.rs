//! What a route says about a service that fails: tries, breaker, fallback.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use testkit::wait_until;

use crate::client::Answer;
use crate::gateway::{Gateway, RoutingFile};
use crate::registrar::{Registrar, get};
use crate::upstream::{Reply, Upstream};

const BUSY: &str = "HTTP/1.1 503 X\r\ncontent-length: 4\r\n\r\nbusy";
const BROKEN: &str = "HTTP/1.1 500 X\r\ncontent-length: 6\r\n\r\nbroken";

/// A gateway before two instances of `web`, which take turns: the first one answers with this.
async fn with_one(routes: &str, reply: Reply) -> (Registrar, Upstream, Upstream) {
    let text = format!("services = [{{name = \"web\"}}]\nroutes = [{routes}]");
    let file = RoutingFile::new(&text);
    let path = file.path();
    let registrar = Registrar::with(&[
        ("GATEWAY__ROUTING__FILE", &path),
        ("GATEWAY__RESILIENCE__BALANCE", "round_robin"),
        ("GATEWAY__RESILIENCE__BREAKER_MIN_CALLS", "1000000"),
        ("GATEWAY__RESILIENCE__CONSECUTIVE_FAILURES", "1000000"),
        ("GATEWAY__RESILIENCE__RETRY_MIN_PER_SECOND", "1000"),
    ])
    .await;
    let failing = Upstream::start(move |_| reply.clone()).await;
    let good = Upstream::start(|_| Reply::ok("good")).await;
    registrar.register("web", &failing).await.expect(201);
    registrar.register("web", &good).await.expect(201);
    (registrar, failing, good)
}

/// What ten requests are answered with, each status once.
async fn statuses(gateway: &Gateway, method: &str, path: &str) -> Vec<u16> {
    let mut statuses = Vec::new();
    for _ in 0..10 {
        let request = format!("{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n");
        statuses.push(gateway.ask(&request).await.status);
    }
    statuses.sort_unstable();
    statuses.dedup();
    statuses
}

#[tokio::test]
async fn a_route_says_how_often_and_after_what_a_request_is_tried_again() {
    let routes = r#"
        {prefix = "/usual", service = "web"},
        {prefix = "/once", service = "web", retries = {attempts = 1}},
        {prefix = "/other", service = "web", retries = {statuses = [500]}},
        {prefix = "/never", service = "web", retries = {statuses = []}}"#;
    let cases: [(&str, &str, &str, &[u16]); 9] = [
        (BUSY, "GET", "/usual", &[200]),
        (BUSY, "GET", "/once", &[200, 503]),
        (BUSY, "GET", "/other", &[200, 503]),
        (BUSY, "GET", "/never", &[200, 503]),
        (BROKEN, "GET", "/usual", &[200, 500]),
        (BROKEN, "GET", "/other", &[200]),
        (BROKEN, "DELETE", "/other", &[200]),
        // It may have done something.
        (BROKEN, "POST", "/other", &[200, 500]),
        (BROKEN, "PATCH", "/other", &[200, 500]),
    ];
    for reply in [BUSY, BROKEN] {
        let (registrar, _failing, _good) = with_one(routes, Reply::text(reply)).await;
        for (_, method, path, expected) in cases.iter().filter(|case| case.0 == reply) {
            let seen = statuses(&registrar.gateway, method, path).await;
            assert_eq!(seen, *expected, "{method} {path}");
        }
    }
}

#[tokio::test]
async fn no_try_begins_when_the_time_for_them_is_over() {
    let routes = r#"
        {prefix = "/long", service = "web", header_timeout_ms = 200},
        {prefix = "/short", service = "web", header_timeout_ms = 200, retries = {within_ms = 50}}"#;
    let (registrar, _failing, _good) = with_one(routes, Reply::ThenHold(Vec::new())).await;
    assert_eq!(statuses(&registrar.gateway, "GET", "/long").await, [200]);
    assert_eq!(
        statuses(&registrar.gateway, "GET", "/short").await,
        [200, 504]
    );
}

async fn fails_until(fails: &Arc<AtomicBool>) -> Upstream {
    let fails = Arc::clone(fails);
    Upstream::start(move |_| match fails.load(Ordering::SeqCst) {
        true => Reply::text(BROKEN),
        false => Reply::ok("good"),
    })
    .await
}

async fn open(gateway: &Gateway, path: &str) -> Answer {
    for _ in 0..3 {
        get(gateway, path).await.expect(500);
    }
    get(gateway, path).await
}

#[tokio::test]
async fn a_route_s_own_breaker_opens_for_it_alone_and_survives_other_changes() {
    let fails = Arc::new(AtomicBool::new(true));
    let upstream = fails_until(&fails).await;
    let routes = |open_ms: u32, more: &str| {
        format!(
            r#"routes = [
                {{prefix = "/own", service = "order", breaker = {{min_calls = 3, open_ms = {open_ms}}}}},
                {{prefix = "/usual", service = "order"}},
                {more}
            ]"#
        )
    };
    let file = RoutingFile::new(&routes(600_000, ""));
    let gateway = Gateway::routing(&upstream, &file).await;
    let refused = open(&gateway, "/own").await.problem(503, "circuit_open");
    let wait: u32 = refused.head.one("retry-after").unwrap().parse().unwrap();
    assert!((590..=600).contains(&wait), "{wait}");
    fails.store(false, Ordering::SeqCst);
    get(&gateway, "/usual").await.expect(200);
    // Another route is changed: this one's breaker goes on.
    file.write(&routes(600_000, "{prefix = \"/new\", service = \"order\"}"));
    wait_until("the new route", || async {
        get(&gateway, "/new").await.status == 200
    })
    .await;
    get(&gateway, "/own").await.problem(503, "circuit_open");
    // Its own terms are changed: it begins anew.
    file.write(&routes(500_000, ""));
    wait_until("the new breaker", || async {
        get(&gateway, "/own").await.status == 200
    })
    .await;
}

#[tokio::test]
async fn a_breaker_closes_when_its_probes_succeed() {
    let fails = Arc::new(AtomicBool::new(true));
    let upstream = fails_until(&fails).await;
    let file = RoutingFile::new(
        "routes = [{prefix = \"/own\", service = \"order\", breaker = {min_calls = 3, open_ms = 100, probes = 1}}]",
    );
    let gateway = Gateway::routing(&upstream, &file).await;
    open(&gateway, "/own").await.problem(503, "circuit_open");
    fails.store(false, Ordering::SeqCst);
    wait_until("a probe", || async {
        get(&gateway, "/own").await.status == 200
    })
    .await;
    assert_eq!(statuses(&gateway, "GET", "/own").await, [200]);
}

#[tokio::test]
async fn a_route_s_fallback_answers_when_the_service_cannot_be_asked() {
    let fails = Arc::new(AtomicBool::new(false));
    let (upstream, standby) = (
        fails_until(&fails).await,
        Upstream::start(|seen| Reply::ok(&format!("standby {}", seen.head.start))).await,
    );
    let open = "breaker = {min_calls = 1, open_ms = 600000}";
    let text = format!(
        r#"
        services = [{{name = "standby", url = "{}"}}, {{name = "absent"}}]
        routes = [
            {{prefix = "/fixed", service = "order", {open}, fallback = {{status = 203, content_type = "text/plain", body = "later"}}}},
            {{prefix = "/empty", service = "order", {open}, fallback = {{status = 204, body = ""}}}},
            {{prefix = "/other", service = "order", {open}, fallback = {{service = "standby"}}}},
            {{prefix = "/cached", service = "order", {open}, fallback = {{cached_seconds = 60}}}},
            {{prefix = "/none", service = "order", {open}}},
            {{prefix = "/absent", service = "absent", fallback = {{body = "[]"}}}},
            {{prefix = "/gone", service = "absent"}},
        ]"#,
        standby.url()
    );
    let gateway = Gateway::routing(&upstream, &RoutingFile::new(&text)).await;
    get(&gateway, "/cached/a").await.expect(200);
    fails.store(true, Ordering::SeqCst);
    // What the service answers, it answers; then its breaker is open.
    for path in ["/fixed", "/empty", "/other", "/cached/a", "/none"] {
        get(&gateway, path).await.expect(500);
    }
    let fixed = get(&gateway, "/fixed").await.expect(203);
    assert_eq!(
        (fixed.text(), fixed.head.one("content-type").as_deref()),
        ("later".into(), Some("text/plain"))
    );
    assert_eq!(get(&gateway, "/empty").await.expect(204).text(), "");
    let post = "POST /other/x HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi";
    assert_eq!(
        gateway.ask(post).await.text(),
        "standby POST /other/x HTTP/1.1"
    );
    assert_eq!(standby.only().body.text(), "hi");
    assert_eq!(get(&gateway, "/cached/a").await.expect(200).text(), "good");
    get(&gateway, "/cached/b")
        .await
        .problem(503, "circuit_open");
    get(&gateway, "/none").await.problem(503, "circuit_open");
    assert_eq!(get(&gateway, "/absent").await.expect(200).text(), "[]");
    get(&gateway, "/gone")
        .await
        .problem(503, "service_unavailable");
    let metrics = get(&gateway, "/metrics").await.text();
    assert!(
        metrics.contains("gateway_fallbacks_total{service=\"order\"} 4"),
        "{metrics}"
    );
}

/// Settings under which no number of failures keeps a service from being asked.
const NEVER_LEFT_ALONE: [(&str, &str); 2] = [
    ("GATEWAY__RESILIENCE__BREAKER_MIN_CALLS", "1000000"),
    ("GATEWAY__RESILIENCE__CONSECUTIVE_FAILURES", "1000000"),
];

/// A gateway whose requests below `/a` another service takes over when `order` fails.
async fn with_standby(order: &Upstream, standby: &Upstream) -> Gateway {
    let text = format!(
        r#"
        services = [{{name = "standby", url = "{}"}}]
        routes = [{{prefix = "/a", service = "order", header_timeout_ms = 500, fallback = {{service = "standby"}}}}]"#,
        standby.url()
    );
    Gateway::routing_with(order, &RoutingFile::new(&text), &NEVER_LEFT_ALONE).await
}

#[tokio::test]
async fn what_may_have_been_done_is_not_given_to_another_service() {
    let order = Upstream::start(|seen| match seen.head.start.contains("/hangs") {
        true => Reply::ThenHold(Vec::new()),
        false => Reply::ThenClose(Vec::new()),
    })
    .await;
    let standby = Upstream::start(|_| Reply::ok("standby")).await;
    let gateway = with_standby(&order, &standby).await;
    let key = "Idempotency-Key: k\r\n";
    for (method, path, headers, expected) in [
        ("POST", "/a/dies", "", 502),
        ("POST", "/a/hangs", "", 504),
        ("PATCH", "/a/dies", "", 502),
        // The other service has never heard of the key.
        ("POST", "/a/dies", key, 502),
        ("POST", "/a/hangs", key, 504),
        ("PUT", "/a/dies", "", 200),
        ("DELETE", "/a/hangs", "", 200),
        ("GET", "/a/dies", "", 200),
    ] {
        let before = (order.seen().len(), standby.seen().len());
        let request =
            format!("{method} {path} HTTP/1.1\r\nHost: x\r\n{headers}Content-Length: 2\r\n\r\nhi");
        let status = gateway.ask(&request).await.status;
        assert_eq!(status, expected, "{method} {path} {headers}");
        assert!(order.seen().len() > before.0, "{method} {path} {headers}");
        let taken = standby.seen().len() - before.1;
        assert_eq!(taken, usize::from(expected == 200), "{method} {path}");
    }
    // Nobody is there who could have done it.
    order.stop().await;
    for headers in ["", key] {
        let request =
            format!("POST /a/gone HTTP/1.1\r\nHost: x\r\n{headers}Content-Length: 2\r\n\r\nhi");
        let answer = gateway.ask(&request).await.expect(200);
        assert_eq!(answer.text(), "standby", "{headers}");
        assert_eq!(standby.seen().last().unwrap().body.text(), "hi");
    }
}

#[tokio::test]
async fn another_service_gets_what_is_left_of_the_deadline() {
    let order = Upstream::start(|_| Reply::ThenHold(Vec::new())).await;
    let standby = Upstream::start(|_| Reply::ok("standby")).await;
    let gateway = with_standby(&order, &standby).await;
    let request = "GET /a HTTP/1.1\r\nHost: x\r\nX-Request-Deadline-Ms: 20000\r\n\r\n";
    gateway.ask(request).await.expect(200);
    let told = standby.only().head.one("x-request-deadline-ms").unwrap();
    let told: u64 = told.parse().unwrap();
    assert!(told <= 19_500, "{told}");
}

/// One whose answers say by the last segment of the path for whom they are.
async fn picky(fails: &Arc<AtomicBool>) -> Upstream {
    let failing = Arc::clone(fails);
    Upstream::start(move |seen| {
        let path = seen.head.start.split(' ').nth(1).unwrap_or_default();
        let headers = match path.rsplit('/').next().unwrap_or_default() {
            "store" => "vary: accept, X-Store\r\n",
            "coding" => "vary: Accept-Encoding\r\ncontent-encoding: gzip\r\n",
            "anything" => "vary: accept\r\nvary: *\r\n",
            "secret" => "cache-control: max-age=60\r\ncache-control: NO-STORE\r\n",
            "private" => "cache-control: private\r\n",
            _ => "",
        };
        match failing.load(Ordering::SeqCst) {
            true => Reply::ThenClose(Vec::new()),
            false => Reply::text(&format!(
                "HTTP/1.1 200 OK\r\n{headers}content-length: 4\r\n\r\ngood"
            )),
        }
    })
    .await
}

#[tokio::test]
async fn a_last_good_answer_is_for_the_same_question_alone() {
    let fails = Arc::new(AtomicBool::new(false));
    let order = picky(&fails).await;
    let cached = "service = \"order\", fallback = {cached_seconds = 60}";
    let routes = format!(
        r#"routes = [
            {{prefix = "/a", {cached}}},
            {{name = "b", prefix = "/a", hosts = ["b.example"], strip_path = true, {cached}}},
        ]"#
    );
    let file = RoutingFile::new(&routes);
    let gateway = Gateway::routing_with(&order, &file, &NEVER_LEFT_ALONE).await;
    let asked = |host: &str, path: &str, headers: &str| {
        format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{headers}\r\n")
    };
    let first = [
        ("a.example", "/a/menu", ""),
        ("a.example", "/a/store", "X-Store: 1\r\n"),
        ("a.example", "/a/coding", "Accept-Encoding: gzip\r\n"),
        ("a.example", "/a/anything", ""),
        ("a.example", "/a/secret", ""),
        ("a.example", "/a/private", ""),
        ("a.example", "/a/private", "Cookie: a=1\r\n"),
        (
            "a.example",
            "/a/hidden",
            "Accept: x\r\nConnection: accept\r\n",
        ),
        ("a.example", "/a/body", "Content-Length: 0\r\n"),
    ];
    for (host, path, headers) in first {
        let answer = gateway.ask(&asked(host, path, headers)).await;
        assert_eq!(answer.expect(200).text(), "good");
    }
    fails.store(true, Ordering::SeqCst);
    let mut faults = Vec::new();
    for (host, path, headers, status) in [
        ("a.example", "/a/menu", "", 200),
        ("A.EXAMPLE", "/a/menu", "", 200),
        ("b.example", "/a/menu", "", 502),
        ("c.example", "/a/menu", "", 502),
        ("a.example", "/a/menu?x", "", 502),
        ("a.example", "/a/menu", "Accept: text/plain\r\n", 502),
        ("a.example", "/a/menu", "Cookie: a=1\r\n", 502),
        (
            "a.example",
            "/a/menu",
            "X-HTTP-Method-Override: PUT\r\n",
            502,
        ),
        ("a.example", "/a/store", "X-Store: 1\r\n", 502),
        ("a.example", "/a/store", "X-Store: 2\r\n", 502),
        ("a.example", "/a/coding", "Accept-Encoding: gzip\r\n", 200),
        ("a.example", "/a/coding", "", 502),
        ("a.example", "/a/anything", "", 502),
        ("a.example", "/a/secret", "", 502),
        ("a.example", "/a/private", "", 502),
        ("a.example", "/a/private", "Cookie: a=1\r\n", 200),
        ("a.example", "/a/hidden", "Accept: x\r\n", 502),
        ("a.example", "/a/hidden", "", 200),
        ("a.example", "/a/body", "", 200),
    ] {
        let found = gateway.ask(&asked(host, path, headers)).await.status;
        if found != status {
            faults.push(format!("{found}: {host} {path} {headers:?}"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[tokio::test]
async fn a_kept_answer_comes_before_the_fallback_and_while_the_breaker_is_open() {
    let fails = Arc::new(AtomicBool::new(false));
    let failing = Arc::clone(&fails);
    let upstream = Upstream::start(move |_| match failing.load(Ordering::SeqCst) {
        true => Reply::text(BROKEN),
        false => Reply::text("HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\nage: 61\r\ncontent-length: 4\r\n\r\nkept"),
    })
    .await;
    let file = RoutingFile::new(
        r#"routes = [{prefix = "/a", service = "order", cache = {stale_if_error_seconds = 60},
            breaker = {min_calls = 2, open_ms = 600000}, fallback = {body = "fixed"}}]"#,
    );
    let gateway = Gateway::routing(&upstream, &file).await;
    assert_eq!(get(&gateway, "/a/1").await.text(), "kept");
    fails.store(true, Ordering::SeqCst);
    get(&gateway, "/a/2").await.expect(500);
    for _ in 0..3 {
        let answer = get(&gateway, "/a/1").await.expect(200);
        assert_eq!(answer.text(), "kept");
        let told = answer.head.one("cache-status").unwrap();
        assert!(told.contains("detail=stale-if-error"), "{told}");
    }
    assert_eq!(get(&gateway, "/a/2").await.expect(200).text(), "fixed");
    let before = upstream.seen().len();
    get(&gateway, "/a/1").await.expect(200);
    assert_eq!(upstream.seen().len(), before, "the breaker is open");
}
