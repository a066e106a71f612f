//! The service behind the gateway under load: it answers at once, and costs as little as it can.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What it answers by default.
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 31\r\n\r\n{\"id\":1,\"status\":\"confirmed\"}  ";

/// Bytes of a long body that are written at a time.
const BLOCK_BYTES: usize = 256 * 1024;

/// The service; it ends with this value.
#[derive(Debug)]
pub(super) struct Backend {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Backend {
    pub(super) async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream));
            }
        });
        Ok(Self { address, task })
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
async fn serve(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
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
        match head.strip_prefix("get /api/orders/long/") {
            Some(rest) => long(&mut stream, rest).await?,
            None => stream.write_all(ANSWER).await?,
        }
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
    let block = vec![b'x'; BLOCK_BYTES];
    while left > 0 {
        let count = usize::try_from(left)
            .unwrap_or(BLOCK_BYTES)
            .min(BLOCK_BYTES);
        stream.write_all(&block[..count]).await?;
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
