//! The report: which rows were not imported, and why, as a CSV file for a spreadsheet.
//!
//! It is written beside its final name and moved there at the end, so a report that exists is
//! complete. Values come from foreign files: one that a spreadsheet would run as a formula is
//! made plain text.

use std::borrow::Cow;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Longest reason in the report, in characters.
const MAX_REASON: usize = 300;

/// One row that was not imported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rejection {
    /// Path of the file within the imported folder.
    pub(crate) file: Arc<str>,
    /// Line on which the row begins.
    pub(crate) line: u64,
    /// The order that the row belongs to, as far as that is known.
    pub(crate) order: String,
    /// Stable name of the reason.
    pub(crate) code: String,
    /// The reason in words.
    pub(crate) reason: String,
}

/// Where rejections go.
pub(crate) type Reject<'a> = &'a mut dyn FnMut(Rejection);

/// The report being written.
#[derive(Debug)]
pub(crate) struct Report {
    path: PathBuf,
    part: PathBuf,
    writer: csv::Writer<File>,
    count: u64,
}

impl Report {
    /// Begins a report; an older one stays until this one is finished.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        if let Some(folder) = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
        {
            fs::create_dir_all(folder)?;
        }
        let part = beside(path, ".part");
        let mut writer = csv::Writer::from_writer(File::create(&part)?);
        writer.write_record(["file", "line", "order", "code", "reason"])?;
        Ok(Self {
            path: path.to_owned(),
            part,
            writer,
            count: 0,
        })
    }

    /// Adds a row.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn add(&mut self, rejection: &Rejection) -> io::Result<()> {
        let Rejection {
            file,
            line,
            order,
            code,
            reason,
        } = rejection;
        let line = line.to_string();
        let cells = [
            plain(file),
            Cow::Borrowed(line.as_str()),
            plain(order),
            plain(code),
            plain(reason),
        ];
        self.count += 1;
        Ok(self
            .writer
            .write_record(cells.iter().map(|cell| cell.as_bytes()))?)
    }

    /// How many rows it has.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Puts the report in its place.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn finish(mut self) -> io::Result<PathBuf> {
        self.writer.flush()?;
        fs::rename(&self.part, &self.path)?;
        Ok(self.path)
    }
}

/// The path with something added to its name.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// A cell that no spreadsheet runs (OWASP, CSV injection), without line breaks and of bearable
/// length.
fn plain(text: &str) -> Cow<'_, str> {
    let runs = text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠']);
    let control = text.contains(char::is_control);
    let long = text.chars().nth(MAX_REASON).is_some();
    if !runs && !control && !long {
        return Cow::Borrowed(text);
    }
    let mut cell = String::from(if runs { "'" } else { "" });
    let letters = text.chars().take(MAX_REASON);
    cell.extend(letters.map(|letter| if letter.is_control() { ' ' } else { letter }));
    if long {
        cell.push('…');
    }
    Cow::Owned(cell)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_is_a_formula() {
        for (text, expected) in [
            ("hawaiian_m", "hawaiian_m"),
            ("=1+1", "'=1+1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("-5", "'-5"),
            ("\t=x", "' =x"),
            ("two\r\nlines", "two  lines"),
        ] {
            assert_eq!(plain(text), expected);
        }
        assert_eq!(plain(&"x".repeat(1000)).chars().count(), MAX_REASON + 1);
    }

    #[test]
    fn a_report_appears_when_it_is_finished() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/report.csv");
        let mut report = Report::create(&path).unwrap();
        let rejection = Rejection {
            file: "orders.csv".into(),
            line: 7,
            order: "=cmd|' /C calc'!A0".to_owned(),
            code: "bad_date".to_owned(),
            reason: "`x, y` is no date".to_owned(),
        };
        report.add(&rejection).unwrap();
        assert!(!path.exists());
        assert_eq!(report.count(), 1);
        report.finish().unwrap();
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            "file,line,order,code,reason\norders.csv,7,'=cmd|' /C calc'!A0,bad_date,\"`x, y` is no date\"\n"
        );
    }
}
