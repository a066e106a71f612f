//! Long bodies, which the gateway must never hold.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::backend::Backend;
use super::{Row, Size, mib, start};
use crate::process::Gateway;

const GIB: u64 = 1 << 30;

/// Bytes that are written or read at a time.
const BLOCK_BYTES: usize = 256 * 1024;

/// How often memory is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

/// Sends a long body in both directions, one after the other, and watches the gateway's memory.
///
/// # Errors
/// When something cannot be started or a body does not arrive as a whole.
pub async fn bodies(program: &str, size: Size) -> anyhow::Result<Vec<Row>> {
    let length = size.of(10 * GIB, GIB);
    let backend = Backend::start().await?;
    let limit = (2 * length).to_string();
    let settings = [("GATEWAY__LIMITS__MAX_BODY_BYTES", limit)];
    let (gateway, _routes) = start(program, backend.address(), &settings).await?;
    // A small one first: what the first of all costs is not growth.
    download(&gateway, 64 << 20).await?;
    upload(&gateway, 64 << 20).await?;
    let mut rows = Vec::new();
    let (grown, took) = watched(&gateway, download(&gateway, length)).await?;
    rows.push(row("download", length, grown, took));
    let (grown, took) = watched(&gateway, upload(&gateway, length)).await?;
    rows.push(row("upload", length, grown, took));
    Ok(rows)
}

fn row(what: &str, length: u64, grown_kib: u64, took: Duration) -> Row {
    let rate = length as f64 / took.as_secs_f64() / (1 << 20) as f64;
    let what = format!(
        "bodies: growth in a {what} of {} GiB ({rate:.0} MiB/s)",
        length / GIB
    );
    Row::new(&what, "8 MiB", mib(grown_kib), grown_kib <= 8 * 1024)
}

/// The largest growth of the gateway's memory meanwhile.
async fn watched(
    gateway: &Gateway,
    transfer: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<(u64, Duration)> {
    let (before, started) = (gateway.memory_kib()?, Instant::now());
    let mut most = before;
    tokio::pin!(transfer);
    loop {
        tokio::select! {
            done = &mut transfer => {
                done?;
                let most = most.max(gateway.memory_kib()?);
                return Ok((most.saturating_sub(before), started.elapsed()));
            }
            () = tokio::time::sleep(LOOK_INTERVAL) => most = most.max(gateway.memory_kib()?),
        }
    }
}

async fn download(gateway: &Gateway, length: u64) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(gateway.address()).await?;
    let request = format!(
        "GET /api/orders/long/{length} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut block = vec![0; BLOCK_BYTES];
    let mut read = 0_u64;
    loop {
        let count = stream.read(&mut block).await?;
        if count == 0 {
            break;
        }
        read += count as u64;
    }
    let head = read.checked_sub(length).context("the download broke off")?;
    anyhow::ensure!(head < 4_096, "more came than was asked for");
    Ok(())
}

async fn upload(gateway: &Gateway, length: u64) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(gateway.address()).await?;
    let head = format!(
        "POST /api/orders/1 HTTP/1.1\r\nHost: bench\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    let block = vec![b'x'; BLOCK_BYTES];
    let mut left = length;
    while left > 0 {
        let count = usize::try_from(left)
            .unwrap_or(BLOCK_BYTES)
            .min(BLOCK_BYTES);
        stream.write_all(&block[..count]).await?;
        left -= count as u64;
    }
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    anyhow::ensure!(
        answer.starts_with(b"HTTP/1.1 200"),
        "the upload was not taken"
    );
    Ok(())
}
