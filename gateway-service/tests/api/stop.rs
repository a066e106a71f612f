//! Stops, and one gateway that follows another on the same port.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use testkit::wait_until;
use tokio::net::TcpStream;

use crate::client::Client;
use crate::gateway::Gateway;
use crate::upstream::{Reply, Upstream};

const ORDERS: &str = "GET /api/orders HTTP/1.1\r\nHost: x\r\n\r\n";
const READY: &str = "GET /ready HTTP/1.1\r\nHost: x\r\n\r\n";

/// Less than the time that requests under way are given.
const AT_ONCE: Duration = Duration::from_secs(5);

#[tokio::test]
async fn in_the_pause_ready_says_503_and_everybody_is_served() {
    let upstream = Upstream::start(|_| Reply::ok("hello")).await;
    let settings = [("GATEWAY__STOP__PAUSE_MS", "600000")];
    let gateway = Gateway::with(&upstream.url(), &settings).await;
    let mut kept = gateway.connect().await;
    let answer = kept.ask(ORDERS).await.expect(200);
    assert_eq!(answer.head.one("connection"), None);
    gateway.ask(READY).await.expect(200);
    gateway.shut_down();
    wait_until("not to be ready", || async {
        gateway.ask(READY).await.status == 503
    })
    .await;
    let mut newcomer = gateway.connect().await;
    for client in [&mut kept, &mut newcomer] {
        let answer = client.ask(ORDERS).await.expect(200);
        assert_eq!(answer.text(), "hello");
        assert_eq!(answer.head.one("connection").as_deref(), Some("close"));
        assert!(client.is_closed().await);
    }
}

#[tokio::test]
async fn after_the_pause_the_port_is_closed() {
    let settings = [("GATEWAY__STOP__PAUSE_MS", "300")];
    let gateway = Gateway::with("http://127.0.0.1:1", &settings).await;
    let begin = Instant::now();
    gateway.shut_down();
    let address = gateway.address();
    gateway.stopped().await;
    assert!(begin.elapsed() >= Duration::from_millis(300));
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_port_is_shared_by_those_alone_who_want_it() {
    let sharing = [("GATEWAY__LISTEN__REUSE_PORT", "true")];
    for (first, second) in [(&sharing[..], &[][..]), (&[], &sharing), (&[], &[])] {
        let gateway = Gateway::with("http://127.0.0.1:1", first).await;
        let port = gateway.address().port().to_string();
        let mut settings = vec![("GATEWAY__SERVER__PORT", port.as_str())];
        settings.extend(second);
        let fault = Gateway::refused_with(&settings).await;
        assert!(fault.contains("in use"), "{fault}");
    }
}

/// What became of requests that each came on a connection of its own.
#[derive(Default)]
struct Seen {
    answered: AtomicUsize,
    refused: AtomicUsize,
    broken: AtomicUsize,
    /// Broken, and again when it was asked a second time.
    lost: AtomicUsize,
    enough: AtomicBool,
}

impl Seen {
    async fn keep_asking(self: Arc<Self>, address: std::net::SocketAddr) {
        while !self.enough.load(Ordering::Relaxed) {
            let counted = match ask(address).await {
                Some(true) => &self.answered,
                None => &self.refused,
                Some(false) => {
                    self.broken.fetch_add(1, Ordering::Relaxed);
                    match ask(address).await {
                        Some(true) => &self.answered,
                        _ => &self.lost,
                    }
                }
            };
            counted.fetch_add(1, Ordering::Relaxed);
        }
    }

    async fn wait_for_more(&self) {
        let before = self.answered.load(Ordering::Relaxed);
        wait_until("more answers", || async {
            self.answered.load(Ordering::Relaxed) > before + 100
        })
        .await;
    }
}

/// Whether there is an answer; `None` when there is nobody to connect to.
async fn ask(address: std::net::SocketAddr) -> Option<bool> {
    let stream = TcpStream::connect(address).await.ok()?;
    let mut client = Client::on(stream);
    client.send(ORDERS).await;
    let answer = client.answer(false).await;
    Some(answer.is_some_and(|answer| answer.status == 200 && answer.complete))
}

#[tokio::test]
async fn a_new_process_takes_over_without_a_refused_connection() {
    let upstream = Upstream::start(|_| Reply::ok("hello")).await;
    let sharing = ("GATEWAY__LISTEN__REUSE_PORT", "true");
    let mut gateway = Gateway::with(&upstream.url(), &[sharing]).await;
    let address = gateway.address();
    let port = address.port().to_string();
    let seen = Arc::new(Seen::default());
    let clients: Vec<_> = (0..4)
        .map(|_| tokio::spawn(Arc::clone(&seen).keep_asking(address)))
        .collect();
    for _ in 0..3 {
        seen.wait_for_more().await;
        let settings = [
            sharing,
            ("GATEWAY__SERVER__PORT", port.as_str()),
            ("GATEWAY__STOP__PAUSE_MS", "50"),
        ];
        let next = Gateway::with(&upstream.url(), &settings).await;
        let old = std::mem::replace(&mut gateway, next);
        old.shut_down();
        old.stopped().await;
    }
    seen.wait_for_more().await;
    seen.enough.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.unwrap();
    }
    let count = |count: &AtomicUsize| count.load(Ordering::Relaxed);
    assert_eq!((count(&seen.refused), count(&seen.lost)), (0, 0));
    // Nobody can look whether somebody comes and close the port at the same time.
    assert!(count(&seen.broken) <= 1, "{}", count(&seen.broken));
}

async fn over_http2(
    gateway: &Gateway,
) -> (
    h2::client::SendRequest<Bytes>,
    tokio::task::JoinHandle<Result<(), h2::Error>>,
) {
    let stream = TcpStream::connect(gateway.address()).await.unwrap();
    let (sender, connection) = h2::client::handshake(stream).await.unwrap();
    (sender.ready().await.unwrap(), tokio::spawn(connection))
}

fn request() -> http::Request<()> {
    let request = http::Request::builder().uri("http://shop.example/api/orders");
    request.body(()).unwrap()
}

#[tokio::test]
async fn an_idle_connection_of_http2_ends_at_once() {
    let upstream = Upstream::start(|_| Reply::ok("hello")).await;
    let settings = [("GATEWAY__H2C__ENABLED", "true")];
    let gateway = Gateway::with(&upstream.url(), &settings).await;
    let (mut used, used_ends) = over_http2(&gateway).await;
    let (answer, _) = used.send_request(request(), true).unwrap();
    assert_eq!(answer.await.unwrap().status(), 200);
    let (_unused, unused_ends) = over_http2(&gateway).await;
    let silent = gateway.connect().await;
    let begin = Instant::now();
    gateway.shut_down();
    gateway.stopped().await;
    assert!(begin.elapsed() < AT_ONCE, "{:?}", begin.elapsed());
    // GOAWAY without an error.
    used_ends.await.unwrap().unwrap();
    unused_ends.await.unwrap().unwrap();
    drop(silent);
}

#[tokio::test]
async fn streams_of_http2_that_are_open_end_first() {
    let upstream =
        Upstream::start(|_| Reply::ThenHold(b"HTTP/1.1 200 OK\r\n\r\nhello".to_vec())).await;
    let settings = [("GATEWAY__H2C__ENABLED", "true")];
    let gateway = Gateway::with(&upstream.url(), &settings).await;
    let (mut sender, ends) = over_http2(&gateway).await;
    let (answer, _) = sender.send_request(request(), true).unwrap();
    let mut body = answer.await.unwrap().into_body();
    gateway.shut_down();
    wait_until("the port to be closed", || async {
        TcpStream::connect(gateway.address()).await.is_err()
    })
    .await;
    assert_eq!(body.data().await.unwrap().unwrap(), "hello");
    // The service ends its answer only now.
    upstream.stop().await;
    while let Some(rest) = body.data().await {
        assert_eq!(rest.unwrap(), "");
    }
    let begin = Instant::now();
    ends.await.unwrap().unwrap();
    gateway.stopped().await;
    assert!(begin.elapsed() < AT_ONCE, "{:?}", begin.elapsed());
}
