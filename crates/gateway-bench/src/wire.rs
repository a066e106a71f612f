//! HTTP/1.1 messages read by the grammar of RFC 9112 and nothing beside it: what two parsers could
//! read differently is a fault here.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _};

/// Longest head that is read, in bytes.
const MAX_HEAD_BYTES: usize = 256 * 1024;

/// Bytes of a body that are kept; the rest is counted and summed.
const KEPT_BYTES: usize = 1024;

/// A start line with its header lines.
#[derive(Clone, Debug, Default)]
pub struct Head {
    /// Without its line end.
    pub start: String,
    /// Names in lower case, values as bytes without the blanks around them.
    pub headers: Vec<(String, Vec<u8>)>,
}

/// How a body is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// Neither a length nor a coding.
    None,
    /// A length in bytes.
    Length(u64),
    /// Chunks.
    Chunked,
}

/// What was read of a body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Body {
    /// Its length.
    pub bytes: u64,
    /// FNV-1a over all of it.
    pub hash: u64,
    /// The first bytes.
    pub kept: Vec<u8>,
}

impl Body {
    /// Takes in the next part.
    pub fn add(&mut self, part: &[u8]) {
        if self.bytes == 0 {
            self.hash = 0xcbf2_9ce4_8422_2325;
        }
        self.bytes += part.len() as u64;
        self.hash = part.iter().fold(self.hash, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
        });
        let room = KEPT_BYTES.saturating_sub(self.kept.len()).min(part.len());
        self.kept.extend_from_slice(&part[..room]);
    }
}

fn fault(what: &str, bytes: &[u8]) -> io::Error {
    let shown = &bytes[..bytes.len().min(300)];
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("{what}: {:?}", String::from_utf8_lossy(shown)),
    )
}

/// RFC 9110, section 5.6.2.
#[must_use]
pub fn is_token(bytes: &[u8]) -> bool {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !bytes.is_empty() && bytes.iter().all(is_part)
}

impl Head {
    fn parse(bytes: &[u8]) -> io::Result<Self> {
        let text = bytes.strip_suffix(b"\r\n\r\n").unwrap_or(bytes);
        let mut lines = text.split(|byte| *byte == b'\n');
        let start = lines.next().unwrap_or_default();
        let many = text.contains(&b'\n');
        let start = match many {
            true => start.strip_suffix(b"\r"),
            false => Some(start),
        };
        let start = start.ok_or_else(|| fault("a bare line feed", bytes))?;
        let mut headers = Vec::new();
        let mut lines = lines.peekable();
        while let Some(line) = lines.next() {
            let line = match lines.peek() {
                Some(_) => line.strip_suffix(b"\r"),
                None => Some(line),
            };
            let line = line.ok_or_else(|| fault("a bare line feed", bytes))?;
            headers.push(header(line).ok_or_else(|| fault("a broken header line", line))?);
        }
        if !start.iter().all(|byte| matches!(byte, b' '..=b'~')) {
            return Err(fault("a broken start line", start));
        }
        let start = String::from_utf8_lossy(start).into_owned();
        Ok(Self { start, headers })
    }

    /// Every value of a header.
    pub fn all<'h>(&'h self, name: &'h str) -> impl Iterator<Item = &'h [u8]> {
        let found = self.headers.iter().filter(move |(known, _)| known == name);
        found.map(|(_, value)| value.as_slice())
    }

    /// The first value of a header, as text.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<String> {
        let value = self.all(name).next();
        value.map(|value| String::from_utf8_lossy(value).into_owned())
    }

    /// How the body is delimited.
    ///
    /// # Errors
    /// When that can be read in two ways.
    pub fn framing(&self) -> io::Result<Framing> {
        let lengths: Vec<_> = self.all("content-length").collect();
        let codings: Vec<_> = self.all("transfer-encoding").collect();
        match (lengths.as_slice(), codings.as_slice()) {
            ([], []) => Ok(Framing::None),
            ([length], []) if !length.is_empty() && length.iter().all(u8::is_ascii_digit) => {
                let text = String::from_utf8_lossy(length);
                let number = text.parse();
                number
                    .map(Framing::Length)
                    .map_err(|_error| fault("an endless length", length))
            }
            ([], [coding]) if coding.eq_ignore_ascii_case(b"chunked") => Ok(Framing::Chunked),
            _ => Err(fault("two framings", format!("{self:?}").as_bytes())),
        }
    }
}

fn header(line: &[u8]) -> Option<(String, Vec<u8>)> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    let value = value.trim_ascii();
    // field-vchar, obs-text, blanks between (RFC 9110, section 5.5).
    let is_text = |byte: &u8| matches!(byte, b'\t' | b' '..=b'~' | 0x80..=0xff);
    if !is_token(name) || !value.iter().all(is_text) {
        return None;
    }
    let name = String::from_utf8_lossy(name).to_ascii_lowercase();
    Some((name, value.to_vec()))
}

/// Reads messages from a stream.
#[derive(Debug)]
pub struct Reader<R> {
    stream: R,
    buffer: Vec<u8>,
}

impl<R: AsyncRead + Unpin> Reader<R> {
    /// Reads from the beginning of a message.
    pub const fn new(stream: R) -> Self {
        Self {
            stream,
            buffer: Vec::new(),
        }
    }

    /// What was read and belongs to no message yet.
    #[must_use]
    pub fn ahead(&self) -> &[u8] {
        &self.buffer
    }

    /// Reads more; `false` at the end of the stream.
    ///
    /// # Errors
    /// When the stream breaks.
    pub async fn fill(&mut self) -> io::Result<bool> {
        self.buffer.reserve(16 * 1024);
        let count = self.stream.read_buf(&mut self.buffer).await?;
        Ok(count > 0)
    }

    /// The next head; `None` when the stream ends before one begins.
    ///
    /// # Errors
    /// `InvalidData` when it is none, and others when the stream breaks.
    pub async fn head(&mut self) -> io::Result<Option<Head>> {
        let mut searched = 0;
        loop {
            let from = searched;
            let rest = &self.buffer[from..];
            let end = rest.windows(4).position(|window| window == b"\r\n\r\n");
            if let Some(end) = end {
                let rest = self.buffer.split_off(from + end + 4);
                let head = std::mem::replace(&mut self.buffer, rest);
                return Head::parse(&head).map(Some);
            }
            searched = self.buffer.len().saturating_sub(3);
            if self.buffer.len() > MAX_HEAD_BYTES {
                return Err(fault("an endless head", &self.buffer));
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
            let wanted = usize::try_from(count).unwrap_or(usize::MAX);
            let available = self.buffer.len().min(wanted);
            body.add(&self.buffer[..available]);
            self.buffer.drain(..available);
            count -= available as u64;
        }
        Ok(())
    }

    async fn line(&mut self) -> io::Result<Vec<u8>> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|window| window == b"\r\n") {
                let rest = self.buffer.split_off(end + 2);
                let mut line = std::mem::replace(&mut self.buffer, rest);
                line.truncate(end);
                return Ok(line);
            }
            if self.buffer.len() > MAX_HEAD_BYTES {
                return Err(fault("an endless line", &self.buffer));
            }
            if !self.fill().await? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// The body, to its end. Chunks have a size in hexadecimal digits and nothing else.
    ///
    /// # Errors
    /// As [`Reader::head`].
    pub async fn body(&mut self, framing: Framing, body: &mut Body) -> io::Result<()> {
        match framing {
            Framing::None => Ok(()),
            Framing::Length(length) => self.take(length, body).await,
            Framing::Chunked => loop {
                let line = self.line().await?;
                let digits = line.iter().all(u8::is_ascii_hexdigit);
                let text = String::from_utf8_lossy(&line);
                let size = u64::from_str_radix(&text, 16).ok().filter(|_| digits);
                let size = size.ok_or_else(|| fault("a broken chunk size", &line))?;
                self.take(size, body).await?;
                let end = self.line().await?;
                if !end.is_empty() {
                    return Err(fault("no line end after a chunk, or a trailer", &end));
                }
                if size == 0 {
                    return Ok(());
                }
            },
        }
    }

    /// Everything until the stream ends.
    ///
    /// # Errors
    /// When the stream breaks.
    pub async fn rest(&mut self, body: &mut Body) -> io::Result<()> {
        loop {
            body.add(&std::mem::take(&mut self.buffer));
            if !self.fill().await? {
                return Ok(());
            }
        }
    }
}

/// Method and target of a request whose start line has one reading: a token, an origin-form, and
/// HTTP/1.1, with one blank between each two.
#[must_use]
pub fn request_line(start: &str) -> Option<(&str, &str)> {
    let mut parts = start.split(' ');
    let (method, target, version) = (parts.next()?, parts.next()?, parts.next()?);
    let whole = parts.next().is_none() && version == "HTTP/1.1" && is_token(method.as_bytes());
    (whole && target.starts_with('/')).then_some((method, target))
}

/// The status of an answer whose start line has one reading.
#[must_use]
pub fn status(start: &str) -> Option<u16> {
    let rest = start
        .strip_prefix("HTTP/1.1 ")
        .or_else(|| start.strip_prefix("HTTP/1.0 "))?;
    let (digits, reason) = rest.split_at_checked(3)?;
    let good = digits.bytes().all(|byte| byte.is_ascii_digit()) && reason.starts_with(' ');
    digits.parse().ok().filter(|_| good)
}
