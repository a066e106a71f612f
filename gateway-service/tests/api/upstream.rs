//! A service that records what reaches it, byte by byte, and answers by script.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::AsyncWriteExt as _;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::messages::{Body, Framing, Head, Reader};

/// A request that reached the service.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) head: Head,
    pub(crate) framing: Option<Framing>,
    pub(crate) body: Body,
    /// Whether the body came to its end.
    pub(crate) complete: bool,
    /// Counts the connections from 1.
    pub(crate) connection: usize,
}

/// What to do about a request.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// Write these bytes and wait for the next request.
    Bytes(Vec<u8>),
    /// Write these bytes and close.
    ThenClose(Vec<u8>),
    /// Write these bytes at once, before the body is read, and read nothing more.
    BeforeBody(Vec<u8>),
    /// Write a head and then this many bytes of body.
    Long(Vec<u8>, u64),
    /// Write these bytes, then send back whatever comes until it ends, and then these last bytes.
    Echo(Vec<u8>, Vec<u8>),
    /// Write these bytes, then nothing; hold the connection until the gateway closes it.
    ThenHold(Vec<u8>),
}

impl Reply {
    pub(crate) fn text(text: &str) -> Self {
        Self::Bytes(text.as_bytes().to_vec())
    }

    /// 200 with this body.
    pub(crate) fn ok(body: &str) -> Self {
        let length = body.len();
        Self::text(&format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}"
        ))
    }
}

type Script = dyn Fn(&Seen) -> Reply + Send + Sync;

struct Shared {
    script: Box<Script>,
    seen: Mutex<Vec<Seen>>,
    connections: AtomicUsize,
    closed: AtomicUsize,
    health: Mutex<(u16, String)>,
    document: Mutex<String>,
    keys: Mutex<String>,
    /// Whether it forgets a connection right after an answer, as one that idled too long.
    drops_kept: AtomicBool,
}

/// A service on a free port; it ends with this value.
pub(crate) struct Upstream {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

/// What `/health` says when a service works.
pub(crate) fn healthy(uptime_s: u64) -> (u16, String) {
    let body = format!(
        r#"{{"status":"healthy","service":"test","version":"1.2.3","uptime_s":{uptime_s},"checks":[]}}"#
    );
    (200, body)
}

impl Upstream {
    pub(crate) async fn start(script: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        Self::listen("127.0.0.1:0", script).await
    }

    pub(crate) async fn listen(
        address: &str,
        script: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).await.expect("a free port");
        let shared = Arc::new(Shared {
            script: Box::new(script),
            seen: Mutex::default(),
            connections: AtomicUsize::new(0),
            closed: AtomicUsize::new(0),
            health: Mutex::new(healthy(1)),
            document: Mutex::new("{}".to_owned()),
            keys: Mutex::new("{\"keys\":[]}".to_owned()),
            drops_kept: AtomicBool::new(false),
        });
        let address = listener.local_addr().unwrap();
        let accepting = Arc::clone(&shared);
        let task = tokio::spawn(async move {
            // Connections end with this task, as those of a process do.
            let mut tasks = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let shared = Arc::clone(&accepting);
                tasks.spawn(async move {
                    let mut connection = 0;
                    let _ended = shared.serve(stream, &mut connection).await;
                    if connection > 0 {
                        shared.closed.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
        });
        Self {
            address,
            shared,
            task,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The requests so far, without those for health and documents.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap().clone()
    }

    /// The only request so far.
    #[track_caller]
    pub(crate) fn only(&self) -> Seen {
        let mut seen = self.seen();
        assert_eq!(seen.len(), 1, "{seen:?}");
        seen.remove(0)
    }

    /// Connections that are over.
    pub(crate) fn closed(&self) -> usize {
        self.shared.closed.load(Ordering::SeqCst)
    }

    pub(crate) fn set_health(&self, health: (u16, String)) {
        *self.shared.health.lock().unwrap() = health;
    }

    /// The keys that tokens are verified with.
    pub(crate) fn set_keys(&self, keys: &common::auth::JwkSet) {
        *self.shared.keys.lock().unwrap() = serde_json::to_string(keys).unwrap();
    }

    pub(crate) fn set_document(&self, document: String) {
        *self.shared.document.lock().unwrap() = document;
    }

    /// From now on, connections are closed by the service when their next request arrives, before
    /// an answer: what a client sees of a service that closes idle connections at the wrong moment.
    pub(crate) fn drop_kept_connections(&self) {
        self.shared.drops_kept.store(true, Ordering::SeqCst);
    }

    /// Stops and frees the port.
    pub(crate) async fn stop(self) -> SocketAddr {
        self.task.abort();
        let address = self.address;
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
        address
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    async fn serve(&self, stream: TcpStream, connection: &mut usize) -> io::Result<()> {
        let (read, mut write) = stream.into_split();
        let mut reader = Reader::new(read);
        let mut first = true;
        while let Some(head) = reader.head().await? {
            if let Some(answer) = self.own(&head) {
                return write.write_all(answer.as_bytes()).await;
            }
            if *connection == 0 {
                *connection = self.connections.fetch_add(1, Ordering::SeqCst) + 1;
            }
            if !first && self.drops_kept.load(Ordering::SeqCst) {
                return Ok(());
            }
            first = false;
            let framing = head.framing()?;
            let mut seen = Seen {
                head,
                framing: Some(framing),
                connection: *connection,
                ..Seen::default()
            };
            if let Reply::BeforeBody(bytes) = (self.script)(&seen) {
                self.record(seen);
                write.write_all(&bytes).await?;
                return hold(&mut reader, &write).await;
            }
            let index = self.record(seen.clone());
            let read = reader.body(framing, &mut seen.body).await;
            seen.complete = read.is_ok();
            self.seen.lock().unwrap()[index] = seen.clone();
            read?;
            match (self.script)(&seen) {
                Reply::Bytes(bytes) | Reply::BeforeBody(bytes) => write.write_all(&bytes).await?,
                Reply::ThenClose(bytes) => return write.write_all(&bytes).await,
                Reply::Echo(head, last) => {
                    write.write_all(&head).await?;
                    let mut body = Body::default();
                    loop {
                        let part = reader.part().await?;
                        if part.is_empty() {
                            break;
                        }
                        body.add(&part);
                        seen.body = body.clone();
                        self.seen.lock().unwrap()[index] = seen.clone();
                        write.write_all(&part).await?;
                    }
                    return write.write_all(&last).await;
                }
                Reply::Long(head, length) => long(&mut write, &head, length).await?,
                Reply::ThenHold(bytes) => {
                    write.write_all(&bytes).await?;
                    return hold(&mut reader, &write).await;
                }
            }
        }
        Ok(())
    }

    fn record(&self, seen: Seen) -> usize {
        let mut all = self.seen.lock().unwrap();
        all.push(seen);
        all.len() - 1
    }

    fn own(&self, head: &Head) -> Option<String> {
        let (status, body) = match head.start.as_str() {
            "GET /health HTTP/1.1" => self.health.lock().unwrap().clone(),
            "GET /.well-known/jwks.json HTTP/1.1" => (200, self.keys.lock().unwrap().clone()),
            "GET /openapi.json HTTP/1.1" => (200, self.document.lock().unwrap().clone()),
            // The gateway itself asks the service that it takes for user-service. Nothing that it
            // forwards can look like this: `/internal` is never routed, as other methods show.
            "POST /internal/tokens HTTP/1.1" => (503, String::new()),
            _ => return None,
        };
        let length = body.len();
        Some(format!(
            "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
        ))
    }
}

/// Waits until the other side closes, without reading what it sends.
async fn hold(reader: &mut Reader<OwnedReadHalf>, write: &OwnedWriteHalf) -> io::Result<()> {
    // Once the peer has closed, reading ends; what comes before is thrown away slowly.
    let mut body = Body::default();
    let read = reader.rest(&mut body).await;
    let _still_open = write;
    read
}

async fn long(write: &mut OwnedWriteHalf, head: &[u8], length: u64) -> io::Result<()> {
    write.write_all(head).await?;
    let mut pattern = (0..=250_u8).cycle();
    let block: Vec<u8> = pattern.by_ref().take(251 * 256).collect();
    let mut left = usize::try_from(length).unwrap();
    while left > 0 {
        let count = left.min(block.len());
        write.write_all(&block[..count]).await?;
        left -= count;
    }
    Ok(())
}
