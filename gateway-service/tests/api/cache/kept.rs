//! What is kept, for whom, and what never is.

use common::auth::StoreClaim;
use testkit::{TestIdentity, wait_until};

use super::{asked, get, ok, request, start, told};
use crate::gateway::{Gateway, RoutingFile};
use crate::upstream::{Reply, Upstream};

const FRESH: &str = "cache-control: max-age=60\r\n";
const PUBLIC: &str = "cache-control: public, max-age=60\r\n";

#[tokio::test]
async fn a_kept_answer_is_given_to_the_next_who_asks() {
    let headers =
        format!("{FRESH}etag: \"v1\"\r\nlink: </a>\r\nlink: </b>\r\nx-request-id: theirs\r\n");
    let reply = ok(&headers, "hello");
    let (upstream, gateway) = start(move |_| Reply::text(&reply)).await;
    let first = gateway.ask(&get("/c/a?q=1", "")).await.expect(200);
    assert_eq!(told(&first), "maru; fwd=uri-miss; stored");
    assert_eq!(first.head.one("age"), None);
    let second = gateway.ask(&get("/c/a?q=1", "")).await.expect(200);
    assert!(
        told(&second).starts_with("maru; hit; ttl="),
        "{}",
        told(&second)
    );
    assert_eq!(
        (first.text(), second.text()),
        ("hello".into(), "hello".into())
    );
    assert_eq!(second.head.all("link"), ["</a>", "</b>"]);
    assert_eq!(second.head.one("etag").as_deref(), Some("\"v1\""));
    assert_eq!(second.head.one("age").as_deref(), Some("0"));
    let date = second.head.one("date").unwrap();
    assert!(date.ends_with(" GMT"), "{date}");
    // What belongs to one request is made for each.
    let ids = [
        first.head.one("x-request-id"),
        second.head.one("x-request-id"),
    ];
    assert_ne!(ids[0], ids[1]);
    assert_eq!(upstream.seen().len(), 1);
    let head = gateway
        .ask(&request("HEAD", "/c/a?q=1", ""))
        .await
        .expect(200);
    assert_eq!(head.head.one("content-length").as_deref(), Some("5"));
    assert_eq!(upstream.seen().len(), 1);
}

#[tokio::test]
async fn the_key_is_scheme_host_path_and_query_and_nothing_that_a_client_adds() {
    let reply = ok(FRESH, "x");
    let (upstream, gateway) = start(move |_| Reply::text(&reply)).await;
    let keyed = [
        get("/c/a", ""),
        get("/c/b", ""),
        get("/c/a?", ""),
        get("/c/a?x=1&y=2", ""),
        get("/c/a?y=2&x=1", ""),
        get("/c/a/", ""),
        "GET /c/a HTTP/1.1\r\nHost: other.example\r\n\r\n".to_owned(),
        "GET http://third.example/c/a HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
        "GET /c/a HTTP/1.0\r\n\r\n".to_owned(),
    ];
    for (count, request) in keyed.iter().enumerate() {
        gateway.ask(request).await.expect(200);
        assert_eq!(upstream.seen().len(), count + 1, "{request}");
    }
    let hits = [
        "GET /c/a HTTP/1.1\r\nHost: SHOP.example\r\n\r\n".to_owned(),
        get("/c/%61", ""),
        get(
            "/c/a",
            "X-Forwarded-Host: evil.example\r\nX-Forwarded-Proto: https\r\nX-Original-URL: /x\r\n",
        ),
        get("/c/a", "X-Anything: 1\r\nAccept-Language: ko\r\n"),
    ];
    for request in hits {
        let answer = gateway.ask(&request).await.expect(200);
        assert!(
            told(&answer).starts_with("maru; hit"),
            "{request} {}",
            told(&answer)
        );
    }
    // What the client says of forwarding reaches nobody, so it poisons nothing.
    for seen in upstream.seen() {
        assert_ne!(
            seen.head.one("x-forwarded-host").as_deref(),
            Some("evil.example")
        );
    }
}

/// Answers that are not for others, by the path at which they are given.
fn unkept(path: &str) -> Reply {
    let name = path.rsplit('/').next().unwrap_or_default();
    let with = |headers: &str| Reply::text(&ok(headers, "x"));
    match name {
        "silent" => with(""),
        "no-store" => with("Cache-Control: max-age=60\r\nCache-Control: No-Store\r\n"),
        "private" => with("cache-control: Private, max-age=60\r\n"),
        "fields" => with("cache-control: private=\"x-a, x-b\", max-age=60\r\n"),
        "unreadable" => with("cache-control: max-age=60, x=\"\r\n"),
        "cookie" => with(&format!("{PUBLIC}set-cookie: a=b\r\n")),
        "vary-all" => with(&format!("{PUBLIC}vary: *\r\n")),
        "vary-more" => with(&format!("{PUBLIC}vary: accept\r\nvary: x, *\r\n")),
        "vary-own" => with(&format!("{PUBLIC}vary: X-Forwarded-For\r\n")),
        "vary-who" => with(&format!("{PUBLIC}vary: x-maru-subject\r\n")),
        "events" => with(&format!("{PUBLIC}content-type: text/event-stream\r\n")),
        "old" => with("cache-control: max-age=60\r\nage: 61\r\n"),
        "ancient" => with("cache-control: max-age=60\r\nage: 99999999999999999999\r\n"),
        "expired" => with(
            "date: Sat, 21 Nov 2020 12:00:00 GMT\r\nexpires: Sat, 21 Nov 2020 12:01:00 GMT\r\n",
        ),
        "part" => Reply::text(&format!(
            "HTTP/1.1 206 P\r\n{PUBLIC}content-range: bytes 0-0/9\r\ncontent-length: 1\r\n\r\nx"
        )),
        "forged" => with(&format!("{PUBLIC}content-range: bytes 0-0/9\r\n")),
        "error" => Reply::text(&format!(
            "HTTP/1.1 500 X\r\n{PUBLIC}content-length: 1\r\n\r\nx"
        )),
        "bad" => Reply::text(&format!(
            "HTTP/1.1 400 X\r\n{PUBLIC}content-length: 1\r\n\r\nx"
        )),
        "to-the-end" => Reply::ThenClose(format!("HTTP/1.1 200 OK\r\n{PUBLIC}\r\nx").into_bytes()),
        "cut" => Reply::ThenClose(
            format!("HTTP/1.1 200 OK\r\n{PUBLIC}content-length: 9\r\n\r\nx").into_bytes(),
        ),
        "torn" => Reply::ThenClose(
            format!("HTTP/1.1 200 OK\r\n{PUBLIC}transfer-encoding: chunked\r\n\r\n1\r\nx\r\n")
                .into_bytes(),
        ),
        _ => panic!("{path}"),
    }
}

#[tokio::test]
async fn what_is_not_for_others_or_not_whole_is_never_kept() {
    let (upstream, gateway) =
        start(|seen| unkept(seen.head.start.split(' ').nth(1).unwrap_or_default())).await;
    for name in [
        "silent",
        "no-store",
        "private",
        "fields",
        "unreadable",
        "cookie",
        "vary-all",
        "vary-more",
        "vary-own",
        "vary-who",
        "events",
        "old",
        "ancient",
        "expired",
        "part",
        "forged",
        "error",
        "bad",
        "to-the-end",
        "cut",
        "torn",
    ] {
        let path = format!("/c/{name}");
        for round in 1..=2 {
            let answer = gateway.ask(&get(&path, "")).await;
            assert!(!told(&answer).contains("hit"), "{name}: {}", told(&answer));
            assert!(
                !told(&answer).contains("stored")
                    || name == "torn"
                    || name == "old"
                    || name == "ancient"
                    || name == "expired",
                "{name}: {}",
                told(&answer)
            );
            assert_eq!(asked(&upstream, &path), round, "{name}");
            match name {
                "cut" => drop(answer.problem(502, "bad_gateway")),
                "torn" => assert!(!answer.complete),
                _ => assert_eq!(
                    (answer.text(), answer.complete),
                    ("x".into(), true),
                    "{name}"
                ),
            }
        }
    }
}

#[tokio::test]
async fn requests_that_want_something_else_pass_by() {
    let reply = ok(FRESH, "hello");
    let (upstream, gateway) = start(move |seen| match seen.head.start.starts_with("HEAD") {
        true => {
            Reply::text("HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ncontent-length: 5\r\n\r\n")
        }
        false => Reply::text(&reply),
    })
    .await;
    let beside = [
        (request("HEAD", "/c/a", ""), "maru; fwd=uri-miss"),
        (request("OPTIONS", "/c/a", ""), "maru; fwd=method"),
        (get("/c/a", "Range: bytes=0-1\r\n"), "maru; fwd=request"),
        (get("/c/a", "If-Range: \"a\"\r\n"), "maru; fwd=request"),
        (get("/c/a", "If-Match: \"a\"\r\n"), "maru; fwd=request"),
        (
            get("/c/a", "X-HTTP-Method-Override: DELETE\r\n"),
            "maru; fwd=request",
        ),
        (
            get("/c/a", "Cache-Control: no-store\r\n"),
            "maru; fwd=request",
        ),
        (
            get("/c/a", "Content-Length: 1\r\n") + "x",
            "maru; fwd=request",
        ),
    ];
    for (count, (request, expected)) in beside.iter().enumerate() {
        let answer = gateway.ask(request).await.expect(200);
        assert_eq!(told(&answer), *expected, "{request}");
        assert_eq!(upstream.seen().len(), count + 1, "{request}");
    }
    // Nothing of all that was kept, and nothing of it gets what is kept now.
    let answer = gateway.ask(&get("/c/a", "")).await.expect(200);
    assert_eq!(
        (told(&answer).as_str(), answer.text()),
        ("maru; fwd=uri-miss; stored", "hello".into())
    );
    let before = upstream.seen().len();
    for (request, expected) in beside.iter().skip(1) {
        assert_eq!(told(&gateway.ask(request).await), *expected);
    }
    assert_eq!(upstream.seen().len(), before + beside.len() - 1);
    let answer = gateway.ask(&get("/off/a", "")).await.expect(200);
    assert_eq!(told(&answer), "");
}

#[tokio::test]
async fn who_says_who_he_is_gets_and_leaves_only_what_is_for_everybody() {
    let (upstream, gateway) = start(|seen| {
        let control = match seen.head.start.contains("public") {
            true => "public, max-age=60",
            false => "max-age=60, must-revalidate",
        };
        let who = ["authorization", "cookie", "x-api-key"].map(|name| seen.head.all(name).concat());
        Reply::text(&ok(
            &format!("cache-control: {control}\r\n"),
            &format!("for {}", who.concat()),
        ))
    })
    .await;
    for (number, name) in ["Authorization", "Cookie", "X-Api-Key"].iter().enumerate() {
        let path = format!("/c/{number}");
        let alice = get(&path, &format!("{name}: alice\r\n"));
        let bob = get(&path, &format!("{name}: bob\r\n"));
        assert_eq!(gateway.ask(&alice).await.text(), "for alice");
        assert_eq!(gateway.ask(&get(&path, "")).await.text(), "for ");
        assert_eq!(gateway.ask(&bob).await.text(), "for bob");
        assert_eq!(gateway.ask(&alice).await.text(), "for alice");
        assert_eq!(asked(&upstream, &path), 4);
        let path = format!("/c/public/{number}");
        let alice = get(&path, &format!("{name}: alice\r\n"));
        for _ in 0..2 {
            assert_eq!(gateway.ask(&alice).await.text(), "for alice");
            assert_eq!(gateway.ask(&get(&path, "")).await.text(), "for alice");
        }
        assert_eq!(asked(&upstream, &path), 1);
    }
}

#[tokio::test]
async fn an_answer_for_a_known_caller_is_for_nobody_else() {
    let identity = TestIdentity::new();
    let upstream = Upstream::start(|seen| {
        let who = seen.head.one("x-maru-subject").unwrap_or_default();
        Reply::text(&ok(FRESH, &who))
    })
    .await;
    upstream.set_keys(&identity.jwks());
    let routes = RoutingFile::new(
        "routes = [{prefix = \"/c\", service = \"order\", auth = \"required\", cache = {default_seconds = 60}}]",
    );
    let gateway = Gateway::routing(&upstream, &routes).await;
    let mut seen = std::collections::BTreeSet::new();
    for role in [common::auth::Role::Crew, common::auth::Role::Kiosk] {
        let token = identity.user(&[role], StoreClaim::ALL);
        let headers = format!("Authorization: Bearer {token}\r\n");
        let answer = gateway.ask(&get("/c", &headers)).await.expect(200);
        assert_eq!(told(&answer), "maru; fwd=uri-miss");
        seen.insert(answer.text());
    }
    assert_eq!(seen.len(), 2);
    gateway
        .ask(&get("/c", ""))
        .await
        .problem(401, "token_missing");
}

#[tokio::test]
async fn answers_differ_by_what_they_say_they_differ_by() {
    let (upstream, gateway) = start(|seen| {
        let vary = match seen.head.start.contains("tenant") {
            true => "",
            false => "vary: Accept-Language, X-A\r\n",
        };
        let what = ["accept-language", "x-a", "x-tenant"].map(|name| seen.head.all(name).join("|"));
        Reply::text(&ok(&format!("{FRESH}{vary}"), &what.join("/")))
    })
    .await;
    let variants = [
        "",
        "Accept-Language: ko\r\n",
        "Accept-Language: en\r\n",
        "Accept-Language: ko\r\nX-A: 1\r\n",
        "Accept-Language: ko\r\nX-A: 1\r\nX-A: 2\r\n",
        "Accept-Language: ko\r\nX-A: 2\r\n",
    ];
    let mut first = Vec::new();
    for headers in variants {
        first.push(gateway.ask(&get("/c/a", headers)).await.text());
    }
    let before = upstream.seen().len();
    assert_eq!(before, variants.len());
    for (headers, first) in variants.iter().zip(&first) {
        let again = gateway.ask(&get("/c/a", headers)).await;
        assert_eq!(
            (again.text(), told(&again).contains("hit")),
            (first.clone(), true),
            "{headers}"
        );
    }
    // A header that ends at the gateway was not seen by the service.
    let hidden = "Accept-Language: ko\r\nX-A: 7\r\nConnection: x-a\r\n";
    assert_eq!(gateway.ask(&get("/c/a", hidden)).await.text(), "ko//");
    let shown = gateway
        .ask(&get("/c/a", "Accept-Language: ko\r\nX-A: 7\r\n"))
        .await;
    assert_eq!(shown.text(), "ko/7/");
    // The route knows of a difference that the service does not tell.
    for tenant in ["one", "two", "one"] {
        let headers = format!("X-Tenant: {tenant}\r\n");
        let answer = gateway.ask(&get("/default/tenant", &headers)).await;
        assert_eq!(answer.text(), format!("//{tenant}"));
    }
    assert_eq!(asked(&upstream, "/default/tenant"), 2);
}

#[tokio::test]
async fn a_coding_that_a_client_cannot_read_is_not_given_to_it() {
    let (upstream, gateway) = start(|seen| match seen.head.one("accept-encoding").as_deref() {
        Some("gzip") => Reply::text(&ok(&format!("{FRESH}content-encoding: gzip\r\n"), "zip")),
        _ => Reply::text(&ok(FRESH, "plain")),
    })
    .await;
    assert_eq!(
        gateway
            .ask(&get("/c/a", "Accept-Encoding: gzip\r\n"))
            .await
            .text(),
        "zip"
    );
    assert_eq!(gateway.ask(&get("/c/a", "")).await.text(), "plain");
    assert_eq!(upstream.seen().len(), 2);
}

#[tokio::test]
async fn bodies_without_a_length_are_kept_when_they_have_come_to_their_end() {
    let (upstream, gateway) = start(|_| {
        Reply::text(&format!("HTTP/1.1 200 OK\r\n{FRESH}transfer-encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"))
    })
    .await;
    assert_eq!(gateway.ask(&get("/c/a", "")).await.text(), "hello");
    let again = gateway.ask(&get("/c/a", "")).await;
    assert_eq!(
        (again.text(), told(&again).contains("hit")),
        ("hello".into(), true)
    );
    assert_eq!(again.head.one("content-length").as_deref(), Some("5"));
    // Too long for the route.
    for round in 1..=2 {
        let answer = gateway.ask(&get("/small/a", "")).await;
        assert_eq!((answer.text(), answer.complete), ("hello".into(), true));
        assert_eq!(asked(&upstream, "/small/a"), round);
    }
}

#[tokio::test]
async fn an_answer_that_is_too_large_passes_and_is_not_kept() {
    let reply = ok(FRESH, "hello");
    let (upstream, gateway) = start(move |_| Reply::text(&reply)).await;
    for round in 1..=2 {
        let answer = gateway.ask(&get("/small/a", "")).await;
        assert_eq!(
            (answer.text(), told(&answer)),
            ("hello".into(), "maru; fwd=uri-miss".into())
        );
        assert_eq!(asked(&upstream, "/small/a"), round);
    }
}

#[tokio::test]
async fn all_kept_answers_together_stay_within_their_bound() {
    let reply = ok(FRESH, &"x".repeat(10_000));
    let upstream = Upstream::start(move |_| Reply::text(&reply)).await;
    let settings = [("GATEWAY__CACHE__MAX_BYTES", "100000")];
    let routes = RoutingFile::new(super::ROUTES);
    let gateway = Gateway::routing_with(&upstream, &routes, &settings).await;
    for number in 0..50 {
        gateway
            .ask(&get(&format!("/c/{number}"), ""))
            .await
            .expect(200);
        let metrics = gateway.ask(&get("/metrics", "")).await.text();
        let line = metrics
            .lines()
            .find(|line| line.starts_with("gateway_cache_bytes "));
        let bytes: f64 = line.unwrap().rsplit(' ').next().unwrap().parse().unwrap();
        assert!(bytes <= 100_000.0, "{bytes}");
    }
    // Some of the last ones are there.
    let before = upstream.seen().len();
    for number in 40..50 {
        gateway
            .ask(&get(&format!("/c/{number}"), ""))
            .await
            .expect(200);
    }
    assert!(upstream.seen().len() < before + 10);
}

#[tokio::test]
async fn every_client_gets_a_kept_answer_in_a_form_that_it_can_read() {
    let text = "All work and no play makes Jack a dull boy. ".repeat(100);
    let reply = ok(
        &format!("{FRESH}content-type: text/plain\r\netag: \"v1\"\r\n"),
        &text,
    );
    let upstream = Upstream::start(move |_| Reply::text(&reply)).await;
    let routes = "routes = [{prefix = \"/c\", service = \"order\", cache = {}, compress = true}]";
    let gateway = Gateway::routing(&upstream, &RoutingFile::new(routes)).await;
    for round in 0..2 {
        let zipped = gateway
            .ask(&get("/c", "Accept-Encoding: gzip\r\n"))
            .await
            .expect(200);
        assert_eq!(
            zipped.head.one("content-encoding").as_deref(),
            Some("gzip"),
            "{round}"
        );
        assert_eq!(zipped.head.one("etag").as_deref(), Some("W/\"v1\""));
        assert!(zipped.body.bytes < 1_000);
        let plain = gateway.ask(&get("/c", "")).await.expect(200);
        assert_eq!(
            (plain.head.one("content-encoding"), plain.text()),
            (None, text.clone())
        );
        assert!(plain.head.one("vary").unwrap().contains("accept-encoding"));
    }
    assert_eq!(upstream.seen().len(), 1);
    let known = gateway
        .ask(&get("/c", "If-None-Match: W/\"v1\"\r\n"))
        .await
        .expect(304);
    assert!(told(&known).starts_with("maru; hit"));
}

#[tokio::test]
async fn a_change_of_the_routes_does_not_bring_back_another_service_s_answer() {
    let upstream = Upstream::start(|seen| {
        let path = seen.head.start.split(' ').nth(1).unwrap_or_default();
        Reply::text(&ok(FRESH, path))
    })
    .await;
    let routes = |rewrite: &str| {
        format!(
            "routes = [{{prefix = \"/c\", service = \"order\", rewrite = \"{rewrite}\", cache = {{}}}}]"
        )
    };
    let file = RoutingFile::new(&routes("/v1"));
    let gateway = Gateway::routing(&upstream, &file).await;
    assert_eq!(gateway.ask(&get("/c/a", "")).await.text(), "/v1/a");
    file.write(&routes("/v2"));
    wait_until("the new routes", || async {
        gateway.ask(&get("/c/a", "")).await.text() == "/v2/a"
    })
    .await;
}
