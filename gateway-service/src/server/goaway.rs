//! The end of a connection of HTTP/2 at a stop (RFC 9113, section 6.8). The server below does not end one by
//! itself, but does when its client says GOAWAY: it finishes the streams that are open, says GOAWAY with the
//! last of them, and closes. So it is told at a stop, in place of the client, that the client leaves.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::ReadBuf;

/// What a client begins with (RFC 9113, section 3.4).
const PREFACE_BYTES: usize = 24;

const FRAME_HEAD_BYTES: usize = 9;

/// Types of frames that begin or continue a block of headers, inside which nothing else may stand.
const HEADERS: u8 = 0x1;
const CONTINUATION: u8 = 0x9;
const END_HEADERS: u8 = 0x4;

/// GOAWAY of the connection without an error. Its stream is the highest there is: all of the server's may go
/// on.
const GOAWAY: &[u8] = &[
    0, 0, 8, 0x7, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0,
];

/// Watches what a client sends, and says GOAWAY between two of its frames once `stopping` is ready.
pub(super) struct Goaway {
    frames: Frames,
    stage: Stage,
}

enum Stage {
    Open(Pin<Box<dyn Future<Output = ()>>>),
    /// What is still to be said, from the next end of a frame on.
    Leaving(&'static [u8]),
    Told,
}

impl Goaway {
    pub(super) fn new(stopping: impl Future<Output = ()> + 'static) -> Self {
        Self {
            frames: Frames::default(),
            stage: Stage::Open(Box::pin(stopping)),
        }
    }

    /// Whether something was said in part: the client is not read before the rest of it.
    pub(super) const fn speaks(&self) -> bool {
        matches!(self.stage, Stage::Leaving(rest) if rest.len() < GOAWAY.len())
    }

    /// Sees what the client has sent.
    pub(super) fn see(&mut self, bytes: &[u8]) {
        if !matches!(self.stage, Stage::Told) {
            self.frames.see(bytes);
        }
    }

    /// What there is to read while nothing comes from the client. A connection on which nothing was said ends.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<()> {
        if let Stage::Open(stopping) = &mut self.stage {
            ready!(stopping.as_mut().poll(cx));
            self.stage = Stage::Leaving(GOAWAY);
        }
        let rest = match self.stage {
            Stage::Leaving(_) if !self.frames.begun => {
                self.stage = Stage::Told;
                return Poll::Ready(());
            }
            Stage::Leaving(rest) if self.frames.at_an_end() => rest,
            _ => return Poll::Pending,
        };
        let (now, later) = rest.split_at(rest.len().min(buffer.remaining()));
        buffer.put_slice(now);
        self.stage = match later.is_empty() {
            true => Stage::Told,
            false => Stage::Leaving(later),
        };
        Poll::Ready(())
    }
}

/// Where in its frames a client is.
struct Frames {
    /// Bytes before the next head of a frame.
    skip: usize,
    head: [u8; FRAME_HEAD_BYTES],
    head_bytes: usize,
    /// Whether there was a frame.
    begun: bool,
    in_headers: bool,
}

impl Default for Frames {
    fn default() -> Self {
        Self {
            skip: PREFACE_BYTES,
            head: [0; FRAME_HEAD_BYTES],
            head_bytes: 0,
            begun: false,
            in_headers: false,
        }
    }
}

impl Frames {
    fn see(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = bytes.get(skipped..).unwrap_or_default();
            let Some((first, rest)) = bytes.split_first() else {
                return;
            };
            if let Some(place) = self.head.get_mut(self.head_bytes) {
                *place = *first;
                self.head_bytes += 1;
            }
            bytes = rest;
            if self.head_bytes == FRAME_HEAD_BYTES {
                let [a, b, c, kind, flags, ..] = self.head;
                self.skip = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
                self.in_headers =
                    matches!(kind, HEADERS | CONTINUATION) && flags & END_HEADERS == 0;
                self.head_bytes = 0;
                self.begun = true;
            }
        }
    }

    /// Whether another frame may follow.
    const fn at_an_end(&self) -> bool {
        self.begun && self.skip == 0 && self.head_bytes == 0 && !self.in_headers
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready as now;
    use std::task::Waker;

    use super::*;

    const PREFACE: &[u8; PREFACE_BYTES] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    const SETTINGS: &[u8] = &[0, 0, 0, 0x4, 0, 0, 0, 0, 0];
    const DATA: &[u8] = &[0, 0, 3, 0x0, 0, 0, 0, 0, 1, 7, 7, 7];
    const HALF_HEADERS: &[u8] = &[0, 0, 1, 0x1, 0, 0, 0, 0, 3, 0x82];
    const OTHER_HALF: &[u8] = &[0, 0, 1, 0x9, 0x4, 0, 0, 0, 3, 0x87];

    /// What is read when these bytes have come and nothing follows.
    fn read(goaway: &mut Goaway, room: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; room];
        let mut buffer = ReadBuf::new(&mut bytes);
        let read = goaway.poll_read(&mut Context::from_waker(Waker::noop()), &mut buffer);
        read.is_ready().then(|| buffer.filled().to_vec())
    }

    #[test]
    fn it_is_said_between_two_frames_alone() {
        let all = [PREFACE, SETTINGS, DATA, HALF_HEADERS, OTHER_HALF, DATA].concat();
        let ends = [33, 45, 65, 77];
        for at in 0..=all.len() {
            // In one part, and byte by byte.
            for part in [all.len(), 1] {
                let mut goaway = Goaway::new(now(()));
                for bytes in all[..at].chunks(part) {
                    goaway.see(bytes);
                }
                let expected = match at {
                    // The head of a frame is needed to know that there is one.
                    0..33 => Some(Vec::new()),
                    _ => ends.contains(&at).then(|| GOAWAY.to_vec()),
                };
                assert_eq!(read(&mut goaway, 64), expected, "{at}");
            }
        }
    }

    #[test]
    fn it_waits_for_the_stop_and_for_the_end_of_a_frame() {
        let mut goaway = Goaway::new(std::future::pending());
        goaway.see(&[&PREFACE[..], SETTINGS].concat());
        assert_eq!(read(&mut goaway, 64), None);
        let mut goaway = Goaway::new(now(()));
        goaway.see(&[&PREFACE[..], SETTINGS, &DATA[..5]].concat());
        assert_eq!(read(&mut goaway, 64), None);
        goaway.see(&DATA[5..]);
        assert_eq!(read(&mut goaway, 10), Some(GOAWAY[..10].to_vec()));
        assert!(goaway.speaks());
        assert_eq!(read(&mut goaway, 10), Some(GOAWAY[10..].to_vec()));
        assert!(!goaway.speaks());
        assert_eq!(read(&mut goaway, 10), None);
    }
}
