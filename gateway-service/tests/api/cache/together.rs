//! Many who ask for the same at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use testkit::wait_until;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::{ROUTES, get, request, told};
use crate::gateway::{Gateway, RoutingFile};
use crate::messages::{Body, Framing, Reader};
use crate::upstream::Upstream;

const KEPT: &str = "HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ncontent-length: 1\r\n\r\nx";
const PRIVATE: &str = "HTTP/1.1 200 OK\r\ncache-control: private\r\ncontent-length: 1\r\n\r\nx";

/// A service that answers when it is let.
struct Slow {
    url: String,
    asked: Arc<AtomicUsize>,
    lets: Arc<Semaphore>,
}

impl Slow {
    async fn start(reply: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (asked, lets) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
        let (counter, gate) = (Arc::clone(&asked), Arc::clone(&lets));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (counter, gate) = (Arc::clone(&counter), Arc::clone(&gate));
                tokio::spawn(async move {
                    let (read, mut write) = stream.into_split();
                    let mut reader = Reader::new(read);
                    while let Ok(Some(head)) = reader.head().await {
                        let framing = head.framing().unwrap_or(Framing::None);
                        let _read = reader.body(framing, &mut Body::default()).await;
                        let is_get = head.start.starts_with("GET /c/");
                        if is_get {
                            counter.fetch_add(1, Ordering::SeqCst);
                            gate.acquire().await.unwrap().forget();
                        }
                        let reply = if is_get {
                            reply
                        } else {
                            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
                        };
                        if write.write_all(reply.as_bytes()).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Self { url, asked, lets }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    async fn gateway(&self) -> Gateway {
        let file = RoutingFile::new(ROUTES);
        let upstream = Upstream::start(|_| crate::upstream::Reply::ok("")).await;
        Gateway::routing_with(&upstream, &file, &[("ORDER_URL", &self.url)]).await
    }
}

/// Waits until so many requests are under way beside the one that counts them.
async fn under_way(gateway: &Gateway, count: usize) {
    let line = format!("gateway_requests_in_flight {}", count + 1);
    wait_until("the requests to be under way", || async {
        let metrics = gateway.ask(&get("/metrics", "")).await.text();
        metrics.lines().any(|known| known == line)
    })
    .await;
}

#[tokio::test]
async fn one_fetches_what_many_ask_for() {
    let slow = Slow::start(KEPT).await;
    let gateway = slow.gateway().await;
    let all = join_all((0..50).map(|_| async { gateway.ask(&get("/c/a", "")).await }));
    let freeing = async {
        under_way(&gateway, 50).await;
        slow.lets.add_permits(1);
    };
    let (answers, ()) = tokio::join!(all, freeing);
    let collapsed = answers
        .iter()
        .filter(|answer| told(answer) == "maru; fwd=uri-miss; collapsed");
    assert_eq!((collapsed.count(), slow.asked()), (49, 1));
    assert!(
        answers
            .iter()
            .all(|answer| answer.status == 200 && answer.text() == "x")
    );
}

#[tokio::test]
async fn what_is_not_for_others_is_fetched_by_each_at_the_same_time() {
    let slow = Slow::start(PRIVATE).await;
    let gateway = slow.gateway().await;
    let all = join_all((0..20).map(|_| async { gateway.ask(&get("/c/a", "")).await }));
    let freeing = async {
        under_way(&gateway, 20).await;
        wait_until("the first to ask", || async { slow.asked() == 1 }).await;
        slow.lets.add_permits(1);
        let first = Instant::now();
        // Not one after the other: all of them are there before one is answered, and long before
        // they would have lost their patience with each other.
        wait_until("everybody to ask", || async { slow.asked() == 20 }).await;
        assert!(first.elapsed() < Duration::from_secs(2));
        slow.lets.add_permits(19);
    };
    let (answers, ()) = tokio::join!(all, freeing);
    assert!(answers.iter().all(|answer| answer.status == 200));
}

#[tokio::test]
async fn who_says_who_he_is_waits_for_nobody() {
    let slow = Slow::start(KEPT).await;
    let gateway = slow.gateway().await;
    let who = |name: &str| get("/c/a", &format!("Authorization: {name}\r\n"));
    let names: Vec<String> = (0..3).map(|number| who(&number.to_string())).collect();
    let all = join_all(names.iter().map(|request| gateway.ask(request)));
    let freeing = async {
        wait_until("everybody to ask", || async { slow.asked() == 3 }).await;
        slow.lets.add_permits(3);
    };
    tokio::join!(all, freeing);
}

#[tokio::test]
async fn when_the_one_who_fetches_goes_away_another_one_does() {
    let slow = Slow::start(KEPT).await;
    let gateway = slow.gateway().await;
    let mut first = gateway.connect().await;
    first.send(get("/c/a", "")).await;
    wait_until("the first to ask", || async { slow.asked() == 1 }).await;
    let all = join_all((0..5).map(|_| async { gateway.ask(&get("/c/a", "")).await }));
    let freeing = async {
        under_way(&gateway, 6).await;
        drop(first);
        wait_until("another one to ask", || async { slow.asked() == 2 }).await;
        slow.lets.add_permits(2);
    };
    let (answers, ()) = tokio::join!(all, freeing);
    assert!(answers.iter().all(|answer| answer.status == 200));
    assert_eq!(slow.asked(), 2);
}

#[tokio::test]
async fn what_was_asked_for_before_a_change_is_not_kept_after_it() {
    let slow = Slow::start(KEPT).await;
    let gateway = slow.gateway().await;
    let get_a = get("/c/a", "");
    let first = gateway.ask(&get_a);
    let changing = async {
        wait_until("the first to ask", || async { slow.asked() == 1 }).await;
        gateway.ask(&request("PUT", "/c/a", "")).await.expect(200);
        slow.lets.add_permits(1);
    };
    let (first, ()) = tokio::join!(first, changing);
    assert_eq!(told(&first), "maru; fwd=uri-miss");
    slow.lets.add_permits(1);
    let again = gateway.ask(&get_a).await;
    assert_eq!(
        (told(&again).as_str(), slow.asked()),
        ("maru; fwd=uri-miss; stored", 2)
    );
}
