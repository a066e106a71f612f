//! Bodies pass as they come, in both directions, and end when either side does.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use socket2::SockRef;
use testkit::wait_until;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::OwnedWriteHalf;
use tokio::net::{TcpListener, TcpStream};

use crate::gateway::Gateway;
use crate::messages::Body;
use crate::upstream::{Reply, Upstream};

const MIB: u64 = 1 << 20;
const LONG: u64 = 50 * MIB;

/// Resident memory of this process, in which client, gateway and service all run.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib * 1024
}

/// The most memory used above the start while `work` runs.
async fn growth_during<F: Future>(work: F) -> (F::Output, u64) {
    let before = resident_bytes();
    let most = AtomicU64::new(before);
    tokio::pin!(work);
    let mut ticks = tokio::time::interval(Duration::from_millis(2));
    loop {
        tokio::select! {
            output = &mut work => return (output, most.into_inner() - before),
            _ = ticks.tick() => { most.fetch_max(resident_bytes(), Ordering::Relaxed); }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_megabytes_pass_in_both_directions_in_little_memory() {
    let upstream = Upstream::start(|seen| match seen.body.bytes {
        0 => Reply::Long(
            format!("HTTP/1.1 200 OK\r\ncontent-length: {LONG}\r\n\r\n").into_bytes(),
            LONG,
        ),
        count => Reply::ok(&count.to_string()),
    })
    .await;
    let gateway = Gateway::with(
        &upstream.url(),
        &[("GATEWAY__LIMITS__MAX_BODY_BYTES", "104857600")],
    )
    .await;

    let download = gateway.ask("GET /api/orders HTTP/1.1\r\nHost: x\r\n\r\n");
    let (answer, growth) = growth_during(download).await;
    assert_eq!((answer.body.bytes, answer.complete), (LONG, true));
    assert!(
        growth < 24 * MIB,
        "{} MiB more for a download",
        growth / MIB
    );

    let mut client = gateway.connect().await;
    let upload = async {
        client
            .send(format!(
                "POST /api/orders HTTP/1.1\r\nHost: x\r\nContent-Length: {LONG}\r\n\r\n"
            ))
            .await;
        let block = vec![7_u8; 64 * 1024];
        for _ in 0..LONG / block.len() as u64 {
            client.send(&block).await;
        }
        client.answer(false).await.unwrap()
    };
    let (answer, growth) = growth_during(upload).await;
    assert_eq!(answer.text(), LONG.to_string());
    assert!(growth < 24 * MIB, "{} MiB more for an upload", growth / MIB);
    assert_eq!(upstream.seen().pop().unwrap().body.sum, LONG * 7);
}

/// The system's buffers on the way are not the gateway's memory, but the machine has only so many of
/// them for all connections.
#[tokio::test]
async fn what_a_client_does_not_read_waits_with_the_service() {
    let service = TcpListener::bind("127.0.0.1:0").await.unwrap();
    // What the service itself keeps is none of the gateway's doing.
    let few = SockRef::from(&service).set_send_buffer_size(16 * 1024);
    few.unwrap();
    let url = format!("http://{}", service.local_addr().unwrap());
    let taken = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&taken);
    tokio::spawn(async move {
        // Health is asked for too, on connections of its own.
        while let Ok((stream, _)) = service.accept().await {
            tokio::spawn(answer_at_length(stream, Arc::clone(&counted)));
        }
    });
    let gateway = Gateway::with(&url, &[]).await;
    let mut client = gateway.connect().await;
    client
        .send("GET /api/orders HTTP/1.1\r\nHost: x\r\n\r\n")
        .await;
    let waits = loop {
        let before = taken.load(Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(300)).await;
        let now = taken.load(Ordering::Relaxed);
        if now > 0 && now == before {
            break now;
        }
    };
    assert!(waits < MIB, "{} KiB wait", waits / 1024);
}

async fn answer_at_length(mut stream: TcpStream, taken: Arc<AtomicU64>) -> std::io::Result<()> {
    let mut request = [0; 4096];
    let count = stream.read(&mut request).await?;
    if !request[..count].starts_with(b"GET /api/orders ") {
        return Ok(());
    }
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {LONG}\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    let block = vec![7; 16 * 1024];
    for _ in 0..LONG / block.len() as u64 {
        stream.write_all(&block).await?;
        taken.fetch_add(block.len() as u64, Ordering::Relaxed);
    }
    Ok(())
}

#[tokio::test]
async fn a_body_that_is_announced_too_large_is_refused_before_it_is_sent() {
    let upstream = Upstream::start(|_| Reply::ok("")).await;
    let gateway = Gateway::before(&upstream).await;
    let mut client = gateway.connect().await;
    let head = "POST /api/orders HTTP/1.1\r\nHost: x\r\nContent-Length: 8388609\r\n\r\n";
    client.ask(head).await.problem(413, "body_too_large");
    assert!(client.is_closed().await);
    assert_eq!(upstream.seen().len(), 0);
}

#[tokio::test]
async fn a_chunked_body_is_cut_off_at_the_limit() {
    let upstream = Upstream::start(|_| Reply::ok("")).await;
    let gateway = Gateway::with(
        &upstream.url(),
        &[("GATEWAY__LIMITS__MAX_BODY_BYTES", "10000")],
    )
    .await;
    let mut client = gateway.connect().await;
    client
        .send("POST /api/orders HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        .await;
    let chunk = format!("3e8\r\n{}\r\n", "a".repeat(1_000));
    client.send(&chunk).await;
    wait_until("the request to arrive", || async {
        upstream.seen().len() == 1
    })
    .await;
    for _ in 0..10 {
        client.send(&chunk).await;
    }
    client
        .answer(false)
        .await
        .unwrap()
        .problem(413, "body_too_large");
    assert!(client.is_closed().await);
    wait_until("the service to see the end", || async {
        upstream.closed() == 1
    })
    .await;
    assert!(!upstream.only().complete);
}

#[tokio::test]
async fn an_answer_that_comes_before_the_end_of_the_request_is_passed_on_at_once() {
    let upstream = Upstream::start(|seen| match seen.complete || seen.body.bytes > 0 {
        false => {
            Reply::BeforeBody(b"HTTP/1.1 413 Too Large\r\ncontent-length: 5\r\n\r\nlarge".to_vec())
        }
        true => panic!("the body was read"),
    })
    .await;
    let gateway = Gateway::before(&upstream).await;
    for framing in ["Content-Length: 1000000", "Transfer-Encoding: chunked"] {
        let mut client = gateway.connect().await;
        let answer = client
            .ask(&format!(
                "POST /api/orders HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n"
            ))
            .await
            .expect(413);
        assert_eq!((answer.text().as_str(), answer.complete), ("large", true));
        assert_eq!(
            answer.head.one("connection").as_deref(),
            Some("close"),
            "{framing}"
        );
        assert!(client.is_closed().await, "{framing}");
    }
    wait_until("both connections to the service to be closed", || async {
        upstream.closed() == 2
    })
    .await;
}

#[tokio::test]
async fn events_are_passed_on_one_by_one() {
    let upstream = Upstream::start(|_| {
        Reply::ThenHold(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: 1\n\n".to_vec(),
        )
    })
    .await;
    let gateway = Gateway::before(&upstream).await;
    let mut client = gateway.connect().await;
    client
        .send("GET /api/orders/events HTTP/1.1\r\nHost: x\r\n\r\n")
        .await;
    let head = client.reader.head().await.unwrap().unwrap();
    assert_eq!(
        head.one("content-type").as_deref(),
        Some("text/event-stream")
    );
    let mut text = Vec::new();
    while !String::from_utf8_lossy(&text).contains("data: 1\n\n") {
        text.extend(client.reader.part().await.unwrap());
    }
    assert_eq!(upstream.closed(), 0);
    drop(client);
    wait_until("the service to see the client go", || async {
        upstream.closed() == 1
    })
    .await;
}

#[tokio::test]
async fn a_client_that_goes_away_takes_its_request_along() {
    let upstream = Upstream::start(|_| Reply::ThenHold(Vec::new())).await;
    let gateway = Gateway::before(&upstream).await;
    let started = std::time::Instant::now();
    let mut client = gateway.connect().await;
    client
        .send("GET /api/orders HTTP/1.1\r\nHost: x\r\n\r\n")
        .await;
    wait_until("the request to arrive", || async {
        upstream.seen().len() == 1
    })
    .await;
    drop(client);
    wait_until("the service to see the client go", || async {
        upstream.closed() == 1
    })
    .await;
    assert!(
        started.elapsed() < Duration::from_secs(1),
        "{:?}",
        started.elapsed()
    );

    let mut client = gateway.connect().await;
    client
        .send("POST /api/orders HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf")
        .await;
    wait_until("the request to arrive", || async {
        upstream.seen().len() == 2
    })
    .await;
    drop(client);
    wait_until("the service to see the client go", || async {
        upstream.closed() == 2
    })
    .await;
    assert!(!upstream.seen()[1].complete);
}

#[tokio::test]
async fn a_client_that_falls_silent_inside_its_body_is_told_so() {
    let upstream = Upstream::start(|_| Reply::ok("")).await;
    let settings = [("GATEWAY__LIMITS__BODY_IDLE_TIMEOUT_MS", "100")];
    let gateway = Gateway::with(&upstream.url(), &settings).await;
    let mut client = gateway.connect().await;
    let request = "POST /api/orders HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf";
    client.ask(request).await.problem(408, "body_timeout");
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn a_client_that_sends_a_byte_now_and_then_is_told_so() {
    let upstream = Upstream::start(|_| Reply::ok("")).await;
    let settings = [
        ("GATEWAY__LIMITS__BODY_IDLE_TIMEOUT_MS", "1000"),
        ("GATEWAY__LIMITS__BODY_MIN_BYTES_PER_SECOND", "100"),
    ];
    let gateway = Gateway::with(&upstream.url(), &settings).await;
    let mut client = gateway.connect().await;
    let request = "POST /api/orders HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n";
    client.send(request).await;
    let trickle = async |writer: &mut OwnedWriteHalf| {
        loop {
            tokio::time::sleep(Duration::from_millis(100)).await;
            // The gateway may have closed already.
            let _closed = writer.write_all(b"x").await;
        }
    };
    // Never silent for as long as may be, and still ten times too slow.
    let answer = tokio::select! {
        head = client.reader.head() => head.unwrap().expect("an answer"),
        () = trickle(&mut client.writer) => unreachable!("it never ends"),
    };
    assert!(answer.start.starts_with("HTTP/1.1 408 "), "{answer:?}");
    assert!(!upstream.seen()[0].complete);
}

#[tokio::test]
async fn a_service_that_falls_silent_inside_its_answer_is_cut_off() {
    let upstream = Upstream::start(|_| {
        Reply::ThenHold(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhello".to_vec())
    })
    .await;
    let settings = [("GATEWAY__UPSTREAM__BODY_IDLE_TIMEOUT_MS", "100")];
    let gateway = Gateway::with(&upstream.url(), &settings).await;
    let answer = gateway
        .ask("GET /api/orders HTTP/1.1\r\nHost: x\r\n\r\n")
        .await;
    assert!(!answer.complete);
    wait_until("the service to be left", || async {
        upstream.closed() == 1
    })
    .await;
}

#[tokio::test]
async fn a_request_under_way_is_finished_at_a_stop() {
    let upstream =
        Upstream::start(|_| Reply::ThenHold(b"HTTP/1.1 200 OK\r\n\r\nhello".to_vec())).await;
    let gateway = Gateway::before(&upstream).await;
    let mut client = gateway.connect().await;
    client
        .send("GET /api/orders HTTP/1.1\r\nHost: x\r\n\r\n")
        .await;
    client.reader.head().await.unwrap().unwrap();
    gateway.shut_down();
    wait_until("the port to be closed", || async {
        tokio::net::TcpStream::connect(gateway.address())
            .await
            .is_err()
    })
    .await;
    // The service ends its answer only now.
    upstream.stop().await;
    let mut rest = Body::default();
    client.reader.rest(&mut rest).await.unwrap();
    assert!(
        rest.text().ends_with("5\r\nhello\r\n0\r\n\r\n"),
        "{:?}",
        rest.text()
    );
    gateway.stopped().await;
}
