//! Asks a service whether it is ready, over one plain HTTP/1.1 request on this machine.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{MissedTickBehavior, interval, timeout};

/// How often a starting service is asked. Short, because the time to readiness is measured by it.
const ASK_INTERVAL: Duration = Duration::from_millis(20);
/// How long one answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// `HTTP/1.1 200`.
const STATUS_LINE_BYTES: usize = 12;

/// Comes back when `GET /ready` answers 200.
pub async fn until_ready(host: &str, port: u16) {
    let mut timer = interval(ASK_INTERVAL);
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        timer.tick().await;
        if let Ok(Ok(true)) = timeout(ANSWER_TIMEOUT, is_ready(host, port)).await {
            return;
        }
    }
}

async fn is_ready(host: &str, port: u16) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect((host.trim_matches(['[', ']']), port)).await?;
    let request =
        format!("GET /ready HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut status_line = [0; STATUS_LINE_BYTES];
    stream.read_exact(&mut status_line).await?;
    Ok(status_line.ends_with(b" 200"))
}
