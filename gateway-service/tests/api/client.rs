//! A client that writes bytes and reads what comes back, strictly.

use std::net::SocketAddr;
use std::time::Duration;

use common::error::Problem;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::timeout;

use crate::messages::{Body, Framing, Head, Reader};

/// No answer may take longer.
const PATIENCE: Duration = Duration::from_secs(15);

/// An answer, as far as it came.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: Head,
    pub(crate) body: Body,
    /// Whether the body came to the end that the head announced.
    pub(crate) complete: bool,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        self.body.text()
    }

    /// The answer, if it has this status.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{} {}", self.head.start, self.text());
        self
    }

    /// The problem document, if it is one with this status and code.
    #[track_caller]
    pub(crate) fn problem(self, status: u16, code: &str) -> Self {
        let answer = self.expect(status);
        let media_type = answer.head.one("content-type");
        assert_eq!(media_type.as_deref(), Some("application/problem+json"));
        let problem: Problem = serde_json::from_slice(&answer.body.kept).expect("a problem");
        assert_eq!((problem.status, problem.code.as_str()), (status, code));
        assert_eq!(problem.request_id, answer.head.one("x-request-id"));
        let told = answer.head.one("proxy-status").unwrap_or_default();
        assert!(told.starts_with("maru; error="), "{told:?}");
        answer
    }
}

/// A connection.
pub(crate) struct Client {
    pub(crate) reader: Reader<OwnedReadHalf>,
    pub(crate) writer: OwnedWriteHalf,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address)
            .await
            .expect("the gateway listens");
        Self::on(stream)
    }

    pub(crate) fn on(stream: TcpStream) -> Self {
        let (read, writer) = stream.into_split();
        Self {
            reader: Reader::new(read),
            writer,
        }
    }

    /// Writes bytes; that the other side has closed already is no error.
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _closed = self.writer.write_all(bytes.as_ref()).await;
    }

    /// Writes a request and reads its answer.
    pub(crate) async fn ask(&mut self, request: &str) -> Answer {
        self.send(request).await;
        let is_head = request.starts_with("HEAD ");
        self.answer(is_head).await.expect("an answer")
    }

    /// The next answer; `None` when the connection ends before it.
    pub(crate) async fn answer(&mut self, is_head: bool) -> Option<Answer> {
        let read = timeout(PATIENCE, self.read(is_head)).await;
        read.expect("the gateway answers in time")
    }

    async fn read(&mut self, is_head: bool) -> Option<Answer> {
        let head = self.reader.head().await.ok()??;
        let status = head.start.split(' ').nth(1)?.parse().ok()?;
        let mut body = Body::default();
        let framing = head.framing().expect("one framing");
        let has_body = !(is_head || matches!(status, 100..=199 | 204 | 304));
        let read = match framing {
            _ if !has_body => Ok(()),
            Framing::None => self.reader.rest(&mut body).await,
            framing => self.reader.body(framing, &mut body).await,
        };
        Some(Answer {
            status,
            head,
            body,
            complete: read.is_ok(),
        })
    }

    /// Whether the connection ends without another byte.
    pub(crate) async fn is_closed(&mut self) -> bool {
        let part = timeout(PATIENCE, self.reader.part())
            .await
            .expect("the end of the connection");
        part.map_or(true, |part| part.is_empty())
    }
}
