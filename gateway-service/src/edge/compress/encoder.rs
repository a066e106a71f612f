//! The codings behind one face.

use std::io::{self, Write as _};

use brotli::CompressorWriter;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

/// Fast levels: the answer is made while the client waits.
const ZSTD_LEVEL: i32 = 3;
const GZIP_LEVEL: u32 = 4;
const BROTLI_LEVEL: u32 = 4;
/// The window of brotli, as a power of two: 256 KiB.
const BROTLI_WINDOW_BITS: u32 = 18;
const BROTLI_BUFFER_BYTES: usize = 4_096;

/// A content coding (RFC 9110, section 8.4.1; RFC 7932; RFC 8878).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    Zstd,
    Brotli,
    Gzip,
}

impl Coding {
    /// The cheapest for its result first.
    pub(super) const ALL: [Self; 3] = [Self::Zstd, Self::Brotli, Self::Gzip];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Brotli => "br",
            Self::Gzip => "gzip",
        }
    }

    pub(super) fn is_called(self, name: &str) -> bool {
        let old_name = self == Self::Gzip && name.eq_ignore_ascii_case("x-gzip");
        old_name || name.eq_ignore_ascii_case(self.as_str())
    }
}

/// Turns bytes into fewer.
pub(super) enum Encoder {
    Zstd(Option<Box<zstd::stream::write::Encoder<'static, Vec<u8>>>>),
    Brotli(Box<CompressorWriter<Vec<u8>>>),
    Gzip(Box<GzEncoder<Vec<u8>>>),
}

impl Encoder {
    pub(super) fn new(coding: Coding) -> Self {
        match coding {
            Coding::Zstd => {
                let encoder = zstd::stream::write::Encoder::new(Vec::new(), ZSTD_LEVEL);
                Self::Zstd(encoder.ok().map(Box::new))
            }
            Coding::Brotli => Self::Brotli(Box::new(CompressorWriter::new(
                Vec::new(),
                BROTLI_BUFFER_BYTES,
                BROTLI_LEVEL,
                BROTLI_WINDOW_BITS,
            ))),
            Coding::Gzip => {
                let level = Compression::new(GZIP_LEVEL);
                Self::Gzip(Box::new(GzEncoder::new(Vec::new(), level)))
            }
        }
    }

    /// Takes bytes in; what comes out may be nothing yet.
    pub(super) fn write(&mut self, data: &[u8]) -> io::Result<Bytes> {
        match self {
            Self::Zstd(encoder) => encoder.as_mut().ok_or_else(no_memory)?.write_all(data)?,
            Self::Brotli(encoder) => encoder.write_all(data)?,
            Self::Gzip(encoder) => encoder.write_all(data)?,
        }
        Ok(self.take())
    }

    /// Gives out all that was taken in.
    pub(super) fn flush(&mut self) -> io::Result<Bytes> {
        match self {
            Self::Zstd(encoder) => encoder.as_mut().ok_or_else(no_memory)?.flush()?,
            Self::Brotli(encoder) => encoder.flush()?,
            Self::Gzip(encoder) => encoder.flush()?,
        }
        Ok(self.take())
    }

    /// Gives out the rest and the end.
    pub(super) fn finish(self) -> io::Result<Bytes> {
        Ok(match self {
            Self::Zstd(encoder) => encoder.ok_or_else(no_memory)?.finish()?,
            Self::Brotli(encoder) => encoder.into_inner(),
            Self::Gzip(encoder) => encoder.finish()?,
        }
        .into())
    }

    fn take(&mut self) -> Bytes {
        let output = match self {
            Self::Zstd(Some(encoder)) => encoder.get_mut(),
            Self::Zstd(None) => return Bytes::new(),
            Self::Brotli(encoder) => encoder.get_mut(),
            Self::Gzip(encoder) => encoder.get_mut(),
        };
        std::mem::take(output).into()
    }
}

/// The one way in which zstd cannot be set up.
fn no_memory() -> io::Error {
    io::ErrorKind::OutOfMemory.into()
}
