//! What an interrupted import has already had acknowledged, so that the next run need not send it
//! again.
//!
//! The file only saves time. It is good for one map, one set of files and one gateway, and it is
//! not believed blindly: the first batch and the last acknowledged ones are sent again, and when
//! the server did not know one of them (another database, an older backup), everything is. Without
//! the file everything is sent as well; the server knows the orders it has.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// Acknowledged batches that are sent again from the end of the list: more than are in flight at a
/// time.
const PROBES_AT_END: usize = 4;

/// The batches of an import that are known to be stored.
#[derive(Debug)]
pub(crate) struct Resume {
    path: PathBuf,
    file: File,
    stored: BTreeSet<u64>,
    probes: BTreeSet<u64>,
}

impl Resume {
    /// Opens the file; one of another import is begun anew.
    ///
    /// # Errors
    /// When it cannot be read or written.
    pub(crate) fn open(path: &Path, fingerprint: &str) -> io::Result<Self> {
        let heading = format!("maru import 1 {fingerprint}");
        let acknowledged = match fs::read_to_string(path) {
            Ok(text) => read(&text, &heading),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Vec::new(),
            Err(error) => return Err(error),
        };
        // Written anew, so that a line cut short does not run into the next one.
        let mut file = File::create(path)?;
        writeln!(file, "{heading}")?;
        for index in &acknowledged {
            writeln!(file, "{index}")?;
        }
        let last = acknowledged.iter().rev().take(PROBES_AT_END);
        Ok(Self {
            path: path.to_owned(),
            file: OpenOptions::new().append(true).open(path)?,
            probes: acknowledged
                .first()
                .into_iter()
                .chain(last)
                .copied()
                .collect(),
            stored: acknowledged.into_iter().collect(),
        })
    }

    /// The batches that need not be sent.
    pub(crate) fn acknowledged(&self) -> BTreeSet<u64> {
        self.stored.difference(&self.probes).copied().collect()
    }

    /// Whether the server must know every order of this batch.
    pub(crate) fn expects_known(&self, index: u64) -> bool {
        self.stored.contains(&index)
    }

    /// Notes that the server has stored every order of a batch.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn note(&mut self, index: u64) -> io::Result<()> {
        if self.stored.insert(index) {
            writeln!(self.file, "{index}")?;
        }
        Ok(())
    }

    /// Forgets everything: the server does not have what it should.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn forget(&mut self) -> io::Result<()> {
        self.stored.clear();
        self.probes.clear();
        self.file.set_len(0)
    }

    /// Removes the file: the import is complete.
    ///
    /// # Errors
    /// When the file cannot be removed.
    pub(crate) fn remove(self) -> io::Result<()> {
        drop(self.file);
        fs::remove_file(&self.path)
    }
}

/// The batches in the order of their acknowledgment.
fn read(text: &str, heading: &str) -> Vec<u64> {
    // The last piece is empty, or a line that was cut short.
    let mut lines: Vec<&str> = text.split('\n').collect();
    lines.pop();
    match lines.split_first() {
        Some((first, rest)) if *first == heading => {
            rest.iter().map_while(|line| line.parse().ok()).collect()
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acknowledged_batches_are_skipped_except_for_probes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("resume");
        let mut resume = Resume::open(&path, "abc").unwrap();
        assert!(resume.acknowledged().is_empty());
        for index in [1, 0, 2, 3, 4, 5, 6] {
            resume.note(index).unwrap();
        }
        let resumed = Resume::open(&path, "abc").unwrap();
        assert_eq!(resumed.acknowledged(), BTreeSet::from([0, 2]));
        assert!(resumed.expects_known(6) && !resumed.expects_known(7));
    }

    #[test]
    fn a_file_cut_short_or_of_another_import_does_no_harm() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("resume");
        fs::write(&path, "maru import 1 abc\n0\n1\n12").unwrap();
        let resume = Resume::open(&path, "abc").unwrap();
        assert_eq!(resume.stored, BTreeSet::from([0, 1]));
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            "maru import 1 abc\n0\n1\n"
        );
        let other = Resume::open(&path, "def").unwrap();
        assert!(other.stored.is_empty());
        fs::write(&path, b"\xff\xfe").unwrap();
        assert!(Resume::open(&path, "def").unwrap().stored.is_empty());
    }

    #[test]
    fn what_was_forgotten_is_not_believed_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("resume");
        let mut resume = Resume::open(&path, "abc").unwrap();
        resume.note(0).unwrap();
        resume.forget().unwrap();
        assert!(Resume::open(&path, "abc").unwrap().stored.is_empty());
        resume.remove().unwrap();
        assert!(!path.exists());
    }
}
