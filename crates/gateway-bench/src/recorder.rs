//! A service that reads strictly, notes every request that reaches it, and answers it by its number.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::wire::{Body, Framing, Head, Reader, request_line};

/// The header of an answer that holds the request's number.
pub const NUMBER_HEADER: &str = "x-recorded";

/// The header of an answer that holds the request's target.
pub const TARGET_HEADER: &str = "x-target";

/// What has reached it.
#[derive(Debug, Default)]
pub struct Notes {
    /// The targets of whole requests whose answers nobody has shown yet, by their numbers.
    pub open: HashMap<u64, String>,
    /// Whole requests.
    pub whole: u64,
    /// Requests that broke off: their client or the gateway gave them up.
    pub broken_off: u64,
    /// What no parser may let pass.
    pub faults: Vec<String>,
}

/// The service; it ends with this value.
#[derive(Debug)]
pub struct Recorder {
    address: SocketAddr,
    notes: Arc<Mutex<Notes>>,
    task: JoinHandle<()>,
}

impl Recorder {
    /// Starts it on a free port.
    ///
    /// # Errors
    /// When there is none.
    pub async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let notes = Arc::new(Mutex::new(Notes::default()));
        let shared = Arc::clone(&notes);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let notes = Arc::clone(&shared);
                tokio::spawn(async move {
                    let Err(error) = serve(stream, &notes).await else {
                        return;
                    };
                    let mut notes = notes.lock().expect("nobody panics with it");
                    match error.kind() {
                        io::ErrorKind::InvalidData => notes.faults.push(error.to_string()),
                        _ => notes.broken_off += 1,
                    }
                });
            }
        });
        Ok(Self {
            address,
            notes,
            task,
        })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Looks at what has reached it.
    ///
    /// # Panics
    /// When somebody has panicked while looking.
    pub fn notes<T>(&self, look: impl FnOnce(&mut Notes) -> T) -> T {
        look(&mut self.notes.lock().expect("nobody panics with it"))
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut stream: TcpStream, notes: &Mutex<Notes>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (read, mut write) = stream.split();
    let mut reader = Reader::new(read);
    while let Some(head) = reader.head().await? {
        let wrong = |what: &str| {
            let text = format!("{what}: {head:?}");
            io::Error::new(io::ErrorKind::InvalidData, text)
        };
        let line = request_line(&head.start).ok_or_else(|| wrong("a broken request line"))?;
        let (method, target) = (line.0.to_owned(), line.1.to_owned());
        if head.all("host").count() != 1 {
            return Err(wrong("not one Host"));
        }
        let framing = head.framing()?;
        let mut body = Body::default();
        reader.body(framing, &mut body).await?;
        if let Some(answer) = own(&head) {
            write.write_all(answer.as_bytes()).await?;
            continue;
        }
        if !reader.ahead().is_empty() {
            return Err(wrong("bytes behind a request that nobody has answered"));
        }
        let number = note(notes, &target);
        let answer = answer(&method, &target, number, framing, body.bytes);
        write.write_all(answer.as_bytes()).await?;
    }
    Ok(())
}

fn note(notes: &Mutex<Notes>, target: &str) -> u64 {
    let mut notes = notes.lock().expect("nobody panics with it");
    notes.whole += 1;
    let number = notes.whole;
    notes.open.insert(number, target.to_owned());
    number
}

fn answer(method: &str, target: &str, number: u64, framing: Framing, length: u64) -> String {
    let body = format!("{method} {framing:?} {length}");
    let head = format!(
        "HTTP/1.1 200 OK\r\n{NUMBER_HEADER}: {number}\r\n{TARGET_HEADER}: {target}\r\nx-method: {method}\r\n"
    );
    match number % 2 {
        _ if method == "HEAD" => format!("{head}content-length: {}\r\n\r\n", body.len()),
        0 => format!("{head}content-length: {}\r\n\r\n{body}", body.len()),
        _ => format!(
            "{head}transfer-encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
            body.len()
        ),
    }
}

/// What the gateway asks on its own behalf; nothing that it forwards has these targets.
fn own(head: &Head) -> Option<String> {
    let body = match head.start.as_str() {
        "GET /health HTTP/1.1" => {
            r#"{"status":"healthy","service":"test","version":"1.2.3","uptime_s":1,"checks":[]}"#
        }
        "GET /openapi.json HTTP/1.1" => "{}",
        "GET /.well-known/jwks.json HTTP/1.1" => r#"{"keys":[]}"#,
        "POST /internal/tokens HTTP/1.1" => "{}",
        _ => return None,
    };
    Some(format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    ))
}
