//! Idle WebSockets, and changes of the routes while they live.

use std::time::Duration;

use anyhow::Context as _;
use rustix::process::Signal;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::backend::Backend;
use super::{ROUTES, Row, Size, start};

const HANDSHAKE: &[u8] = b"GET /api/orders/socket HTTP/1.1\r\nHost: bench\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// A masked ping (RFC 6455, section 5.5.2), which comes back as it is: the gateway looks at no frame.
const PING: &[u8] = b"\x89\x84\x01\x02\x03\x04abcd";

/// Longest wait for anything on a socket.
const PATIENCE: Duration = Duration::from_secs(10);

const RELOADS: u32 = 100;

/// Measures the memory of idle WebSockets, and whether they live through changes of the routes.
///
/// # Errors
/// When something cannot be started or a socket cannot be opened.
pub async fn sockets(program: &str, size: Size) -> anyhow::Result<Vec<Row>> {
    let count = size.of(5_000, 500);
    let backend = Backend::start().await?;
    // Each holds a place at its service as long as it lives.
    let most = 100_000.to_string();
    let settings = [
        ("GATEWAY__RESILIENCE__MAX_CONCURRENT", most.clone()),
        ("GATEWAY__RESILIENCE__MAX_IN_FLIGHT", most),
    ];
    let (gateway, routes) = start(program, backend.address(), &settings).await?;
    let before = gateway.memory_kib()?;
    let mut all = Vec::with_capacity(count);
    while all.len() < count {
        let mut tasks = JoinSet::new();
        for _ in 0..50.min(count - all.len()) {
            let address = gateway.address();
            tasks.spawn(async move { timeout(PATIENCE, open(address)).await });
        }
        while let Some(socket) = tasks.join_next().await {
            all.push(socket?.context("no handshake within 10 s")??);
        }
    }
    let after = gateway.memory_kib()?;
    for number in 0..RELOADS {
        std::fs::write(routes.path(), format!("{ROUTES}# change {number}\n"))?;
        gateway.signal(Signal::HUP)?;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut alive = 0;
    for socket in &mut all {
        alive += usize::from(answers(socket).await);
    }
    let each = after.saturating_sub(before) as f64 / count as f64;
    Ok(vec![
        Row::new(
            &format!("sockets: memory of each of {count} idle WebSockets"),
            "25 KiB",
            format!("{each:.1} KiB"),
            each <= 25.0,
        ),
        Row::new(
            &format!("sockets: alive after {RELOADS} changes of the routes"),
            &count.to_string(),
            alive.to_string(),
            alive == count,
        ),
    ])
}

async fn open(address: std::net::SocketAddr) -> anyhow::Result<TcpStream> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(HANDSHAKE).await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        anyhow::ensure!(
            stream.read_buf(&mut head).await? > 0,
            "the handshake broke off"
        );
    }
    let text = String::from_utf8_lossy(&head);
    anyhow::ensure!(text.starts_with("HTTP/1.1 101"), "no handshake: {text}");
    Ok(stream)
}

async fn answers(socket: &mut TcpStream) -> bool {
    let mut back = [0; PING.len()];
    let exchange = async {
        socket.write_all(PING).await?;
        socket.read_exact(&mut back).await
    };
    timeout(PATIENCE, exchange)
        .await
        .is_ok_and(|done| done.is_ok())
        && back == PING
}
