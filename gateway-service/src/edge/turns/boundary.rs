//! Where one request ends and the next begins, found while the bytes go by.
//!
//! It decides only how far the server's parser is allowed to see, never what a request is: that is
//! the parser's office. So whatever is not plain here ends what the parser gets to see.

/// Longest head that is looked through; the parser refuses shorter ones.
const MAX_HEAD_BYTES: usize = 256 * 1024;

/// What the bytes that come next are.
#[derive(Debug, PartialEq, Eq)]
enum Phase {
    /// Part of a head.
    Head,
    /// A body of which so many bytes are left.
    Length(u64),
    /// A body in chunks.
    Chunks(Chunk),
    /// Another protocol, for as long as the connection lives.
    Through,
    /// Nothing that may be seen before the request is answered.
    Complete,
    /// Nothing that may be seen at all.
    Sealed,
}

/// Where in a chunked body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chunk {
    /// In the digits of a size, which is so large so far.
    Size(u64),
    /// In what follows the digits.
    Extension(u64),
    /// In the data, of which so many bytes are left, with the line end behind them.
    Data(u64),
    /// Behind the last chunk, in a line that is so long so far.
    Trailer(u64),
}

/// Looks for the ends of requests.
#[derive(Debug)]
pub(super) struct Boundary {
    phase: Phase,
    /// What has come of a head that is not whole.
    head: Vec<u8>,
}

impl Boundary {
    /// At the beginning of a request.
    pub(super) const fn new() -> Self {
        Self {
            phase: Phase::Head,
            head: Vec::new(),
        }
    }

    /// For a connection on which requests do not follow each other.
    pub(super) const fn none() -> Self {
        Self {
            phase: Phase::Through,
            head: Vec::new(),
        }
    }

    /// Whether a whole request has gone by, and what follows must wait for its answer.
    pub(super) fn is_complete(&self) -> bool {
        self.phase == Phase::Complete
    }

    /// Whether nothing of a next request has come.
    pub(super) fn is_between(&self) -> bool {
        self.phase == Phase::Head && self.head.is_empty()
    }

    pub(super) fn is_sealed(&self) -> bool {
        self.phase == Phase::Sealed
    }

    /// The request has been answered: the next one may come.
    pub(super) fn answered(&mut self) {
        self.phase = Phase::Head;
    }

    /// Whether more of a request is to come, as far as can be seen.
    pub(super) fn is_inside(&self) -> bool {
        match self.phase {
            Phase::Head => !self.head.is_empty(),
            Phase::Length(_) | Phase::Chunks(_) => true,
            Phase::Through | Phase::Complete | Phase::Sealed => false,
        }
    }

    /// Nothing more may be seen.
    pub(super) fn seal(&mut self) {
        self.phase = Phase::Sealed;
        self.head = Vec::new();
    }

    /// How many of these bytes the parser may see now.
    pub(super) fn pass(&mut self, bytes: &[u8]) -> usize {
        let mut passed = 0;
        while let Some(rest) = bytes.get(passed..).filter(|rest| !rest.is_empty()) {
            passed += match self.phase {
                Phase::Through => rest.len(),
                Phase::Complete | Phase::Sealed => break,
                Phase::Head => self.pass_head(rest),
                Phase::Length(left) => {
                    let count = rest.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                    self.phase = match left - count as u64 {
                        0 => Phase::Complete,
                        left => Phase::Length(left),
                    };
                    count
                }
                Phase::Chunks(chunk) => self.pass_chunk(chunk, rest),
            };
        }
        passed
    }

    fn pass_head(&mut self, bytes: &[u8]) -> usize {
        if self.head.is_empty() {
            // Empty lines before a request are no part of it (RFC 9112, section 2.2).
            let blank = bytes
                .iter()
                .take_while(|byte| matches!(byte, b'\r' | b'\n'));
            let blank = blank.count();
            if blank > 0 {
                return blank;
            }
            // Nearly always the whole head is here.
            if let Some(end) = head_end(bytes, 0) {
                self.phase = after(bytes.get(..end).unwrap_or_default());
                return end;
            }
        }
        let before = self.head.len();
        self.head.extend_from_slice(bytes);
        match head_end(&self.head, before.saturating_sub(2)) {
            Some(end) => {
                self.phase = after(self.head.get(..end).unwrap_or_default());
                self.head = Vec::new();
                end - before
            }
            None if self.head.len() > MAX_HEAD_BYTES => {
                self.seal();
                bytes.len()
            }
            None => bytes.len(),
        }
    }

    fn pass_chunk(&mut self, chunk: Chunk, bytes: &[u8]) -> usize {
        if let Chunk::Data(left) = chunk {
            let count = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            self.phase = Phase::Chunks(match left - count as u64 {
                0 => Chunk::Size(0),
                left => Chunk::Data(left),
            });
            return count;
        }
        let byte = bytes.first().copied().unwrap_or(0);
        let next = match chunk {
            Chunk::Size(size) if byte.is_ascii_hexdigit() => {
                let digit = char::from(byte).to_digit(16).map(u64::from);
                let larger = size.checked_mul(16).zip(digit);
                larger.map(|(size, digit)| Chunk::Size(size + digit))
            }
            Chunk::Size(size) | Chunk::Extension(size) if byte == b'\n' => match size {
                0 => Some(Chunk::Trailer(0)),
                // The line end behind the data.
                size => size.checked_add(2).map(Chunk::Data),
            },
            Chunk::Size(size) | Chunk::Extension(size) => Some(Chunk::Extension(size)),
            Chunk::Trailer(0) if byte == b'\n' => {
                self.phase = Phase::Complete;
                return 1;
            }
            Chunk::Trailer(_) if byte == b'\n' => Some(Chunk::Trailer(0)),
            Chunk::Trailer(length) if byte == b'\r' => Some(Chunk::Trailer(length)),
            Chunk::Trailer(length) => Some(Chunk::Trailer(length.saturating_add(1))),
            Chunk::Data(_) => None,
        };
        self.phase = next.map_or(Phase::Sealed, Phase::Chunks);
        1
    }
}

/// Behind the empty line that ends a head; lines end as the parser takes them, with a carriage return
/// or without one.
fn head_end(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        let rest = bytes.get(at..)?;
        at += rest.iter().position(|byte| *byte == b'\n')? + 1;
        match bytes.get(at..)? {
            [b'\n', ..] => return Some(at + 1),
            [b'\r', b'\n', ..] => return Some(at + 2),
            _ => {}
        }
    }
}

/// What follows a head.
fn after(head: &[u8]) -> Phase {
    let (mut length, mut chunked, mut switches) = (None, false, false);
    for line in head.split(|byte| *byte == b'\n').skip(1) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            continue;
        };
        let (name, value) = line.split_at(colon);
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        let name = name.trim_ascii();
        if name.eq_ignore_ascii_case(b"content-length") {
            let digits = value.iter().all(u8::is_ascii_digit);
            let text = std::str::from_utf8(value).ok().filter(|_| digits);
            let number = text.and_then(|text| text.parse::<u64>().ok());
            let Some(number) = number.filter(|_| length.is_none()) else {
                return Phase::Sealed;
            };
            length = Some(number);
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if chunked || !value.eq_ignore_ascii_case(b"chunked") {
                return Phase::Sealed;
            }
            chunked = true;
        } else if name.eq_ignore_ascii_case(b"upgrade") {
            switches |= value.eq_ignore_ascii_case(b"websocket");
        }
    }
    match (length, chunked) {
        (Some(_), true) => Phase::Sealed,
        (None, false) if switches && is_plain_get(head) => Phase::Through,
        _ if switches => Phase::Sealed,
        (None, true) => Phase::Chunks(Chunk::Size(0)),
        (None | Some(0), false) => Phase::Complete,
        (Some(length), false) => Phase::Length(length),
    }
}

/// Whether the parser reads what follows a request for a WebSocket as one endless stream: any other
/// request for one is refused, and nothing behind it must be read as a request.
fn is_plain_get(head: &[u8]) -> bool {
    let line = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
    line.starts_with(b"GET ") && line.trim_ascii_end().ends_with(b" HTTP/1.1")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How far the parser sees of a stream that comes in pieces of this size.
    fn seen(stream: &[u8], piece: usize) -> (usize, Boundary) {
        let mut boundary = Boundary::new();
        let passed = stream.chunks(piece).map(|piece| boundary.pass(piece)).sum();
        (passed, boundary)
    }

    #[test]
    fn a_request_ends_where_its_framing_says() {
        for (first, rest) in [
            ("GET / HTTP/1.1\r\nHost: x\r\n\r\n", "GET / HTTP/1.1\r\n"),
            ("\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", "\r\n"),
            ("GET / HTTP/1.1\nHost: x\n\n", "GET"),
            ("GET / HTTP/1.1\nHost: x\n\r\n", "GET"),
            ("POST / HTTP/1.1\r\ncontent-LENGTH: 5\r\n\r\nhello", "GET"),
            (
                "POST / HTTP/1.1\r\nContent-Length:005\r\n\r\nhel\r\n",
                "GET",
            ),
            ("POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n", "GET"),
            (
                "POST / HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n5;a=\"0\"\r\nhello\r\n1\r\n\n\r\n00\r\nx-sum: 1\r\n\r\n",
                "GET",
            ),
            (
                "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                "0\r\n\r\n",
            ),
            (
                "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n0\r\n\r\n\r\n0\r\n\r\n",
                "GET",
            ),
        ] {
            let stream = [first, rest].concat();
            for piece in [1, 2, 3, 7, 1000] {
                let (passed, boundary) = seen(stream.as_bytes(), piece);
                assert_eq!(passed, first.len(), "{stream:?} in pieces of {piece}");
                assert!(boundary.is_complete(), "{stream:?}");
            }
        }
    }

    #[test]
    fn behind_what_is_not_plain_nothing_is_seen() {
        for headers in [
            "Content-Length: 5\r\nContent-Length: 5\r\n",
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
            "Content-Length: +5\r\n",
            "Content-Length: 5, 5\r\n",
            "Content-Length: 99999999999999999999\r\n",
            "Transfer-Encoding: gzip, chunked\r\n",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            "Content-Length : x\r\n",
            "Upgrade: websocket\r\n",
            "Upgrade: websocket\r\nContent-Length: 0\r\n",
            "Upgrade: websocket\r\nTransfer-Encoding: chunked\r\n",
        ] {
            let head = format!("POST / HTTP/1.1\r\n{headers}\r\n");
            let (passed, boundary) = seen(format!("{head}GET /").as_bytes(), 1000);
            assert_eq!(passed, head.len(), "{headers:?}");
            assert!(boundary.is_sealed(), "{headers:?}");
        }
        let huge = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n";
        assert!(seen(huge, 1000).1.is_sealed());
    }

    #[test]
    fn another_protocol_goes_through() {
        let stream = b"GET / HTTP/1.1\r\nUpgrade: WebSocket\r\n\r\n\x81\x05hello\n\n\n";
        assert_eq!(seen(stream, 4).0, stream.len());
    }

    #[test]
    fn the_next_request_comes_after_the_answer() {
        let mut boundary = Boundary::new();
        let stream = b"GET / HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\n";
        assert_eq!(boundary.pass(stream), 18);
        assert_eq!(boundary.pass(&stream[18..]), 0);
        boundary.answered();
        assert_eq!(boundary.pass(&stream[18..]), 19);
    }
}
