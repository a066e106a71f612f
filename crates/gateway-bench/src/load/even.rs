//! A load at an even rate.

use std::collections::VecDeque;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::thread::set_current_timer_slack;

use super::answer::Answer;
use super::client::REQUEST;

/// Longest wait for an answer after the last request was due.
const PATIENCE: Duration = Duration::from_secs(30);

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

    fn note(&mut self, outcome: io::Result<Answer>, since: Instant) {
        if outcome.is_ok_and(|answer| answer.status == 200) {
            let took = u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX);
            self.times.saturating_record(took);
        } else {
            self.failures += 1;
        }
    }
}

/// Who asks for what.
#[derive(Clone, Debug)]
pub(super) struct Load {
    pub(super) address: SocketAddr,
    pub(super) request: Arc<[u8]>,
    /// Connections.
    pub(super) clients: usize,
}

impl Load {
    pub(super) fn new(address: SocketAddr, clients: usize) -> Self {
        Self {
            address,
            request: REQUEST.into(),
            clients,
        }
    }

    /// Asks at an even rate, for so long. The time of a request that could not be sent when it was due,
    /// because every connection waited for an answer, counts from then: a stall is not hidden by what it
    /// kept from being sent.
    ///
    /// One thread does all of it. With a task for each connection and another thread to wake them, the
    /// wakes came in bunches and took more of the processor than what was measured.
    pub(super) async fn at_rate(&self, per_second: f64, lasting: Duration) -> anyhow::Result<Seen> {
        let load = self.clone();
        tokio::task::spawn_blocking(move || load.run(per_second, lasting)).await?
    }

    fn run(&self, per_second: f64, lasting: Duration) -> anyhow::Result<Seen> {
        // By itself the system adds up to 50 us to every wait, to save wakes (prctl(2)).
        set_current_timer_slack(NonZeroU64::new(1))?;
        let mut lanes: Vec<_> = (0..self.clients).map(|_| Lane::default()).collect();
        for lane in &mut lanes {
            lane.stream = connect(self.address).ok();
        }
        let mut seen = Seen::new();
        // Taken in turns: a connection that nobody uses might be closed.
        let mut free: VecDeque<_> = (0..self.clients).collect();
        let mut late = VecDeque::new();
        let begin = Instant::now();
        let dues = (0_u32..).map(|count| Duration::from_secs_f64(f64::from(count) / per_second));
        let dues = dues.take_while(|due| *due < lasting);
        let mut dues = dues.map(|due| begin + due).peekable();
        let give_up = begin + lasting + PATIENCE;
        loop {
            let now = Instant::now();
            while let Some(due) = dues.next_if(|due| *due <= now) {
                match free.pop_front() {
                    Some(place) => {
                        self.ask(&mut lanes[place], Instant::now(), &mut seen);
                        free.extend(lanes[place].is_free().then_some(place));
                    }
                    None => late.push_back(due),
                }
            }
            let next = match dues.peek() {
                Some(due) => *due,
                None if free.len() == lanes.len() => return Ok(seen),
                None => give_up,
            };
            anyhow::ensure!(now < give_up, "an answer did not come within {PATIENCE:?}");
            for place in ready(&lanes, next)? {
                let lane = &mut lanes[place];
                lane.hear(&mut seen);
                while lane.is_free()
                    && let Some(due) = late.pop_front()
                {
                    self.ask(lane, due, &mut seen);
                }
                free.extend(lane.is_free().then_some(place));
            }
        }
    }

    /// Sends a request whose time counts from `since`.
    fn ask(&self, lane: &mut Lane, since: Instant, seen: &mut Seen) {
        let sent = match &mut lane.stream {
            // It fits into what an idle connection can take.
            Some(stream) => stream.write_all(&self.request),
            None => connect(self.address).and_then(|mut stream| {
                stream.write_all(&self.request)?;
                lane.stream = Some(stream);
                Ok(())
            }),
        };
        match sent {
            Ok(()) => lane.asked = Some(since),
            Err(error) => {
                lane.stream = None;
                seen.note(Err(error), since);
            }
        }
    }
}

/// One connection, and since when it waits for an answer.
#[derive(Debug, Default)]
struct Lane {
    stream: Option<TcpStream>,
    buffer: Vec<u8>,
    asked: Option<Instant>,
}

impl Lane {
    const fn is_free(&self) -> bool {
        self.asked.is_none()
    }

    /// Takes what has come.
    fn hear(&mut self, seen: &mut Seen) {
        let (Some(stream), Some(since)) = (&mut self.stream, self.asked) else {
            return;
        };
        let mut part = [0; 4 * 1024];
        let outcome = match stream.read(&mut part) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                self.buffer.extend_from_slice(&part[..count]);
                Answer::read(&self.buffer)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            Err(error) => Err(error),
        };
        let outcome = match outcome {
            Ok(None) => return,
            Ok(Some((answer, length))) => {
                self.buffer.drain(..length);
                Ok(answer)
            }
            Err(error) => Err(error),
        };
        if !outcome.as_ref().is_ok_and(|answer| !answer.is_last) {
            self.stream = None;
            self.buffer.clear();
        }
        self.asked = None;
        seen.note(outcome, since);
    }
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_nonblocking(true)?;
    Ok(stream)
}

/// The lanes that something has come for; none when it is time for the next request.
fn ready(lanes: &[Lane], next: Instant) -> anyhow::Result<Vec<usize>> {
    let asked = lanes.iter().enumerate();
    let asked = asked.filter(|(_, lane)| !lane.is_free());
    let (places, mut sockets): (Vec<_>, Vec<_>) = asked
        .filter_map(|(place, lane)| {
            Some((place, PollFd::new(lane.stream.as_ref()?, PollFlags::IN)))
        })
        .unzip();
    let wait = Timespec::try_from(next.saturating_duration_since(Instant::now()))?;
    poll(&mut sockets, Some(&wait))?;
    let places = places.into_iter().zip(&sockets);
    let ready = places.filter(|(_, socket)| !socket.revents().is_empty());
    Ok(ready.map(|(place, _)| place).collect())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::load::backend::Backend;

    #[tokio::test]
    async fn every_request_that_was_due_is_answered_and_counted() {
        let backend = Backend::start().await.unwrap();
        let load = Load::new(backend.address(), 4);
        let seen = load.at_rate(1_000.0, Duration::from_millis(300));
        let seen = seen.await.unwrap();
        assert_eq!((seen.times.len(), seen.failures), (300, 0));
    }

    #[tokio::test]
    async fn a_stall_is_not_hidden_by_what_it_kept_from_being_sent() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let service = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut part = [0; 1024];
            let mut stall = Duration::from_millis(300);
            while stream.read(&mut part).unwrap() > 0 {
                std::thread::sleep(std::mem::take(&mut stall));
                stream
                    .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
                    .unwrap();
            }
        });
        let load = Load::new(address, 1);
        let seen = load.at_rate(100.0, Duration::from_millis(100));
        let seen = seen.await.unwrap();
        assert_eq!((seen.times.len(), seen.failures), (10, 0));
        assert!(seen.times.min() >= 190_000, "{} us", seen.times.min());
        service.join().unwrap();
    }

    #[tokio::test]
    async fn what_is_closed_or_refused_is_a_failure_and_the_next_one_is_tried_anew() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let service = std::thread::spawn(move || {
            for answer in [
                "",
                "HTTP/1.1 500 X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
                "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
            ] {
                let (mut stream, _) = listener.accept().unwrap();
                let count = stream.read(&mut [0; 1024]).unwrap();
                assert!(count > 0);
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        let load = Load::new(address, 1);
        let seen = load.at_rate(100.0, Duration::from_millis(50));
        let seen = seen.await.unwrap();
        service.join().unwrap();
        // Two that were not answered well, and two after the service had gone.
        assert_eq!((seen.times.len(), seen.failures), (1, 4));
    }
}
