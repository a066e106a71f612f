//! What is sent: a few requests in one stream, mutated where parsers are known to differ.

use crate::rng::Rng;

/// One stream of bytes, and where it is cut into pieces.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) number: u64,
    pub(super) bytes: Vec<u8>,
    cuts: Vec<usize>,
    /// Whether a request of it could be a HEAD.
    pub(super) may_have_head: bool,
}

impl Stream {
    fn new(number: u64, bytes: Vec<u8>, mut cuts: Vec<usize>) -> Self {
        cuts.sort_unstable();
        let may_have_head = bytes.windows(4).any(|window| window == b"HEAD");
        Self {
            number,
            bytes,
            cuts,
            may_have_head,
        }
    }

    /// The pieces in which it is written.
    pub(super) fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.cuts.iter().copied());
        let ends = self.cuts.iter().copied();
        let ends = ends.chain(std::iter::once(self.bytes.len()));
        let pieces = starts.zip(ends).map(|(start, end)| &self.bytes[start..end]);
        pieces.filter(|piece| !piece.is_empty())
    }
}

/// The number of no stream of a run.
const NO_RUN: u64 = u64::MAX >> 8;

/// One good request.
pub(super) fn plain() -> Stream {
    Stream::new(NO_RUN, last(NO_RUN), Vec::new())
}

/// The stream of this number; always the same one for a seed.
pub(super) fn stream_of(seed: u64, number: u64) -> Stream {
    let mut rng = Rng::of(seed, number);
    let count = 1 + rng.below(4);
    let mut bytes = Vec::new();
    for index in 0..count {
        bytes.extend(request(&mut rng, number, index));
    }
    // One in eight streams is sent as it is: the good must go on among the bad.
    let mutations = *rng.pick(&[0, 1, 1, 1, 1, 2, 2, 4]);
    for _ in 0..mutations {
        mutate(&mut rng, &mut bytes);
    }
    // Most end with a request that ends the connection; others leave the gateway waiting.
    if !rng.once_in(16) {
        bytes.extend(last(number));
    }
    let cuts = (0..rng.below(4)).map(|_| rng.below(bytes.len() + 1));
    let cuts = cuts.collect();
    Stream::new(number, bytes, cuts)
}

fn check_of(number: u64) -> u64 {
    Rng::new(number).number() & 0xffff_ffff
}

fn path(number: u64, index: &str) -> String {
    format!("/api/orders/s{number:x}k{:08x}-{index}", check_of(number))
}

/// The number of the stream that a target belongs to, unless that was mutated.
pub(super) fn number_in(target: &str) -> Option<u64> {
    let rest = target.strip_prefix("/api/orders/s")?;
    let (number, rest) = rest.split_once('k')?;
    let number = u64::from_str_radix(number, 16).ok()?;
    let check = u64::from_str_radix(rest.get(..8)?, 16).ok()?;
    (check == check_of(number) && rest[8..].starts_with('-')).then_some(number)
}

fn last(number: u64) -> Vec<u8> {
    let path = path(number, "end");
    format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").into_bytes()
}

const METHODS: [&str; 12] = [
    "GET", "GET", "POST", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "PROPFIND", "TRACE",
    "PURGE",
];

const HEADERS: [&str; 16] = [
    "Accept: */*",
    "Cookie: a=1; b=2",
    "Connection: keep-alive",
    "Connection: close",
    "Connection: x-priv",
    "Expect: 100-continue",
    "TE: trailers",
    "Upgrade: h2c",
    "X-Forwarded-For: 10.0.0.1",
    "Via: 1.1 other",
    "Accept-Encoding: gzip, br",
    "X-Latin: caf\u{e9}",
    "Range: bytes=0-4",
    "Trailer: x-sum",
    "X-Long: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "Origin: http://localhost:3000",
];

/// A good request of this stream.
fn request(rng: &mut Rng, number: u64, index: usize) -> Vec<u8> {
    let method = rng.pick(&METHODS);
    let path = path(number, &index.to_string());
    let version = if rng.once_in(12) { "1.0" } else { "1.1" };
    let mut text = format!("{method} {path} HTTP/{version}\r\nHost: x\r\n");
    for _ in 0..rng.below(3) {
        text += HEADERS[rng.below(HEADERS.len())];
        text += "\r\n";
    }
    let body: Vec<u8> = match rng.below(3) {
        0 => Vec::new(),
        1 => last(number),
        _ => (0..rng.below(80)).map(|_| rng.byte()).collect(),
    };
    match rng.below(4) {
        0 | 1 => text += "\r\n",
        2 => {
            text += &format!("Content-Length: {}\r\n\r\n", body.len());
            return [text.as_bytes(), &body].concat();
        }
        _ => {
            text += "Transfer-Encoding: chunked\r\n\r\n";
            let mut bytes = text.into_bytes();
            for chunk in body.chunks(1 + rng.below(40)) {
                bytes.extend(format!("{:x}\r\n", chunk.len()).bytes());
                bytes.extend(chunk);
                bytes.extend(b"\r\n");
            }
            bytes.extend(b"0\r\n\r\n");
            return bytes;
        }
    }
    text.into_bytes()
}

/// Pieces over which parsers have been known to fall out.
const PIECES: [&[u8]; 44] = [
    b"Content-Length: 5\r\n",
    b"Content-Length: 0\r\n",
    b"Content-Length: 5, 5\r\n",
    b"Content-Length: +5\r\n",
    b"Content-Length : 5\r\n",
    b"content_length: 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: identity\r\n",
    b"Transfer-Encoding: gzip, chunked\r\n",
    b"Transfer-Encoding:\x0bchunked\r\n",
    b"Transfer-Encoding : chunked\r\n",
    b"Transfer-Encoding\r\n : chunked\r\n",
    b"Upgrade: websocket\r\n",
    b"Connection: upgrade\r\n",
    b"Connection: close\r\n",
    b"Connection: content-length\r\n",
    b"Expect: 100-continue\r\n",
    b"Host: y\r\n",
    b" folded: line\r\n",
    b"0\r\n\r\n",
    b"5\r\nhello\r\n",
    b"0x5\r\n",
    b"5;ext=\"\r\n",
    b"-1\r\n",
    b"ffffffffffffffff\r\n",
    b"10000000000000000\r\n",
    b"\r\n\r\n",
    b"\r\n",
    b"\n",
    b"\r",
    b"\n\n",
    b"\0",
    b" ",
    b"\t",
    b":",
    b"\x7f",
    b"\xff\xfe",
    b"HTTP/1.0",
    b"HTTP/1.1",
    b"HTTP/2.0",
    b"HEAD ",
    b"http://y/api/orders/",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"GET /internal/tokens HTTP/1.1\r\nHost: x\r\n\r\n",
];

fn mutate(rng: &mut Rng, bytes: &mut Vec<u8>) {
    if bytes.is_empty() {
        return;
    }
    let place = rng.below(bytes.len());
    match rng.below(12) {
        0 => bytes[place] = rng.byte(),
        1 => bytes[place] ^= 1 << rng.below(8),
        2 => {
            bytes.remove(place);
        }
        3 => bytes.insert(place, rng.byte()),
        4 => insert(bytes, place, piece(rng)),
        // Where a line begins is where it does the most.
        5 | 6 => {
            let starts = line_starts(bytes);
            let start = *rng.pick(&starts);
            insert(bytes, start, piece(rng));
        }
        7 => {
            let (start, end) = line(rng, bytes);
            let copy = bytes[start..end].to_vec();
            insert(bytes, start, &copy);
        }
        8 => {
            let (start, end) = line(rng, bytes);
            bytes.drain(start..end);
        }
        9 => {
            let (start, end) = line(rng, bytes);
            let taken: Vec<u8> = bytes.drain(start..end).collect();
            let starts = line_starts(bytes);
            let other = starts.get(rng.below(starts.len())).copied();
            insert(bytes, other.unwrap_or(0), &taken);
        }
        10 => {
            let digits = bytes.iter().enumerate();
            let digits = digits.filter(|(_, byte)| byte.is_ascii_hexdigit());
            let digits: Vec<usize> = digits.map(|(index, _)| index).collect();
            if !digits.is_empty() {
                bytes[*rng.pick(&digits)] = *rng.pick(b"0123456789abcdefxX+-_, ");
            }
        }
        _ => bytes.truncate(place),
    }
}

fn piece(rng: &mut Rng) -> &'static [u8] {
    PIECES[rng.below(PIECES.len())]
}

fn insert(bytes: &mut Vec<u8>, place: usize, piece: &[u8]) {
    bytes.splice(place..place, piece.iter().copied());
}

fn line_starts(bytes: &[u8]) -> Vec<usize> {
    let ends = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
    let starts = ends.map(|(index, _)| index + 1);
    std::iter::once(0).chain(starts).collect()
}

/// Begin and end of one line.
fn line(rng: &mut Rng, bytes: &[u8]) -> (usize, usize) {
    let starts = line_starts(bytes);
    let index = rng.below(starts.len());
    let end = starts.get(index + 1).copied().unwrap_or(bytes.len());
    (starts[index], end)
}
