//! An output whose writer rests between rounds.

use std::io::{Result, Write};
use std::time::Duration;

/// Time from the end of a round to the begin of the next.
const PAUSE: Duration = Duration::from_millis(10);

/// Keeps whoever flushes it for 10 ms. The log's thread flushes when no line is left, and would then wait
/// for the next one. To wake it for every line takes more of the processor than to make the line; while
/// it rests, nobody wakes it, and lines gather.
pub(super) struct Pausing<W>(W);

impl<W> Pausing<W> {
    pub(super) const fn of(output: W) -> Self {
        Self(output)
    }
}

impl<W: Write> Write for Pausing<W> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> Result<()> {
        self.0.flush()?;
        std::thread::sleep(PAUSE);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufWriter;
    use std::time::Instant;

    use super::*;

    #[test]
    fn what_is_written_is_there_before_the_pause_and_the_pause_is_kept() {
        let mut written = Vec::new();
        let mut output = BufWriter::new(Pausing::of(BufWriter::new(&mut written)));
        output.write_all(b"a line\n").unwrap();
        let begun = Instant::now();
        output.flush().unwrap();
        assert!(begun.elapsed() >= PAUSE);
        std::mem::forget(output);
        assert_eq!(written, b"a line\n");
    }
}
