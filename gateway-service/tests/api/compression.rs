//! Answers in fewer bytes.

use std::io::Read as _;
use std::time::Duration;

use crate::gateway::{Gateway, RoutingFile};
use crate::messages::Framing;
use crate::upstream::{Reply, Seen, Upstream};

/// Nothing that has come may take longer to pass.
const PATIENCE: Duration = Duration::from_secs(15);

const ROUTES: &str = "routes = [{prefix = \"/on\", service = \"order\", compress = true}, {prefix = \"/off\", service = \"order\"}]";

fn text() -> String {
    "All work and no play makes Jack a dull boy. ".repeat(200)
}

fn answers(seen: &Seen) -> Reply {
    let path = seen.head.start.split(' ').nth(1).unwrap_or_default();
    let name = path.rsplit('/').next().unwrap_or_default();
    let text = text();
    let with = |headers: &str| {
        let length = text.len();
        Reply::text(&format!(
            "HTTP/1.1 200 OK\r\n{headers}content-length: {length}\r\n\r\n{text}"
        ))
    };
    match name {
        "json" => with("content-type: application/json\r\netag: \"v1\"\r\naccept-ranges: bytes\r\nvary: cookie\r\ncontent-digest: sha-256=:x:\r\n"),
        "weak" => with("content-type: text/html\r\netag: W/\"v1\"\r\n"),
        "image" => with("content-type: image/png\r\n"),
        "untyped" => with(""),
        "encoded" => with("content-type: text/plain\r\ncontent-encoding: br\r\n"),
        "kept" => with("content-type: text/plain\r\ncache-control: public, no-transform\r\n"),
        "range" => Reply::text("HTTP/1.1 206 Partial Content\r\ncontent-type: text/plain\r\ncontent-range: bytes 0-4/9\r\ncontent-length: 5\r\n\r\nhello"),
        "short" => Reply::text("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 5\r\n\r\nhello"),
        "events" => Reply::ThenHold(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n".to_vec()),
        "lines" => Reply::ThenHold(b"HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n8\r\n{\"a\":1}\n\r\n".to_vec()),
        "torn" => Reply::ThenClose(format!("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 99999\r\n\r\n{text}").into_bytes()),
        "error" => Reply::text(&format!("HTTP/1.1 500 X\r\ncontent-type: application/problem+json\r\ncontent-length: {}\r\n\r\n{text}", text.len())),
        "head" => Reply::text("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 9000\r\n\r\n"),
        _ => panic!("{path}"),
    }
}

async fn start() -> (Upstream, Gateway) {
    let upstream = Upstream::start(answers).await;
    let gateway = Gateway::routing(&upstream, &RoutingFile::new(ROUTES)).await;
    (upstream, gateway)
}

fn get(path: &str, headers: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\n{headers}\r\n")
}

fn decoded(coding: &str, bytes: &[u8]) -> String {
    let mut text = String::new();
    match coding {
        "gzip" => flate2::read::GzDecoder::new(bytes).read_to_string(&mut text),
        "br" => brotli::Decompressor::new(bytes, 4_096).read_to_string(&mut text),
        "zstd" => zstd::stream::read::Decoder::new(bytes)
            .unwrap()
            .read_to_string(&mut text),
        other => panic!("{other}"),
    }
    .unwrap();
    text
}

/// The data of the chunks that have come as a whole.
fn unchunked(mut bytes: &[u8]) -> Vec<u8> {
    let mut data = Vec::new();
    while let Some(end) = bytes.windows(2).position(|pair| pair == b"\r\n") {
        let size = std::str::from_utf8(&bytes[..end]).unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        let Some(chunk) = bytes.get(end + 2..end + 2 + size) else {
            break;
        };
        data.extend(chunk);
        bytes = bytes.get(end + 4 + size..).unwrap_or_default();
    }
    data
}

#[tokio::test]
async fn the_client_gets_the_coding_it_asks_for() {
    let (_upstream, gateway) = start().await;
    let mut client = gateway.connect().await;
    for (wish, coding) in [
        ("gzip", "gzip"),
        ("br", "br"),
        ("zstd", "zstd"),
        ("gzip;q=0.5, br;q=0.8", "br"),
        ("gzip, deflate, br, zstd", "zstd"),
        ("*;q=0.1", "zstd"),
    ] {
        let request = get("/on/json", &format!("Accept-Encoding: {wish}\r\n"));
        let answer = client.ask(&request).await.expect(200);
        assert_eq!(
            answer.head.one("content-encoding").as_deref(),
            Some(coding),
            "{wish}"
        );
        assert!(answer.complete && answer.body.bytes < 2_000, "{wish}");
        assert_eq!(decoded(coding, &answer.body.kept), text(), "{wish}");
        assert_eq!(answer.head.framing().unwrap(), Framing::Chunked);
        let head = &answer.head;
        assert_eq!(head.one("etag").as_deref(), Some("W/\"v1\""));
        let vary = head.one("vary").unwrap();
        assert!(
            vary.contains("cookie") && vary.contains("accept-encoding"),
            "{vary}"
        );
        for gone in ["accept-ranges", "content-digest", "content-length"] {
            assert_eq!(head.one(gone), None, "{gone}");
        }
    }
    let head = client
        .ask(&get("/on/weak", "Accept-Encoding: br\r\n"))
        .await
        .head;
    assert_eq!(head.one("etag").as_deref(), Some("W/\"v1\""));
    client
        .ask(&get("/on/error", "Accept-Encoding: br\r\n"))
        .await
        .expect(500);
}

#[tokio::test]
async fn what_must_not_be_changed_passes_as_it_is() {
    let (_upstream, gateway) = start().await;
    let mut client = gateway.connect().await;
    let wish = "Accept-Encoding: gzip, br, zstd\r\n";
    for (path, headers, varies) in [
        ("/off/json", wish.to_owned(), false),
        ("/on/json", String::new(), true),
        (
            "/on/json",
            "Accept-Encoding: deflate, identity\r\n".to_owned(),
            true,
        ),
        ("/on/json", "Accept-Encoding: gzip;q=0\r\n".to_owned(), true),
        ("/on/json", format!("{wish}Range: bytes=0-9\r\n"), true),
        (
            "/on/json",
            format!("{wish}Cache-Control: no-transform\r\n"),
            true,
        ),
        ("/on/image", wish.to_owned(), false),
        ("/on/untyped", wish.to_owned(), false),
        ("/on/kept", wish.to_owned(), false),
        ("/on/range", wish.to_owned(), false),
        ("/on/short", wish.to_owned(), true),
    ] {
        let answer = client.ask(&get(path, &headers)).await;
        let head = &answer.head;
        assert_eq!(head.one("content-encoding"), None, "{path} {headers}");
        assert!(head.one("content-length").is_some(), "{path} {headers}");
        let vary = head.one("vary").unwrap_or_default();
        assert_eq!(vary.contains("accept-encoding"), varies, "{path} {headers}");
    }
    let answer = client.ask(&get("/on/encoded", wish)).await;
    assert_eq!(answer.head.one("content-encoding").as_deref(), Some("br"));
    assert_eq!(answer.text(), text());
    let head = client
        .ask(&format!("HEAD /on/head HTTP/1.1\r\nHost: x\r\n{wish}\r\n"))
        .await
        .head;
    assert_eq!(head.one("content-length").as_deref(), Some("9000"));
    let old = format!("GET /on/json HTTP/1.0\r\nHost: x\r\n{wish}\r\n");
    let answer = gateway.ask(&old).await.expect(200);
    assert_eq!(
        (answer.head.one("content-encoding"), answer.text()),
        (None, text())
    );
}

#[tokio::test]
async fn nothing_that_has_come_is_held_back() {
    let (_upstream, gateway) = start().await;
    let mut client = gateway.connect().await;
    client
        .send(get("/on/events", "Accept-Encoding: gzip\r\n"))
        .await;
    let head = client.reader.head().await.unwrap().unwrap();
    assert_eq!(head.one("content-encoding"), None);
    assert!(
        client
            .reader
            .part()
            .await
            .unwrap()
            .ends_with(b"data: 1\n\n\r\n")
    );
    let mut client = gateway.connect().await;
    client
        .send(get("/on/lines", "Accept-Encoding: gzip\r\n"))
        .await;
    let head = client.reader.head().await.unwrap().unwrap();
    assert_eq!(head.one("content-encoding").as_deref(), Some("gzip"));
    let (mut got, mut line) = (Vec::new(), Vec::new());
    while line.len() < 8 {
        let part = tokio::time::timeout(PATIENCE, client.reader.part()).await;
        let part = part.expect("the line is not held back").unwrap();
        assert!(!part.is_empty(), "the answer ends early");
        got.extend(part);
        line.clear();
        // The stream has no end yet; what came before is decoded all the same.
        let bytes = unchunked(&got);
        let _no_end = flate2::read::GzDecoder::new(&*bytes).read_to_end(&mut line);
    }
    assert_eq!(line, b"{\"a\":1}\n");
}

#[tokio::test]
async fn a_truncated_answer_never_looks_whole() {
    let (_upstream, gateway) = start().await;
    let mut client = gateway.connect().await;
    client
        .send(get("/on/torn", "Accept-Encoding: gzip\r\n"))
        .await;
    let answer = client.answer(false).await;
    assert!(answer.is_none_or(|answer| !answer.complete));
}
