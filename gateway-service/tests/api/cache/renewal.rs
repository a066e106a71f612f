//! How long an answer is given out, what is asked when it is old, and what makes it void.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{asked, get, ok, request, start, told};
use crate::upstream::{Reply, Seen};

/// Fresh for an hour, of which so much is over.
fn aged(seconds: u32, more: &str) -> String {
    format!("cache-control: max-age=3600\r\nage: {seconds}\r\n{more}")
}

fn conditions(seen: &Seen) -> [Option<String>; 2] {
    ["if-none-match", "if-modified-since"].map(|name| seen.head.one(name))
}

#[tokio::test]
async fn a_client_s_wishes_decide_what_is_fresh_enough_for_it() {
    let reply = ok(&aged(600, ""), "x");
    let (upstream, gateway) = start(move |_| Reply::text(&reply)).await;
    gateway.ask(&get("/c/a", "")).await.expect(200);
    for (wish, hit) in [
        ("max-age=3000", true),
        ("max-age=500", false),
        ("Max-Age=0", false),
        ("min-fresh=2000", true),
        ("min-fresh=3100", false),
        ("no-cache", false),
        ("only-if-cached", true),
        ("max-stale", true),
    ] {
        let answer = gateway
            .ask(&get("/c/a", &format!("Cache-Control: {wish}\r\n")))
            .await
            .expect(200);
        assert_eq!(
            told(&answer).contains("hit"),
            hit,
            "{wish}: {}",
            told(&answer)
        );
        let age: u64 = answer.head.one("age").unwrap().parse().unwrap();
        assert!((600..660).contains(&age), "{wish}");
    }
    let answer = gateway
        .ask(&get("/c/a", "Pragma: no-cache\r\n"))
        .await
        .expect(200);
    assert_eq!(told(&answer), "maru; fwd=request; stored");
    let before = upstream.seen().len();
    let only = get("/c/b", "Cache-Control: only-if-cached\r\n");
    gateway.ask(&only).await.problem(504, "not_cached");
    assert_eq!(upstream.seen().len(), before);
}

#[tokio::test]
async fn what_is_old_is_given_to_who_takes_it_unless_the_service_forbids() {
    let (_upstream, gateway) = start(|seen| {
        let more = match seen.head.start.contains("strict") {
            true => "cache-control: must-revalidate\r\netag: \"a\"\r\n",
            false => "etag: \"a\"\r\n",
        };
        Reply::text(&ok(&aged(3_700, more), "x"))
    })
    .await;
    for (path, wish, hit) in [
        ("/c/a", "max-stale", true),
        ("/c/a", "max-stale=50", false),
        ("/c/a", "max-stale=500", true),
        ("/c/a", "min-fresh=1", false),
        ("/c/strict", "max-stale", false),
    ] {
        gateway.ask(&get(path, "")).await.expect(200);
        let answer = gateway
            .ask(&get(path, &format!("Cache-Control: {wish}\r\n")))
            .await
            .expect(200);
        assert_eq!(
            told(&answer).contains("hit"),
            hit,
            "{path} {wish}: {}",
            told(&answer)
        );
    }
}

#[tokio::test]
async fn clients_that_have_a_kept_answer_are_told_so() {
    let modified = "Sat, 21 Nov 2020 12:00:00 GMT";
    let both = format!(
        "cache-control: max-age=60\r\netag: \"a,b\"\r\nlast-modified: {modified}\r\ncontent-type: text/plain\r\n"
    );
    let reply = ok(&both, "hello");
    let (upstream, gateway) = start(move |_| Reply::text(&reply)).await;
    gateway.ask(&get("/c/a", "")).await.expect(200);
    for (headers, status) in [
        ("If-None-Match: \"a,b\"\r\n", 304),
        ("If-None-Match: W/\"a,b\"\r\n", 304),
        ("If-None-Match: \"x\", \"a,b\"\r\n", 304),
        ("If-None-Match: \"x\"\r\nIf-None-Match: \"a,b\"\r\n", 304),
        ("If-None-Match: *\r\n", 304),
        ("If-None-Match: \"a\"\r\n", 200),
        ("If-Modified-Since: Sat, 21 Nov 2020 12:00:00 GMT\r\n", 304),
        ("If-Modified-Since: Sat, 21 Nov 2020 11:59:59 GMT\r\n", 200),
        ("If-Modified-Since: yesterday\r\n", 200),
        // The tag decides where there is one.
        (
            "If-None-Match: \"x\"\r\nIf-Modified-Since: Sat, 21 Nov 2026 12:00:00 GMT\r\n",
            200,
        ),
    ] {
        let answer = gateway.ask(&get("/c/a", headers)).await.expect(status);
        assert!(told(&answer).starts_with("maru; hit"), "{headers}");
        assert_eq!(answer.head.one("etag").as_deref(), Some("\"a,b\""));
        if status == 304 {
            let about_the_body =
                ["content-type", "content-length"].map(|name| answer.head.one(name));
            assert_eq!(about_the_body, [None, None]);
        }
    }
    assert_eq!(upstream.seen().len(), 1);
}

#[tokio::test]
async fn an_old_answer_is_asked_about_and_renewed_by_304() {
    let modified = "last-modified: Sat, 21 Nov 2020 12:00:00 GMT\r\n";
    let (upstream, gateway) = start(move |seen| match conditions(seen) {
        [None, None] => {
            let headers = format!("{modified}etag: \"v1\"\r\nx-kept: old\r\nx-changed: old\r\ncontent-type: text/plain\r\n");
            Reply::text(&ok(&aged(3_700, &headers), "hello"))
        }
        _ => Reply::text("HTTP/1.1 304 X\r\ncache-control: max-age=60\r\nx-changed: new\r\nx-changed: newer\r\ncontent-type: text/html\r\ncontent-length: 99\r\n\r\n"),
    })
    .await;
    gateway.ask(&get("/c/a", "")).await.expect(200);
    let renewed = gateway
        .ask(&get("/c/a", "If-None-Match: \"other\"\r\n"))
        .await
        .expect(200);
    assert_eq!(told(&renewed), "maru; fwd=stale; fwd-status=304");
    let validating = upstream.seen().pop().unwrap();
    assert_eq!(
        conditions(&validating),
        [
            Some("\"v1\"".into()),
            Some("Sat, 21 Nov 2020 12:00:00 GMT".into())
        ]
    );
    for answer in [renewed, gateway.ask(&get("/c/a", "")).await.expect(200)] {
        assert_eq!((answer.text(), answer.complete), ("hello".into(), true));
        assert_eq!(answer.head.all("x-changed"), ["new", "newer"]);
        assert_eq!(answer.head.one("x-kept").as_deref(), Some("old"));
        assert_eq!(
            answer.head.one("content-type").as_deref(),
            Some("text/plain")
        );
        assert_eq!(
            answer.head.one("cache-control").as_deref(),
            Some("max-age=60")
        );
    }
    assert_eq!(upstream.seen().len(), 2);
    // The client's own condition is answered from what was renewed.
    let known = "If-None-Match: \"v1\"\r\nCache-Control: no-cache\r\n";
    let answer = gateway.ask(&get("/c/a", known)).await.expect(304);
    assert_eq!(told(&answer), "maru; fwd=request; fwd-status=304");
}

#[tokio::test]
async fn a_304_about_another_answer_is_not_believed() {
    let (upstream, gateway) = start(|seen| match conditions(seen) {
        [None, None] => Reply::text(&ok(&aged(3_700, "etag: \"v1\"\r\n"), "hello")),
        _ => Reply::text("HTTP/1.1 304 X\r\netag: \"v2\"\r\ncache-control: max-age=60\r\n\r\n"),
    })
    .await;
    gateway.ask(&get("/c/a", "")).await.expect(200);
    let answer = gateway.ask(&get("/c/a", "")).await.expect(200);
    assert_eq!(
        (answer.text(), answer.head.one("etag")),
        ("hello".into(), Some("\"v1\"".into()))
    );
    assert_eq!(upstream.seen().len(), 3);
}

#[tokio::test]
async fn a_304_that_forbids_keeping_makes_the_kept_answer_void() {
    let (upstream, gateway) = start(|seen| {
        let more = match seen.head.start.contains("cookie") {
            true => "set-cookie: a=b\r\ncache-control: max-age=60\r\n",
            false => "cache-control: no-store\r\n",
        };
        match conditions(seen) {
            [None, None] => Reply::text(&ok(&aged(3_700, "etag: \"v1\"\r\n"), "hello")),
            _ => Reply::text(&format!("HTTP/1.1 304 X\r\n{more}\r\n")),
        }
    })
    .await;
    for path in ["/c/cookie", "/c/store"] {
        for _ in 0..2 {
            assert_eq!(
                gateway.ask(&get(path, "")).await.expect(200).text(),
                "hello"
            );
        }
        let third = gateway.ask(&get(path, "")).await.expect(200);
        assert_eq!(
            (third.head.one("set-cookie"), asked(&upstream, path)),
            (None, 3)
        );
        assert_eq!(told(&third), "maru; fwd=uri-miss; stored");
    }
}

#[tokio::test]
async fn a_new_answer_takes_the_place_of_the_old_one() {
    let turn = Arc::new(AtomicUsize::new(0));
    let turns = Arc::clone(&turn);
    let (_upstream, gateway) = start(move |_| match turns.load(Ordering::SeqCst) {
        0 => Reply::text(&ok(&aged(3_700, "etag: \"v1\"\r\n"), "one")),
        1 => Reply::text(&ok(&aged(0, "etag: \"v2\"\r\n"), "two")),
        _ => Reply::text(&ok("cache-control: private\r\n", "three")),
    })
    .await;
    assert_eq!(gateway.ask(&get("/c/a", "")).await.text(), "one");
    turn.store(1, Ordering::SeqCst);
    for _ in 0..2 {
        assert_eq!(gateway.ask(&get("/c/a", "")).await.text(), "two");
    }
    turn.store(2, Ordering::SeqCst);
    let fresh = get("/c/a", "Cache-Control: no-cache\r\n");
    assert_eq!(gateway.ask(&fresh).await.text(), "three");
    // What was not to be kept has made void what was.
    let answer = gateway.ask(&get("/c/a", "")).await;
    assert_eq!(
        (answer.text(), told(&answer)),
        ("three".into(), "maru; fwd=uri-miss".into())
    );
}

#[tokio::test]
async fn a_change_makes_void_what_is_kept_of_its_resource() {
    let (upstream, gateway) = start(|seen| match seen.head.start.split(' ').next() {
        Some("GET") => Reply::text(&ok("cache-control: max-age=60\r\n", "x")),
        _ => match seen.head.one("x-status").as_deref() {
            Some(status) => Reply::text(&format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\n\r\n")),
            None => Reply::text("HTTP/1.1 201 X\r\nlocation: /c/new#part\r\ncontent-location: http://shop.example/c/list?a=1\r\ncontent-length: 0\r\n\r\n"),
        },
    })
    .await;
    let places = ["/c/a", "/c/new", "/c/list?a=1", "/c/other"];
    let asked_at = |place: &'static str| asked(&upstream, place);
    for method in ["POST", "PUT", "PATCH", "DELETE", "PURGE"] {
        for place in places {
            gateway.ask(&get(place, "")).await.expect(200);
        }
        let before = places.map(asked_at);
        gateway.ask(&request(method, "/c/a", "")).await.expect(201);
        for place in places {
            gateway.ask(&get(place, "")).await.expect(200);
        }
        // The change itself counts for the first one.
        let after = places.map(asked_at);
        let more: Vec<usize> = after
            .iter()
            .zip(before)
            .map(|(after, before)| after - before)
            .collect();
        assert_eq!(more, [2, 1, 1, 0], "{method}");
    }
    // What was refused changed nothing; of what broke nobody knows.
    for (status, hit) in [("404", true), ("409", true), ("500", false), ("303", false)] {
        gateway.ask(&get("/c/a", "")).await.expect(200);
        gateway
            .ask(&request("POST", "/c/a", &format!("X-Status: {status}\r\n")))
            .await;
        let answer = gateway.ask(&get("/c/a", "")).await;
        assert_eq!(told(&answer).contains("hit"), hit, "{status}");
    }
}

#[tokio::test]
async fn an_old_answer_stands_in_for_a_service_that_fails() {
    let state = Arc::new(AtomicUsize::new(0));
    let states = Arc::clone(&state);
    let (upstream, gateway) = start(move |seen| {
        let path = seen.head.start.split(' ').nth(1).unwrap_or_default();
        let more = match path.rsplit('/').next() {
            Some("strict") => "cache-control: must-revalidate\r\netag: \"a\"\r\n",
            Some("own") => "cache-control: stale-if-error=600\r\n",
            Some("short") => "cache-control: stale-if-error=1\r\netag: \"a\"\r\n",
            _ => "etag: \"a\"\r\n",
        };
        match states.load(Ordering::SeqCst) {
            0 => Reply::text(&ok(&aged(3_610, more), "kept")),
            1 => Reply::text("HTTP/1.1 503 X\r\ncontent-length: 4\r\n\r\nbusy"),
            2 => Reply::ThenClose(
                b"HTTP/1.1 200 OK\r\ncache-control: max-age=9\r\ncontent-length: 9\r\n\r\nx"
                    .to_vec(),
            ),
            _ => Reply::text("HTTP/1.1 404 X\r\ncontent-length: 4\r\n\r\ngone"),
        }
    })
    .await;
    let all = [
        "/spare/a",
        "/c/own",
        "/spare/strict",
        "/spare/short",
        "/c/none",
    ];
    for path in all {
        assert_eq!(gateway.ask(&get(path, "")).await.expect(200).text(), "kept");
    }
    for now in 1..=2 {
        state.store(now, Ordering::SeqCst);
        for (number, path) in all.iter().enumerate() {
            let answer = gateway.ask(&get(path, "")).await;
            let stands_in = number < 2;
            assert_eq!(answer.text() == "kept", stands_in, "{path} {now}");
            assert_eq!(
                told(&answer).contains("detail=stale-if-error"),
                stands_in,
                "{path}"
            );
            assert_eq!(answer.status == 200, stands_in, "{path}");
        }
    }
    // Gone is no failure.
    state.store(3, Ordering::SeqCst);
    assert_eq!(
        gateway.ask(&get("/c/own", "")).await.expect(404).text(),
        "gone"
    );
    // Nobody there at all.
    state.store(0, Ordering::SeqCst);
    gateway.ask(&get("/spare/b", "")).await.expect(200);
    upstream.stop().await;
    let answer = gateway.ask(&get("/spare/b", "")).await.expect(200);
    assert!(
        told(&answer).contains("detail=stale-if-error"),
        "{}",
        told(&answer)
    );
    gateway.ask(&get("/spare/c", "")).await.expect(503);
}
