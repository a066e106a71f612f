//! What is sent, in both directions, and what of it must arrive.

use crate::rng::Rng;
use crate::wire::{Body, Framing};

/// One exchange.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) number: u64,
    pub(super) method: &'static str,
    pub(super) status: u16,
    pub(super) request: Message,
    pub(super) answer: Message,
}

/// One direction of it.
#[derive(Clone, Debug)]
pub(super) struct Message {
    /// As they are written, in this order.
    pub(super) headers: Vec<(String, Vec<u8>)>,
    pub(super) framing: Frame,
    pub(super) body_bytes: u64,
    /// What the body is made from.
    seed: u64,
    /// The number of bytes after which the connection ends.
    pub(super) breaks_off_at: Option<u64>,
}

/// How a body is framed where it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Frame {
    None,
    Length,
    Chunked,
    /// Until the connection ends: answers only.
    UntilClose,
}

/// Bytes of a body that are made at a time.
const BLOCK_BYTES: usize = 64 * 1024;

const METHODS: [&str; 16] = [
    "GET", "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "MKCOL", "COPY",
    "LOCK", "REPORT", "PURGE", "X-ODD!", "m-search",
];

impl Plan {
    /// The exchange of this number; always the same one for a seed.
    pub(super) fn of(seed: u64, number: u64, max_body_bytes: u64) -> Self {
        let mut rng = Rng::of(seed, number);
        let method = METHODS[rng.below(METHODS.len())];
        let status = status(&mut rng);
        let request = Message::request(&mut rng, max_body_bytes);
        let mut answer = Message::answer(&mut rng, max_body_bytes);
        if method == "HEAD" || matches!(status, 204 | 304) {
            answer.framing = Frame::None;
            answer.body_bytes = 0;
        } else if status == 205 {
            // It has no content (RFC 9110, section 15.3.6).
            answer.framing = Frame::Length;
            answer.body_bytes = 0;
        } else if answer.framing != Frame::UntilClose && answer.body_bytes > 0 && rng.once_in(8) {
            answer.breaks_off_at = Some(rng.number() % answer.body_bytes);
        }
        Self {
            number,
            method,
            status,
            request,
            answer,
        }
    }

    pub(super) fn target(&self) -> String {
        format!("/t/{}?q=%2F..//{}", self.number, self.number)
    }
}

fn status(rng: &mut Rng) -> u16 {
    let status = 200 + rng.below(400);
    u16::try_from(status).expect("it is below 600")
}

impl Message {
    fn request(rng: &mut Rng, max_body_bytes: u64) -> Self {
        let framing = *rng.pick(&[Frame::None, Frame::Length, Frame::Chunked]);
        Self::new(rng, framing, max_body_bytes)
    }

    fn answer(rng: &mut Rng, max_body_bytes: u64) -> Self {
        let all = [
            Frame::Length,
            Frame::Length,
            Frame::Chunked,
            Frame::UntilClose,
        ];
        let framing = *rng.pick(&all);
        Self::new(rng, framing, max_body_bytes)
    }

    fn new(rng: &mut Rng, framing: Frame, max_body_bytes: u64) -> Self {
        Self {
            headers: headers(rng),
            framing,
            body_bytes: match framing {
                Frame::None => 0,
                _ => body_bytes(rng, max_body_bytes),
            },
            seed: rng.number(),
            breaks_off_at: None,
        }
    }

    /// The body in blocks.
    pub(super) fn blocks(&self) -> impl Iterator<Item = Vec<u8>> + use<> {
        let mut rng = Rng::new(self.seed);
        let mut left = self.body_bytes;
        // One block of noise, turned a little for each use: making all anew would be what is measured.
        let noise: Vec<u8> = (0..BLOCK_BYTES / 8)
            .flat_map(|_| rng.number().to_le_bytes())
            .collect();
        std::iter::from_fn(move || {
            let count = usize::try_from(left)
                .unwrap_or(BLOCK_BYTES)
                .min(BLOCK_BYTES);
            let mut block = noise[..count].to_vec();
            if let Some(first) = block.first_mut() {
                *first = first.wrapping_add(left.to_le_bytes()[2]);
            }
            left -= count as u64;
            (count > 0).then_some(block)
        })
    }

    /// What of the body must be read.
    pub(super) fn body(&self) -> Body {
        let mut body = Body::default();
        self.blocks().for_each(|block| body.add(&block));
        body
    }

    /// The header that frames the body.
    pub(super) fn frame(&self) -> String {
        match self.framing {
            Frame::None | Frame::UntilClose => String::new(),
            Frame::Length => format!("content-length: {}\r\n", self.body_bytes),
            Frame::Chunked => "transfer-encoding: chunked\r\n".to_owned(),
        }
    }

    /// How it must be framed where it arrives.
    pub(super) fn arrives_as(&self) -> Framing {
        match self.framing {
            Frame::None => Framing::None,
            Frame::Length => Framing::Length(self.body_bytes),
            Frame::Chunked | Frame::UntilClose => Framing::Chunked,
        }
    }
}

/// Half are small, a few as large as they may be.
fn body_bytes(rng: &mut Rng, max: u64) -> u64 {
    let largest = match rng.below(1000) {
        0..100 => 0,
        100..600 => 1_024,
        600..900 => 64 * 1_024,
        900..995 => 1_024 * 1_024,
        _ => max,
    };
    match largest {
        0 => 0,
        largest => rng.number() % (largest.min(max) + 1),
    }
}

/// Names that travel on, some of them more than once in a message.
const NAMES: [&str; 14] = [
    "accept",
    "accept-language",
    "cache-control",
    "content-language",
    "content-type",
    "etag",
    "if-none-match",
    "link",
    "prefer",
    "set-cookie",
    "warning",
    "x-custom",
    "x-userland",
    "x!#$%&'*+^`|~",
];

fn headers(rng: &mut Rng) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for _ in 0..rng.below(12) {
        let name = NAMES[rng.below(NAMES.len())];
        let value = (0..rng.below(60))
            .map(|_| text_byte(rng))
            .collect::<Vec<_>>();
        all.push((name.to_owned(), value.trim_ascii().to_vec()));
    }
    all
}

/// What may stand in a value: visible characters, blanks, and bytes beyond ASCII.
fn text_byte(rng: &mut Rng) -> u8 {
    loop {
        let byte = rng.byte();
        if matches!(byte, b'\t' | b' '..=b'~' | 0x80..=0xff) {
            return byte;
        }
    }
}
