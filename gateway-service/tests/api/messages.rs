//! HTTP/1.1 messages as bytes: a strict reader for both sides, which holds to nothing but what the
//! RFC says, so that what it accepts has one meaning.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _};

/// Bytes of a body that are kept; the rest is only counted and summed.
const KEPT_BYTES: usize = 64 * 1024;

/// A start line with its headers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Head {
    pub(crate) start: String,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
}

impl Head {
    /// Every value of a header, as text.
    pub(crate) fn all(&self, name: &str) -> Vec<String> {
        let found = self.headers.iter().filter(|(known, _)| known == name);
        found
            .map(|(_, value)| String::from_utf8_lossy(value).into_owned())
            .collect()
    }

    /// The one value of a header.
    #[track_caller]
    pub(crate) fn one(&self, name: &str) -> Option<String> {
        let mut all = self.all(name);
        assert!(
            all.len() < 2,
            "{name} stands {} times in {self:?}",
            all.len()
        );
        all.pop()
    }

    fn parse(bytes: &[u8]) -> io::Result<Self> {
        let mut lines = bytes
            .split(|byte| *byte == b'\n')
            .map(|line| line.strip_suffix(b"\r"));
        let broken =
            || io::Error::other(format!("broken head: {:?}", String::from_utf8_lossy(bytes)));
        let start = lines.next().flatten().ok_or_else(broken)?;
        let mut headers = Vec::new();
        for line in lines {
            let line = line.ok_or_else(broken)?;
            if line.is_empty() {
                break;
            }
            let colon = line
                .iter()
                .position(|byte| *byte == b':')
                .ok_or_else(broken)?;
            let name = std::str::from_utf8(&line[..colon]).map_err(io::Error::other)?;
            if name.is_empty() || name.contains([' ', '\t']) {
                return Err(broken());
            }
            headers.push((
                name.to_ascii_lowercase(),
                line[colon + 1..].trim_ascii().to_vec(),
            ));
        }
        let start = String::from_utf8(start.to_vec()).map_err(io::Error::other)?;
        Ok(Self { start, headers })
    }

    /// How the body is delimited.
    pub(crate) fn framing(&self) -> io::Result<Framing> {
        let (lengths, codings) = (self.all("content-length"), self.all("transfer-encoding"));
        match (lengths.as_slice(), codings.as_slice()) {
            ([], []) => Ok(Framing::None),
            ([length], []) if length.bytes().all(|byte| byte.is_ascii_digit()) => {
                Ok(Framing::Length(length.parse().map_err(io::Error::other)?))
            }
            ([], [coding]) if coding == "chunked" => Ok(Framing::Chunked),
            _ => Err(io::Error::other(format!("ambiguous framing: {self:?}"))),
        }
    }
}

/// How a body is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    None,
    Length(u64),
    Chunked,
}

/// What was read of a body.
#[derive(Clone, Debug, Default)]
pub(crate) struct Body {
    pub(crate) bytes: u64,
    /// Sum of all bytes, to compare long bodies by.
    pub(crate) sum: u64,
    /// The first bytes.
    pub(crate) kept: Vec<u8>,
    /// Sizes of the chunks, when it was chunked.
    pub(crate) chunks: Vec<usize>,
}

impl Body {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.kept).into_owned()
    }

    pub(crate) fn add(&mut self, part: &[u8]) {
        self.bytes += part.len() as u64;
        self.sum += part.iter().map(|byte| u64::from(*byte)).sum::<u64>();
        let room = KEPT_BYTES.saturating_sub(self.kept.len()).min(part.len());
        self.kept.extend_from_slice(&part[..room]);
    }
}

/// Reads messages from a stream.
pub(crate) struct Reader<R> {
    stream: R,
    buffer: Vec<u8>,
}

impl<R: AsyncRead + Unpin> Reader<R> {
    pub(crate) fn new(stream: R) -> Self {
        Self {
            stream,
            buffer: Vec::new(),
        }
    }

    /// Reads more; `false` at the end of the stream.
    async fn fill(&mut self) -> io::Result<bool> {
        self.buffer.reserve(16 * 1024);
        let count = self.stream.read_buf(&mut self.buffer).await?;
        Ok(count > 0)
    }

    /// The next head; `None` when the stream ends before one begins.
    pub(crate) async fn head(&mut self) -> io::Result<Option<Head>> {
        loop {
            if let Some(end) = self
                .buffer
                .windows(4)
                .position(|window| window == b"\r\n\r\n")
            {
                let rest = self.buffer.split_off(end + 4);
                let head = std::mem::replace(&mut self.buffer, rest);
                return Head::parse(&head).map(Some);
            }
            if !self.fill().await? {
                return match self.buffer.is_empty() {
                    true => Ok(None),
                    false => Err(io::ErrorKind::UnexpectedEof.into()),
                };
            }
        }
    }

    async fn take(&mut self, mut count: u64, body: &mut Body) -> io::Result<()> {
        while count > 0 {
            if self.buffer.is_empty() && !self.fill().await? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let available = self.buffer.len().min(usize::try_from(count).unwrap());
            body.add(&self.buffer[..available]);
            self.buffer.drain(..available);
            count -= available as u64;
        }
        Ok(())
    }

    async fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|window| window == b"\r\n") {
                let rest = self.buffer.split_off(end + 2);
                let line = std::mem::replace(&mut self.buffer, rest);
                return String::from_utf8(line[..end].to_vec()).map_err(io::Error::other);
            }
            if !self.fill().await? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// The body, to its end.
    pub(crate) async fn body(&mut self, framing: Framing, body: &mut Body) -> io::Result<()> {
        match framing {
            Framing::None => Ok(()),
            Framing::Length(length) => self.take(length, body).await,
            Framing::Chunked => loop {
                let line = self.line().await?;
                let size = u64::from_str_radix(&line, 16).map_err(io::Error::other)?;
                if size == 0 {
                    let end = self.line().await?;
                    assert_eq!(end, "", "trailers after the last chunk");
                    return Ok(());
                }
                body.chunks.push(usize::try_from(size).unwrap());
                self.take(size, body).await?;
                if !self.line().await?.is_empty() {
                    return Err(io::Error::other("no line end after a chunk"));
                }
            },
        }
    }

    /// Everything until the stream ends.
    pub(crate) async fn rest(&mut self, body: &mut Body) -> io::Result<()> {
        loop {
            body.add(&std::mem::take(&mut self.buffer));
            if !self.fill().await? {
                return Ok(());
            }
        }
    }

    /// The next part of the stream, as it comes; empty at its end.
    pub(crate) async fn part(&mut self) -> io::Result<Vec<u8>> {
        if self.buffer.is_empty() {
            self.fill().await?;
        }
        Ok(std::mem::take(&mut self.buffer))
    }
}
