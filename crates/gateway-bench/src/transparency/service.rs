//! The service behind the gateway: it keeps what reached it for the client to compare, and answers by
//! the client's plan.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::plan::{Frame, Message, Plan};
use crate::wire::{Body, Framing, Head, Reader};

/// What reached the service.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) head: Head,
    pub(super) framing: Framing,
    pub(super) body: Body,
}

#[derive(Debug, Default)]
struct Shared {
    plans: Mutex<HashMap<u64, Plan>>,
    seen: Mutex<HashMap<u64, Vec<Seen>>>,
}

impl Shared {
    fn note(&self, number: u64, seen: Seen) {
        let mut all = self.seen.lock().expect("nobody panics with it");
        all.entry(number).or_default().push(seen);
    }
}

/// The service; it ends with this value.
#[derive(Debug)]
pub(super) struct Service {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl Service {
    pub(super) async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::default());
        let accepting = Arc::clone(&shared);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = Arc::clone(&accepting);
                tokio::spawn(async move { serve(stream, &shared).await });
            }
        });
        Ok(Self {
            address,
            shared,
            task,
        })
    }

    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers a message by this plan when it comes.
    pub(super) fn expect(&self, plan: &Plan) {
        let mut plans = self.shared.plans.lock().expect("nobody panics with it");
        plans.insert(plan.number, plan.clone());
    }

    /// What came of a message.
    pub(super) fn take(&self, number: u64) -> Vec<Seen> {
        let mut plans = self.shared.plans.lock().expect("nobody panics with it");
        plans.remove(&number);
        let mut seen = self.shared.seen.lock().expect("nobody panics with it");
        seen.remove(&number).unwrap_or_default()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut stream: TcpStream, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (read, mut write) = stream.split();
    let mut reader = Reader::new(read);
    while let Some(head) = reader.head().await? {
        let framing = head.framing()?;
        let mut body = Body::default();
        reader.body(framing, &mut body).await?;
        let number = head.start.split(['/', '?']).nth(2);
        let number = number.and_then(|number| number.parse().ok());
        let plan = number.and_then(|number: u64| {
            let plans = shared.plans.lock().expect("nobody panics with it");
            plans.get(&number).cloned()
        });
        let Some(plan) = plan else {
            // The gateway's own questions.
            write
                .write_all(b"HTTP/1.1 404 X\r\ncontent-length: 0\r\n\r\n")
                .await?;
            continue;
        };
        let seen = Seen {
            head,
            framing,
            body,
        };
        shared.note(plan.number, seen);
        if !answer(&mut write, &plan).await? {
            return write.shutdown().await;
        }
    }
    Ok(())
}

/// Answers; `false` when the connection ends with it.
async fn answer(write: &mut (impl AsyncWrite + Unpin), plan: &Plan) -> io::Result<bool> {
    let message = &plan.answer;
    let mut head = format!("HTTP/1.1 {} Some Reason\r\n", plan.status).into_bytes();
    for (name, value) in &message.headers {
        head.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
    }
    head.extend(message.frame().bytes());
    head.extend(b"\r\n");
    write.write_all(&head).await?;
    send_body(write, message).await?;
    let whole = message.breaks_off_at.is_none() && message.framing != Frame::UntilClose;
    Ok(whole)
}

/// Writes a body as its plan says, as far as it says.
pub(super) async fn send_body(
    write: &mut (impl AsyncWrite + Unpin),
    message: &Message,
) -> io::Result<()> {
    let mut left = message.breaks_off_at.unwrap_or(u64::MAX);
    for block in message.blocks() {
        let count = usize::try_from(left).unwrap_or(usize::MAX).min(block.len());
        if message.framing == Frame::Chunked {
            let size = format!("{:x}\r\n", block.len());
            write.write_all(size.as_bytes()).await?;
            write.write_all(&block[..count]).await?;
            if count < block.len() {
                return Ok(());
            }
            write.write_all(b"\r\n").await?;
        } else {
            write.write_all(&block[..count]).await?;
        }
        left -= count as u64;
        if left == 0 {
            return Ok(());
        }
    }
    if message.framing == Frame::Chunked {
        write.write_all(b"0\r\n\r\n").await?;
    }
    Ok(())
}
