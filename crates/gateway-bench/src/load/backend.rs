//! The service behind the gateway under load: it answers at once, and costs as little as it can.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::rng::Rng;

/// What it answers by default.
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 31\r\n\r\n{\"id\":1,\"status\":\"confirmed\"}  ";

/// Bytes of a long body that are written or read at a time.
const BLOCK_BYTES: usize = 64 * 1024;

/// Bytes of an answer that wait in the system until they are sent, as at Maru's services.
const MAX_UNSENT_BYTES: u32 = 64 * 1024;

/// Shared by all long answers: thousands of them must not cost the machine what is measured.
static BLOCK: [u8; BLOCK_BYTES] = [b'x'; BLOCK_BYTES];

/// After so many answers on an average, one that closes connections does.
const ANSWERS_PER_CLOSE: usize = 20;

/// How often each target was posted to.
type Posts = Arc<Mutex<HashMap<String, u32>>>;

/// What becomes of a connection after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Habit {
    Keeps,
    Closes,
}

/// The service; it ends with this value.
#[derive(Debug)]
pub(super) struct Backend {
    address: SocketAddr,
    posts: Posts,
    task: JoinHandle<()>,
}

impl Backend {
    /// One that keeps its connections.
    pub(super) async fn start() -> io::Result<Self> {
        Self::with(Habit::Keeps).await
    }

    /// One that closes them when it likes, without a word, and counts what is posted.
    pub(super) async fn closing() -> io::Result<Self> {
        Self::with(Habit::Closes).await
    }

    async fn with(habit: Habit) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let posts = Posts::default();
        let counted = Arc::clone(&posts);
        let task = tokio::spawn(async move {
            for seed in 0.. {
                let Ok((stream, _)) = listener.accept().await else {
                    return;
                };
                let moods =
                    (habit == Habit::Closes).then(|| (Rng::new(seed), Arc::clone(&counted)));
                tokio::spawn(serve(stream, moods));
            }
        });
        Ok(Self {
            address,
            posts,
            task,
        })
    }

    /// How many targets were posted to more than once.
    pub(super) fn doubled_posts(&self) -> usize {
        let posts = self.posts.lock().expect("nobody panics with it");
        posts.values().filter(|count| **count > 1).count()
    }

    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Serves requests: `/api/orders/long/N` has a body of N bytes, an upload is read and thrown away, a
/// handshake is answered and then everything sent back.
async fn serve(mut stream: TcpStream, mut moods: Option<(Rng, Posts)>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    SockRef::from(&stream).set_tcp_notsent_lowat(MAX_UNSENT_BYTES)?;
    let mut buffer = Vec::with_capacity(4 * 1024);
    loop {
        let end = loop {
            let end = buffer.windows(4).position(|window| window == b"\r\n\r\n");
            if let Some(end) = end {
                break end + 4;
            }
            if stream.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
        };
        let head = String::from_utf8_lossy(&buffer[..end]).to_ascii_lowercase();
        buffer.drain(..end);
        if head.contains("\r\nupgrade: websocket") {
            return echo(stream, &buffer).await;
        }
        if let Some(length) = header(&head, "content-length") {
            discard(&mut stream, &mut buffer, length).await?;
        }
        if let Some((_, posts)) = &moods {
            note(posts, &head);
        }
        match head.strip_prefix("get /api/orders/long/") {
            Some(rest) => long(&mut stream, rest).await?,
            None => stream.write_all(ANSWER).await?,
        }
        let Some((rng, _)) = &mut moods else {
            continue;
        };
        if rng.once_in(ANSWERS_PER_CLOSE) {
            // Sooner or later, so that the next request is on its way sometimes.
            let wait_us = *rng.pick(&[0, 0, 50, 200, 1_000, 20_000]);
            tokio::time::sleep(Duration::from_micros(wait_us)).await;
            return Ok(());
        }
    }
}

/// Counts a POST of the clients; the gateway posts too, for a token of its own.
fn note(posts: &Posts, head: &str) {
    let target = head
        .strip_prefix("post ")
        .and_then(|rest| rest.split(' ').next());
    if let Some(target) = target.filter(|target| target.starts_with("/api/orders/")) {
        let mut posts = posts.lock().expect("nobody panics with it");
        *posts.entry(target.to_owned()).or_default() += 1;
    }
}

fn header(head: &str, name: &str) -> Option<u64> {
    let lines = head.lines();
    let mut values = lines.filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    values.next()?.trim().parse().ok()
}

async fn discard(stream: &mut TcpStream, buffer: &mut Vec<u8>, length: u64) -> io::Result<()> {
    let here = buffer
        .len()
        .min(usize::try_from(length).unwrap_or(usize::MAX));
    buffer.drain(..here);
    let mut rest = stream.take(length - here as u64);
    let mut sink = vec![0; BLOCK_BYTES];
    while rest.read(&mut sink).await? > 0 {}
    Ok(())
}

async fn long(stream: &mut TcpStream, rest: &str) -> io::Result<()> {
    let digits = rest.split(' ').next().unwrap_or_default();
    let mut left: u64 = digits.parse().unwrap_or(0);
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {left}\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    while left > 0 {
        let count = usize::try_from(left)
            .unwrap_or(BLOCK_BYTES)
            .min(BLOCK_BYTES);
        stream.write_all(&BLOCK[..count]).await?;
        left -= count as u64;
    }
    Ok(())
}

async fn echo(mut stream: TcpStream, ahead: &[u8]) -> io::Result<()> {
    let head = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    stream.write_all(head).await?;
    stream.write_all(ahead).await?;
    let mut part = [0; 512];
    loop {
        let count = stream.read(&mut part).await?;
        if count == 0 {
            return Ok(());
        }
        stream.write_all(&part[..count]).await?;
    }
}
