//! WebSockets: bytes in both directions, unchanged, once the service has switched.

use testkit::wait_until;

use crate::client::Client;
use crate::gateway::{Gateway, RoutingFile};
use crate::upstream::{Reply, Upstream};

const ROUTES: &str = r#"
    routes = [
        {prefix = "/ws", service = "order", websocket = true},
        {prefix = "/brief", service = "order", websocket = true, idle_timeout_ms = 1500},
        {prefix = "/guarded", service = "order", websocket = true, auth = "required"},
        {prefix = "/plain", service = "order"},
    ]"#;

const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nsec-websocket-protocol: chat\r\nx-priv: 1\r\n\r\n";

/// A masked text frame, a ping, a fragmented message, and a close with 1000 (RFC 6455, section 5.2).
const FRAMES: [&[u8]; 5] = [
    &[0x81, 0x85, 1, 2, 3, 4, 0x69, 0x67, 0x6f, 0x68, 0x6e],
    &[0x89, 0x80, 9, 9, 9, 9],
    &[0x01, 0x81, 0, 0, 0, 0, b'a'],
    &[0x80, 0x81, 0, 0, 0, 0, b'b'],
    &[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8],
];

fn handshake(path: &str, headers: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
    )
}

async fn start() -> (Upstream, Gateway, RoutingFile) {
    let upstream = Upstream::start(|seen| match seen.head.start.as_str() {
        start if start.contains("no-thanks") => {
            Reply::text("HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno")
        }
        start if start.contains("other") => Reply::ThenClose(
            b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"
                .to_vec(),
        ),
        start if start.contains("early") => {
            Reply::Echo(format!("{SWITCH}early").into_bytes(), Vec::new())
        }
        _ if seen.head.one("upgrade").is_some() => {
            Reply::Echo(SWITCH.as_bytes().to_vec(), b"bye".to_vec())
        }
        _ => Reply::ok("plain"),
    })
    .await;
    let file = RoutingFile::new(ROUTES);
    let gateway = Gateway::routing(&upstream, &file).await;
    (upstream, gateway, file)
}

/// Reads exactly these bytes.
async fn expect(client: &mut Client, expected: &[u8]) {
    let mut got = Vec::new();
    while got.len() < expected.len() {
        let part = client.reader.part().await.unwrap();
        assert!(!part.is_empty(), "the end after {got:?}");
        got.extend(part);
    }
    assert_eq!(got, expected);
}

async fn switched(gateway: &Gateway, path: &str) -> Client {
    let mut client = gateway.connect().await;
    client.send(handshake(path, "")).await;
    let head = client.reader.head().await.unwrap().expect("an answer");
    assert_eq!(head.start, "HTTP/1.1 101 Switching Protocols");
    client
}

#[tokio::test]
async fn frames_pass_unchanged_in_both_directions() {
    let (upstream, gateway, _file) = start().await;
    let mut client = gateway.connect().await;
    let extra = "Sec-WebSocket-Protocol: chat, other\r\nSec-WebSocket-Extensions: permessage-deflate\r\nOrigin: http://a\r\nCookie: a=b\r\n";
    client.send(handshake("/ws/room?a=b", extra)).await;
    let head = client.reader.head().await.unwrap().unwrap();
    assert_eq!(head.start, "HTTP/1.1 101 Switching Protocols");
    for (name, value) in [
        ("upgrade", "websocket"),
        ("connection", "upgrade"),
        ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        ("sec-websocket-protocol", "chat"),
    ] {
        let found = head.one(name).map(|it| it.to_lowercase());
        assert_eq!(found, Some(value.to_lowercase()), "{name}");
    }
    assert_eq!(
        (head.one("content-length"), head.one("transfer-encoding")),
        (None, None)
    );
    for frame in FRAMES {
        client.send(frame).await;
        expect(&mut client, frame).await;
    }
    let seen = upstream.only();
    assert_eq!(seen.head.start, "GET /ws/room?a=b HTTP/1.1");
    for (name, value) in [
        ("upgrade", "websocket"),
        ("connection", "upgrade"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("sec-websocket-version", "13"),
        ("sec-websocket-protocol", "chat, other"),
        ("sec-websocket-extensions", "permessage-deflate"),
        ("cookie", "a=b"),
    ] {
        assert_eq!(seen.head.one(name).as_deref(), Some(value));
    }
    assert_eq!(seen.body.kept, FRAMES.concat());
}

#[tokio::test]
async fn bytes_that_come_with_the_heads_are_not_lost() {
    let (upstream, gateway, _file) = start().await;
    let mut client = gateway.connect().await;
    client
        .send(format!("{}first", handshake("/ws/early", "")))
        .await;
    client.reader.head().await.unwrap().expect("an answer");
    expect(&mut client, b"earlyfirst").await;
    assert_eq!(upstream.only().body.text(), "first");
}

#[tokio::test]
async fn a_client_that_goes_ends_the_service_s_side_after_its_last_bytes() {
    let (upstream, gateway, _file) = start().await;
    let mut client = switched(&gateway, "/ws").await;
    client.send("last words").await;
    drop(client);
    wait_until("the service's side to end", || async {
        upstream.closed() == 1
    })
    .await;
    assert_eq!(upstream.only().body.text(), "last words");
}

#[tokio::test]
async fn a_service_that_goes_ends_the_client_s_side() {
    let (upstream, gateway, _file) = start().await;
    let mut client = switched(&gateway, "/ws").await;
    client.send("x").await;
    expect(&mut client, b"x").await;
    upstream.stop().await;
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn silence_ends_a_socket_and_any_byte_keeps_it() {
    let (_upstream, gateway, _file) = start().await;
    let mut client = switched(&gateway, "/brief").await;
    let started = tokio::time::Instant::now();
    while started.elapsed() < std::time::Duration::from_secs(3) {
        client.send("x").await;
        expect(&mut client, b"x").await;
    }
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn a_socket_lives_through_changes_of_the_routes() {
    let (_upstream, gateway, file) = start().await;
    let mut client = switched(&gateway, "/ws").await;
    file.write("routes = [{prefix = \"/new\", service = \"order\"}]");
    wait_until("the change", || async {
        gateway
            .ask("GET /new HTTP/1.1\r\nHost: x\r\n\r\n")
            .await
            .status
            == 200
    })
    .await;
    client.send("still here").await;
    expect(&mut client, b"still here").await;
}

#[tokio::test]
async fn until_the_service_switches_it_is_http() {
    let (upstream, gateway, _file) = start().await;
    for (path, status, text) in [("/ws/no-thanks", 403, "no"), ("/ws/other", 502, "")] {
        let mut client = gateway.connect().await;
        let smuggled = "GET /plain/smuggled HTTP/1.1\r\nHost: x\r\n\r\n";
        client
            .send(format!("{}{smuggled}", handshake(path, "")))
            .await;
        let answer = client.answer(false).await.unwrap().expect(status);
        assert!(answer.text().contains(text));
        assert!(client.is_closed().await, "{path}");
    }
    assert_eq!(upstream.seen().len(), 2);
}

#[tokio::test]
async fn a_handshake_that_is_none_is_refused_and_ends_the_connection() {
    let (upstream, gateway, _file) = start().await;
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let version = "Sec-WebSocket-Version: 13\r\n";
    let both = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
    for (method, headers, status) in [
        ("GET", format!("{both}{key}"), 426),
        (
            "GET",
            format!("{both}{key}Sec-WebSocket-Version: 8\r\n"),
            426,
        ),
        ("GET", format!("{both}{key}{version}{version}"), 426),
        ("GET", format!("{both}{version}"), 400),
        ("GET", format!("{both}{version}{key}{key}"), 400),
        (
            "GET",
            format!("{both}{version}Sec-WebSocket-Key: c2hvcnQ=\r\n"),
            400,
        ),
        (
            "GET",
            format!("{both}{version}Sec-WebSocket-Key: not base64 at all!!!!!!!\r\n"),
            400,
        ),
        ("POST", format!("{both}{version}{key}"), 400),
        ("GET", format!("Upgrade: websocket\r\n{version}{key}"), 400),
        (
            "GET",
            format!("{both}{version}{key}Content-Length: 0\r\n"),
            400,
        ),
        (
            "GET",
            format!("{both}{version}{key}Transfer-Encoding: chunked\r\n"),
            400,
        ),
        (
            "GET",
            format!("{both}Upgrade: websocket\r\n{version}{key}"),
            400,
        ),
    ] {
        let mut client = gateway.connect().await;
        let request = format!("{method} /ws HTTP/1.1\r\nHost: x\r\n{headers}\r\n");
        let answer = client.ask(&request).await;
        assert_eq!(answer.status, status, "{method} {headers}");
        let spoken = answer.head.one("sec-websocket-version");
        assert_eq!(spoken.is_some(), status == 426, "{headers}");
        assert!(client.is_closed().await, "{headers}");
    }
    let answer = gateway.ask(&handshake("/plain", "")).await;
    answer.problem(501, "upgrade_not_offered");
    gateway
        .ask(&handshake("/nowhere", ""))
        .await
        .problem(404, "not_found");
    gateway
        .ask(&handshake("/guarded", ""))
        .await
        .problem(401, "token_missing");
    assert_eq!(upstream.seen().len(), 0);
}

#[tokio::test]
async fn a_service_that_is_away_is_told_like_any_other() {
    let upstream = Upstream::start(|_| Reply::ok("")).await;
    let file = RoutingFile::new(
        "services = [{name = \"away\", url = \"http://127.0.0.1:1\"}]\nroutes = [{prefix = \"/ws\", service = \"away\", websocket = true}]",
    );
    let gateway = Gateway::routing(&upstream, &file).await;
    gateway
        .ask(&handshake("/ws", ""))
        .await
        .problem(503, "service_unavailable");
}
