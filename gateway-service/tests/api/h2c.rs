//! HTTP/2 without TLS.

use std::time::Duration;

use bytes::Bytes;
use h2::RecvStream;
use h2::client::SendRequest;
use testkit::wait_until;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::gateway::Gateway;
use crate::messages::Body;
use crate::upstream::{Reply, Upstream};

const ENABLED: [(&str, &str); 1] = [("GATEWAY__H2C__ENABLED", "true")];

async fn start() -> (Upstream, Gateway) {
    let upstream = Upstream::start(|seen| Reply::ok(&seen.body.text())).await;
    let gateway = Gateway::with(&upstream.url(), &ENABLED).await;
    (upstream, gateway)
}

/// One whose clients may take nothing for so long.
async fn with_patience(upstream: &Upstream, patience: Duration) -> Gateway {
    let patience = patience.as_millis().to_string();
    let settings = [
        ENABLED[0],
        ("GATEWAY__LIMITS__TAKE_TIMEOUT_MS", patience.as_str()),
    ];
    Gateway::with(&upstream.url(), &settings).await
}

async fn connect(gateway: &Gateway) -> SendRequest<Bytes> {
    let stream = TcpStream::connect(gateway.address()).await.unwrap();
    let (sender, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(async move {
        let _ended = connection.await;
    });
    sender
}

/// The status and body of an answer.
async fn ask(
    sender: &mut SendRequest<Bytes>,
    request: http::request::Builder,
    body: &'static str,
) -> (http::Response<()>, String) {
    let mut ready = sender.clone().ready().await.unwrap();
    let request = request.body(()).unwrap();
    let (answer, mut upload) = ready.send_request(request, body.is_empty()).unwrap();
    if !body.is_empty() {
        upload
            .send_data(Bytes::from_static(body.as_bytes()), true)
            .unwrap();
    }
    let (head, mut stream) = answer.await.unwrap().into_parts();
    let mut got = Vec::new();
    while let Some(data) = stream.data().await {
        let data = data.unwrap();
        stream.flow_control().release_capacity(data.len()).unwrap();
        got.extend_from_slice(&data);
    }
    (
        http::Response::from_parts(head, ()),
        String::from_utf8(got).unwrap(),
    )
}

fn request(method: &str, path: &str) -> http::request::Builder {
    http::Request::builder()
        .method(method)
        .uri(format!("http://shop.example{path}"))
}

#[tokio::test]
async fn requests_pass_many_at_a_time_on_one_connection() {
    let (upstream, gateway) = start().await;
    let sender = connect(&gateway).await;
    let all = (0..20).map(|number| {
        let mut sender = sender.clone();
        async move {
            let body = if number % 2 == 0 { "" } else { "hello" };
            let method = if number % 2 == 0 { "GET" } else { "POST" };
            let (head, got) = ask(&mut sender, request(method, "/api/orders?a=%2F"), body).await;
            assert_eq!((head.status().as_u16(), got.as_str()), (200, body));
        }
    });
    futures_util::future::join_all(all).await;
    assert_eq!(upstream.seen().len(), 20);
    for seen in upstream.seen() {
        let host = seen.head.one("x-forwarded-host");
        assert_eq!(host.as_deref(), Some("shop.example"));
        assert_eq!(seen.head.one("x-forwarded-proto").as_deref(), Some("http"));
        assert!(seen.head.start.ends_with(" /api/orders?a=%2F HTTP/1.1"));
    }
}

#[tokio::test]
async fn the_rules_of_the_edge_hold_there_too() {
    let (upstream, gateway) = start().await;
    let mut sender = connect(&gateway).await;
    for (method, path, status) in [
        ("GET", "/internal/x", 404),
        ("GET", "/api/orders/%2e%2e/x", 400),
        ("TRACE", "/api/orders", 405),
        ("GET", "/nowhere", 404),
        ("GET", "/health", 200),
    ] {
        let (head, _) = ask(&mut sender, request(method, path), "").await;
        assert_eq!(head.status().as_u16(), status, "{method} {path}");
    }
    assert_eq!(upstream.seen().len(), 0);
    // Who a client is, it does not say itself.
    let spoofed = request("GET", "/api/orders")
        .header("x-maru-subject", "owner")
        .header("x-forwarded-for", "10.0.0.1");
    ask(&mut sender, spoofed, "").await;
    let seen = upstream.only();
    assert_eq!(seen.head.one("x-maru-subject"), None);
    assert_eq!(
        seen.head.one("x-forwarded-for").as_deref(),
        Some("127.0.0.1")
    );
}

#[tokio::test]
async fn cookies_that_come_one_by_one_are_one_list_for_the_service() {
    let (upstream, gateway) = start().await;
    let mut sender = connect(&gateway).await;
    let crumbs = request("GET", "/api/orders")
        .header("cookie", "a=1")
        .header("accept", "text/plain")
        .header("cookie", "b=2; c=3")
        .header("cookie", "d=\"4\"");
    ask(&mut sender, crumbs, "").await;
    let head = upstream.only().head;
    assert_eq!(head.all("cookie"), ["a=1; b=2; c=3; d=\"4\""]);
    assert_eq!(head.all("accept"), ["text/plain"]);
}

#[tokio::test]
async fn http_1_1_is_spoken_there_too() {
    let (_upstream, gateway) = start().await;
    let mut client = gateway.connect().await;
    for _ in 0..2 {
        client
            .ask("GET /api/orders HTTP/1.1\r\nHost: x\r\n\r\n")
            .await
            .expect(200);
    }
    // Byte by byte, and with a method that begins like the other protocol.
    for request in [
        "GET /api/orders HTTP/1.1\r\nHost: x\r\n\r\n",
        "PRI /api/orders HTTP/1.1\r\nHost: x\r\n\r\n",
    ] {
        let mut client = gateway.connect().await;
        for byte in request.bytes() {
            client.send([byte]).await;
        }
        client.answer(false).await.unwrap().expect(200);
    }
}

#[tokio::test]
async fn the_first_words_may_come_in_pieces() {
    let (_upstream, gateway) = start().await;
    let mut client = gateway.connect().await;
    for piece in ["PR", "I * HTTP/2.0\r\n", "\r\nSM\r\n\r\n"] {
        client.send(piece).await;
        tokio::task::yield_now().await;
    }
    // An empty SETTINGS frame; the server's own comes first.
    client.send([0, 0, 0, 4, 0, 0, 0, 0, 0]).await;
    let part = client.reader.part().await.unwrap();
    assert_eq!(part.get(3), Some(&4), "{part:?}");
}

#[tokio::test]
async fn who_says_nothing_is_sent_away_in_time() {
    let upstream = Upstream::start(|_| Reply::ok("")).await;
    let limit = ("GATEWAY__LIMITS__HEAD_TIMEOUT_MS", "500");
    let gateway = Gateway::with(&upstream.url(), &[ENABLED[0], limit]).await;
    for beginning in ["", "PRI * HTTP"] {
        let mut client = gateway.connect().await;
        client.send(beginning).await;
        let mut word = Body::default();
        let reading = client.reader.rest(&mut word);
        let ended = tokio::time::timeout(Duration::from_secs(10), reading).await;
        assert!(ended.is_ok(), "{beginning:?} {:?}", word.text());
    }
}

#[tokio::test]
async fn without_the_setting_the_other_protocol_is_not_known() {
    let upstream = Upstream::start(|_| Reply::ok("")).await;
    let gateway = Gateway::before(&upstream).await;
    let mut client = gateway.connect().await;
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    let refused = client.answer(false).await;
    assert!(refused.is_none_or(|answer| answer.status >= 400));
    assert_eq!(upstream.seen().len(), 0);
}

#[tokio::test]
async fn who_opens_no_window_holds_no_place_at_a_service() {
    const PATIENCE: Duration = Duration::from_millis(800);
    // More than the window that a client has at first, and what waits in the system.
    const LENGTH: u64 = 4 << 20;
    const WINDOW: usize = 65_535;
    let upstream = Upstream::start(|_| {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {LENGTH}\r\n\r\n");
        Reply::Long(head.into_bytes(), LENGTH)
    })
    .await;
    let gateway = with_patience(&upstream, PATIENCE).await;
    let sender = connect(&gateway).await;

    let mut slow = sender.clone().ready().await.unwrap();
    let ask = || request("GET", "/api/orders").body(()).unwrap();
    let (answer, _upload) = slow.send_request(ask(), true).unwrap();
    let mut slow = answer.await.unwrap().into_body();
    // It takes a window's worth now and then, so that it is waited for; then nothing any more.
    for _ in 0..3 {
        tokio::time::sleep(PATIENCE / 2).await;
        let mut taken = 0;
        while taken < WINDOW {
            let data = slow.data().await.unwrap().unwrap();
            slow.flow_control().release_capacity(data.len()).unwrap();
            taken += data.len();
        }
        assert_eq!(upstream.closed(), 0);
    }
    wait_until("the service to be rid of it", || async {
        upstream.closed() == 1
    })
    .await;
    // Whoever is late after all is told that this is not the whole.
    let broken = loop {
        match slow.data().await.unwrap() {
            Ok(data) => slow.flow_control().release_capacity(data.len()).unwrap(),
            Err(error) => break error,
        }
    };
    assert!(broken.is_reset(), "{broken}");
    // Others on the same connection are not bothered.
    let mut quick = sender.ready().await.unwrap();
    let (answer, _upload) = quick.send_request(ask(), true).unwrap();
    let mut quick = answer.await.unwrap().into_body();
    let mut length = 0;
    while let Some(data) = quick.data().await {
        let data = data.unwrap();
        quick.flow_control().release_capacity(data.len()).unwrap();
        length += data.len();
    }
    assert_eq!(length as u64, LENGTH);
}

/// A connection of a client that takes nothing of any answer, and its end.
async fn without_windows(gateway: &Gateway) -> (SendRequest<Bytes>, JoinHandle<()>) {
    let stream = TcpStream::connect(gateway.address()).await.unwrap();
    let client = h2::client::Builder::new()
        .initial_window_size(0)
        .handshake(stream);
    let (sender, connection) = client.await.unwrap();
    let ended = tokio::spawn(async move {
        let _ended = connection.await;
    });
    (sender, ended)
}

/// The head of an answer, whose body is left where it is.
async fn head_of(sender: &SendRequest<Bytes>, path: &str) -> http::Response<RecvStream> {
    let mut sender = sender.clone().ready().await.unwrap();
    let request = request("GET", path).body(()).unwrap();
    let (answer, _upload) = sender.send_request(request, true).unwrap();
    answer.await.unwrap()
}

#[tokio::test]
async fn a_connection_has_so_many_streams_and_no_more() {
    const MOST: usize = 8;
    let upstream = Upstream::start(|_| Reply::ok("")).await;
    let most = MOST.to_string();
    let limit = ("GATEWAY__LIMITS__MAX_STREAMS_PER_CONNECTION", most.as_str());
    let gateway = Gateway::with(&upstream.url(), &[ENABLED[0], limit]).await;
    let (sender, _ended) = without_windows(&gateway).await;
    let mut waiting = Vec::new();
    for _ in 0..MOST {
        let answer = head_of(&sender, "/nowhere").await;
        assert_eq!(answer.status(), 404);
        waiting.push(answer);
    }
    for path in ["/nowhere", "/api/orders", "/health"] {
        let refused = head_of(&sender, path).await;
        assert_eq!(refused.status(), 503, "{path}");
        assert!(refused.headers().contains_key("retry-after"));
        assert!(refused.body().is_end_stream(), "it waits for a window too");
    }
    assert_eq!(upstream.seen().len(), 0);
    // Another connection has its own.
    let mut other = connect(&gateway).await;
    let (head, _) = ask(&mut other, request("GET", "/nowhere"), "").await;
    assert_eq!(head.status(), 404);
    // Whoever takes back what it asked for may ask again.
    drop(waiting);
    wait_until("the places to be free", || async {
        head_of(&sender, "/nowhere").await.status() == 404
    })
    .await;
}

#[tokio::test]
async fn who_takes_none_of_many_answers_loses_the_connection() {
    const PATIENCE: Duration = Duration::from_millis(300);
    let upstream = Upstream::start(|_| Reply::ok("")).await;
    let gateway = with_patience(&upstream, PATIENCE).await;
    let (sender, ended) = without_windows(&gateway).await;
    let mut waiting = Vec::new();
    for _ in 0..60 {
        waiting.push(head_of(&sender, "/nowhere").await);
    }
    // A few may wait for as long as they like.
    tokio::time::sleep(3 * PATIENCE).await;
    assert!(!ended.is_finished());
    for _ in 0..20 {
        waiting.push(head_of(&sender, "/nowhere").await);
    }
    let ended = tokio::time::timeout(Duration::from_secs(10), ended).await;
    assert!(ended.is_ok(), "it is still there");
}

#[tokio::test]
async fn who_waits_for_the_service_is_not_cut_off() {
    const PATIENCE: Duration = Duration::from_millis(200);
    let upstream = Upstream::start(|_| {
        let part = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n";
        Reply::ThenHold(part.as_bytes().to_vec())
    })
    .await;
    let gateway = with_patience(&upstream, PATIENCE).await;
    let mut sender = connect(&gateway).await.ready().await.unwrap();
    let request = request("GET", "/api/orders").body(()).unwrap();
    let (answer, _upload) = sender.send_request(request, true).unwrap();
    let mut body = answer.await.unwrap().into_body();
    let first = body.data().await.unwrap().unwrap();
    assert_eq!(&first[..], b"first");
    let next = tokio::time::timeout(PATIENCE * 4, body.data()).await;
    assert!(next.is_err(), "{next:?}");
    assert_eq!(upstream.closed(), 0);
}
