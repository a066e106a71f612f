//! Answers that come in parts.

use std::io;

/// What an answer said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// Whether it was the last one of its connection.
    pub(super) is_last: bool,
}

impl Answer {
    /// The answer at the beginning of these bytes and its length with head and body, as soon as all of
    /// it is there. It costs little, because who measures shares a processor with what answers.
    ///
    /// # Errors
    /// When it has no status, or no length of its body.
    pub(super) fn read(bytes: &[u8]) -> io::Result<Option<(Self, usize)>> {
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
            return Ok(None);
        };
        let head = &bytes[..end];
        let fault = || io::Error::other(String::from_utf8_lossy(head).into_owned());
        let mut lines = head.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
        let status = lines.next().and_then(|line| line.get(9..12));
        let status = status.and_then(decimal).ok_or_else(fault)?;
        let (mut length, mut is_last) = (None, false);
        for line in lines {
            let Some(colon) = line.iter().position(|byte| *byte == b':') else {
                return Err(fault());
            };
            let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
            if name.eq_ignore_ascii_case(b"content-length") {
                length = decimal(value);
            } else if name.eq_ignore_ascii_case(b"connection") {
                is_last = value.eq_ignore_ascii_case(b"close");
            }
        }
        let whole = end + 4 + length.ok_or_else(fault)?;
        let status = u16::try_from(status).map_err(io::Error::other)?;
        let answer = Self { status, is_last };
        Ok((bytes.len() >= whole).then_some((answer, whole)))
    }
}

fn decimal(digits: &[u8]) -> Option<usize> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_when_all_of_it_is_there() {
        let text = b"HTTP/1.1 404 Not Found\r\nContent-Length:  3\r\nconnection: Close\r\n\r\nabc";
        for end in 0..text.len() {
            assert_eq!(Answer::read(&text[..end]).unwrap(), None, "{end}");
        }
        let answer = Answer {
            status: 404,
            is_last: true,
        };
        let more = [text.as_slice(), b"HTTP/1.1 200 OK"].concat();
        for bytes in [text.as_slice(), &more] {
            assert_eq!(Answer::read(bytes).unwrap(), Some((answer, text.len())));
        }
        let kept = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
        let answer = Answer {
            status: 200,
            is_last: false,
        };
        assert_eq!(Answer::read(kept).unwrap(), Some((answer, kept.len())));
    }

    #[test]
    fn an_answer_without_a_status_or_a_length_is_a_fault() {
        for bytes in [
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n",
            "HTTP/1.1 200 OK\r\nno colon\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 abc\r\ncontent-length: 0\r\n\r\n",
            "nonsense\r\n\r\n",
        ] {
            assert!(Answer::read(bytes.as_bytes()).is_err(), "{bytes}");
        }
    }
}
