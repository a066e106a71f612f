//! The log file of each service: appended to by the service itself, cut by the launcher when it
//! grows, and followed by it when the person asked to see the lines.
//!
//! The services hold the file itself, not a pipe to the launcher: what they say while the launcher
//! is gone is kept, and nothing is copied through it.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use contracts::services::ServiceName;

use crate::output::say;

/// A log longer than this is moved aside.
const MAX_LOG_BYTES: u64 = 16 * 1024 * 1024;
/// How often the length is looked at.
const CHECK_INTERVAL: Duration = Duration::from_secs(15);
/// How often a followed log is read.
const FOLLOW_INTERVAL: Duration = Duration::from_millis(100);
/// How much of a log's end is looked at for its last lines.
const TAIL_BYTES: u64 = 16 * 1024;

/// The log file of one service.
#[derive(Clone, Debug)]
pub struct ServiceLog {
    service: ServiceName,
    path: PathBuf,
}

impl ServiceLog {
    /// The file's place in the logs folder.
    #[must_use]
    pub fn in_folder(logs: &Path, service: ServiceName) -> Self {
        Self {
            service,
            path: logs.join(format!("{}.log", service.binary())),
        }
    }

    /// The file's path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens it for appending.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(&self) -> io::Result<File> {
        File::options().append(true).create(true).open(&self.path)
    }

    /// The last `count` lines, oldest first; nothing when there is no log.
    #[must_use]
    pub fn last_lines(&self, count: usize) -> Vec<String> {
        let length = self.length();
        let Ok(bytes) = self.read_from(length.saturating_sub(TAIL_BYTES)) else {
            return Vec::new();
        };
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
        let first = lines.len().saturating_sub(count);
        lines.iter().skip(first).map(|&l| l.to_owned()).collect()
    }

    /// Keeps the file short for as long as it is polled: what is too long becomes `<name>.log.1`, in
    /// the place of the one before. The service keeps its open file, which is why the text is
    /// copied and cut instead of renamed; a line written in that instant may be lost.
    pub async fn keep_short(self) {
        let mut timer = tokio::time::interval(CHECK_INTERVAL);
        loop {
            timer.tick().await;
            if let Err(error) = self.cut_when_longer_than(MAX_LOG_BYTES) {
                say(format_args!("cannot cut {}: {error}", self.path.display()));
            }
        }
    }

    fn cut_when_longer_than(&self, limit: u64) -> io::Result<()> {
        if self.length() <= limit {
            return Ok(());
        }
        fs::copy(&self.path, self.path.with_extension("log.1"))?;
        File::options().write(true).open(&self.path)?.set_len(0)
    }

    /// Prints what is added from the call on, each line behind the service's name, for as long as
    /// the returned future is polled.
    pub fn follow(self) -> impl Future<Output = ()> {
        let mut position = self.length();
        async move {
            let mut unfinished = Vec::new();
            let mut timer = tokio::time::interval(FOLLOW_INTERVAL);
            loop {
                timer.tick().await;
                if self.length() < position {
                    position = 0;
                }
                let Ok(bytes) = self.read_from(position) else {
                    continue;
                };
                position += bytes.len() as u64;
                unfinished.extend(bytes);
                for line in take_lines(&mut unfinished) {
                    say(format_args!("{:>9} | {line}", self.service.as_str()));
                }
            }
        }
    }

    fn length(&self) -> u64 {
        fs::metadata(&self.path).map_or(0, |file| file.len())
    }

    fn read_from(&self, position: u64) -> io::Result<Vec<u8>> {
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(position))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

/// Takes the complete lines out of a buffer and leaves the unfinished rest.
fn take_lines(buffer: &mut Vec<u8>) -> Vec<String> {
    let Some(last_break) = buffer.iter().rposition(|&byte| byte == b'\n') else {
        return Vec::new();
    };
    let complete: Vec<u8> = buffer.drain(..=last_break).collect();
    let text = String::from_utf8_lossy(&complete);
    text.lines().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn log_with(folder: &Path, text: &str) -> (ServiceLog, File) {
        let log = ServiceLog::in_folder(folder, ServiceName::Order);
        let mut file = log.open().expect("opens");
        file.write_all(text.as_bytes()).expect("writes");
        (log, file)
    }

    #[test]
    fn the_last_lines_come_oldest_first() {
        let folder = tempfile::tempdir().expect("a folder");
        let (log, _file) = log_with(folder.path(), "one\ntwo\n\nthree\n");
        assert_eq!(log.last_lines(2), ["two", "three"]);
        assert_eq!(log.last_lines(9), ["one", "two", "three"]);
    }

    #[test]
    fn a_long_log_is_moved_aside_under_the_writer() {
        let folder = tempfile::tempdir().expect("a folder");
        let (log, mut file) = log_with(folder.path(), "0123456789\n");
        log.cut_when_longer_than(11).expect("nothing to do");
        assert_eq!(log.length(), 11);
        log.cut_when_longer_than(10).expect("cut");
        file.write_all(b"next\n").expect("writes");
        let aside = fs::read_to_string(folder.path().join("order-service.log.1"));
        assert_eq!(aside.expect("moved aside"), "0123456789\n");
        assert_eq!(log.last_lines(9), ["next"]);
    }

    #[test]
    fn only_complete_lines_are_taken() {
        let mut buffer = b"one\ntw\xc3".to_vec();
        assert_eq!(take_lines(&mut buffer), ["one"]);
        buffer.extend(b"\xb6\n");
        assert_eq!(take_lines(&mut buffer), ["twö"]);
        assert!(buffer.is_empty());
    }
}
