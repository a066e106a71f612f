//! Clients that keep their connections.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;

/// What every client asks for.
pub(super) const REQUEST: &[u8] =
    b"GET /api/orders/1 HTTP/1.1\r\nHost: bench\r\nAccept: */*\r\n\r\n";

/// One kept connection.
#[derive(Debug)]
pub(super) struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// What an answer said.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// Whether it was the last one of its connection.
    pub(super) is_last: bool,
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
        let end = loop {
            let end = self.buffer.windows(4).position(|four| four == b"\r\n\r\n");
            if let Some(end) = end {
                break end + 4;
            }
            self.fill().await?;
        };
        let head = String::from_utf8_lossy(&self.buffer[..end]).to_ascii_lowercase();
        let field = |name: &str| {
            let mut lines = head.lines();
            lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
        };
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        let length = field("content-length").and_then(|length| length.parse::<usize>().ok());
        let is_last = field("connection").is_some_and(|value| value.contains("close"));
        let length = length.ok_or_else(|| io::Error::other(head.clone()))?;
        while self.buffer.len() < end + length {
            self.fill().await?;
        }
        self.buffer.drain(..end + length);
        Ok(Answer {
            status: status.unwrap_or(0),
            is_last,
        })
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

/// What a load has seen.
#[derive(Debug)]
pub(super) struct Seen {
    /// In microseconds.
    pub(super) times: Histogram<u64>,
    pub(super) failures: u64,
}

impl Seen {
    fn new() -> Self {
        let times = Histogram::new_with_max(60_000_000, 3)
            .expect("a minute in microseconds with three digits");
        Self { times, failures: 0 }
    }

    pub(super) fn micros(&self, quantile: f64) -> u64 {
        self.times.value_at_quantile(quantile)
    }
}

/// Who asks for what.
#[derive(Clone, Debug)]
pub(super) struct Load {
    pub(super) address: SocketAddr,
    pub(super) request: Arc<[u8]>,
    /// Connections.
    pub(super) clients: u32,
}

impl Load {
    pub(super) fn new(address: SocketAddr, clients: u32) -> Self {
        Self {
            address,
            request: REQUEST.into(),
            clients,
        }
    }

    /// Asks at an even rate, for so long. The time of a request that could not be sent when it was due,
    /// for the one before it, counts from then: a stall is not hidden by what it kept from being sent.
    pub(super) async fn at_rate(&self, per_second: f64, lasting: Duration) -> anyhow::Result<Seen> {
        let (mut tasks, mut bells) = (JoinSet::new(), Vec::new());
        for _ in 0..self.clients {
            let (bell, dues) = unbounded_channel();
            bells.push(bell);
            tasks.spawn(self.clone().one_at_rate(dues));
        }
        let ringing = std::thread::spawn(move || ring(&bells, per_second, lasting));
        let mut all = Seen::new();
        while let Some(seen) = tasks.join_next().await {
            let seen = seen?;
            all.times.add(&seen.times)?;
            all.failures += seen.failures;
        }
        // It has ended, or the clients would not have.
        let _ = ringing.join();
        Ok(all)
    }

    async fn one_at_rate(self, mut dues: UnboundedReceiver<Instant>) -> Seen {
        let mut seen = Seen::new();
        let mut client = Client::connect(self.address).await;
        loop {
            let began = match dues.try_recv() {
                Ok(due) => due,
                Err(_none_yet) => match dues.recv().await {
                    Some(_due_now) => Instant::now(),
                    None => return seen,
                },
            };
            let asked = match &mut client {
                Ok(client) => client.ask_for(&self.request).await,
                Err(_refused) => Err(io::ErrorKind::ConnectionRefused.into()),
            };
            if asked.is_ok_and(|answer| answer.status == 200) {
                let took = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
                seen.times.saturating_record(took);
            } else {
                seen.failures += 1;
                client = Client::connect(self.address).await;
            }
        }
    }
}

/// Tells one client after the other when its next request is due. A thread does it: the clock of the
/// runtime has steps of a millisecond, in which an even rate would come in bunches.
fn ring(bells: &[UnboundedSender<Instant>], per_second: f64, lasting: Duration) {
    let begin = Instant::now() + Duration::from_millis(50);
    let dues =
        (0_u32..).map(|count| begin + Duration::from_secs_f64(f64::from(count) / per_second));
    let dues = dues.take_while(|due| *due < begin + lasting);
    for (due, bell) in dues.zip(bells.iter().cycle()) {
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        // A client that has ended has failed, and says so itself.
        let _ = bell.send(due);
    }
}

/// Asks as fast as answers come over `clients` connections; requests per second.
pub(super) async fn at_once(
    address: SocketAddr,
    clients: u32,
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
