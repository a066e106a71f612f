//! Clients that keep their connections.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::answer::Answer;

/// What every client asks for.
pub(super) const REQUEST: &[u8] =
    b"GET /api/orders/1 HTTP/1.1\r\nHost: bench\r\nAccept: */*\r\n\r\n";

/// One kept connection.
#[derive(Debug)]
pub(super) struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    pub(super) async fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: Vec::new(),
        })
    }

    /// Asks and reads the whole answer; one without a length is a fault here.
    pub(super) async fn ask(&mut self) -> io::Result<Answer> {
        self.ask_for(REQUEST).await
    }

    pub(super) async fn ask_for(&mut self, request: &[u8]) -> io::Result<Answer> {
        self.stream.write_all(request).await?;
        self.answer().await
    }

    async fn answer(&mut self) -> io::Result<Answer> {
        loop {
            if let Some((answer, length)) = Answer::read(&self.buffer)? {
                self.buffer.drain(..length);
                return Ok(answer);
            }
            self.fill().await?;
        }
    }

    /// Whether nothing of an answer has come that is not whole.
    pub(super) fn is_between_answers(&self) -> bool {
        self.buffer.is_empty()
    }

    async fn fill(&mut self) -> io::Result<()> {
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

/// Asks as fast as answers come over `clients` connections; requests per second.
pub(super) async fn at_once(
    address: SocketAddr,
    clients: usize,
    lasting: Duration,
) -> anyhow::Result<f64> {
    let begin = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..clients {
        tasks.spawn(async move {
            let mut client = Client::connect(address).await?;
            let mut count = 0_u32;
            while begin.elapsed() < lasting {
                client.ask().await?;
                count += 1;
            }
            io::Result::Ok(count)
        });
    }
    let mut count = 0;
    while let Some(asked) = tasks.join_next().await {
        count += asked??;
    }
    Ok(f64::from(count) / begin.elapsed().as_secs_f64())
}
