//! Rows of delimited text files, one at a time, each with the line it begins on.
//!
//! Fields are cut as bytes and decoded afterwards, so that one row in a wrong encoding costs that
//! row and not the file. No more than one row is held, and a row is at most [`MAX_ROW_BYTES`] long:
//! a quote that is never closed ends the import instead of filling the memory.

use std::io::{self, BufRead, BufReader, Read};

use csv::StringRecord;
use csv_core::ReadRecordResult;
use encoding_rs::Encoding;

use super::map::Origin;

/// Longest row, in bytes.
pub(crate) const MAX_ROW_BYTES: usize = 1024 * 1024;
/// Most columns.
const MAX_COLUMNS: usize = 4096;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// How a file is written.
#[derive(Clone, Debug)]
pub(crate) struct FileFormat {
    /// Within the imported folder.
    pub(crate) path: String,
    pub(crate) delimiter: u8,
    pub(crate) quote: u8,
    pub(crate) encoding: &'static Encoding,
    pub(crate) header: Header,
    /// Lines above the header.
    pub(crate) skip_lines: u64,
    /// Where the map declares it.
    pub(crate) origin: Origin,
}

/// Where the names of the columns come from.
#[derive(Clone, Debug)]
pub(crate) enum Header {
    FirstRow,
    Named(Vec<String>),
}

/// Finds an encoding by its label (WHATWG Encoding Standard) and makes sure that the signs of a
/// delimited file cannot be part of a longer character in it.
///
/// # Errors
/// One phrase saying why it cannot be used.
pub(crate) fn encoding_named(label: &str, delimiter: u8) -> Result<&'static Encoding, String> {
    let Some(encoding) = Encoding::for_label(label.as_bytes()) else {
        return Err(format!("no encoding `{label}`"));
    };
    if !encoding.is_ascii_compatible() {
        return Err(format!(
            "files in {} must be converted to UTF-8 first",
            encoding.name()
        ));
    }
    // Later bytes of the East Asian encodings are digits (GB 18030) or 0x40 and above.
    if delimiter >= 0x40 && encoding != encoding_rs::UTF_8 && !encoding.is_single_byte() {
        return Err(format!(
            "the delimiter may be part of a character in {}",
            encoding.name()
        ));
    }
    Ok(encoding)
}

/// A row as the file has it.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// Line on which it begins, from 1.
    pub(crate) line: u64,
    /// Its fields; with replacement characters where they could not be decoded.
    pub(crate) fields: StringRecord,
    pub(crate) fault: Option<RowFault>,
}

/// Why a row cannot be used at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RowFault {
    /// It has another number of columns than the header.
    ColumnCount { expected: usize, found: usize },
    /// A column holds bytes that mean nothing in the file's encoding.
    Encoding {
        column: String,
        encoding: &'static str,
    },
}

/// Reads the rows of one file.
pub(crate) struct Rows<R> {
    input: BufReader<R>,
    core: csv_core::Reader,
    encoding: &'static Encoding,
    header: Vec<String>,
    /// Line that begins at the present position.
    line: u64,
    fields: Vec<u8>,
    ends: Vec<usize>,
}

impl<R: Read> Rows<R> {
    /// Reads up to the first row of data.
    ///
    /// # Errors
    /// When the file cannot be read, has no header, or names a column twice.
    pub(crate) fn open(input: R, format: &FileFormat) -> io::Result<Self> {
        let mut rows = Self {
            input: BufReader::with_capacity(64 * 1024, input),
            core: csv_core::ReaderBuilder::new()
                .delimiter(format.delimiter)
                .quote(format.quote)
                .build(),
            encoding: format.encoding,
            header: Vec::new(),
            line: 1,
            fields: vec![0; 1024],
            ends: vec![0; 32],
        };
        rows.skip_byte_order_mark()?;
        for _ in 0..format.skip_lines {
            rows.skip_line()?;
        }
        rows.header = match &format.header {
            Header::Named(names) => names.clone(),
            Header::FirstRow => rows.read_header()?,
        };
        match named_twice(&rows.header) {
            Some(name) => Err(broken(format!("two columns are named `{name}`"))),
            None => Ok(rows),
        }
    }

    /// The names of the columns.
    pub(crate) fn header(&self) -> &[String] {
        &self.header
    }

    fn read_header(&mut self) -> io::Result<Vec<String>> {
        let Some((_, count)) = self.cut()? else {
            return Err(broken("there is no header"));
        };
        let (fields, wrong) = self.decode(count);
        if wrong.is_some() {
            return Err(broken(format!(
                "the header is not {}",
                self.encoding.name()
            )));
        }
        Ok(fields.iter().map(|name| name.trim().to_owned()).collect())
    }

    /// The next row that is not blank.
    ///
    /// # Errors
    /// When the file cannot be read or a row is too long.
    pub(crate) fn next(&mut self) -> io::Result<Option<Row>> {
        while let Some((line, count)) = self.cut()? {
            let (fields, wrong) = self.decode(count);
            if fields.iter().all(|field| field.trim().is_empty()) {
                continue;
            }
            let fault = self.fault(&fields, wrong);
            return Ok(Some(Row {
                line,
                fields,
                fault,
            }));
        }
        Ok(None)
    }

    /// Blank fields beyond the header are no fault: some programs end every row with a delimiter.
    fn fault(&self, fields: &StringRecord, wrong: Option<usize>) -> Option<RowFault> {
        let (expected, found) = (self.header.len(), fields.len());
        let mut beyond = fields.iter().skip(expected);
        if found < expected || beyond.any(|field| !field.trim().is_empty()) {
            return Some(RowFault::ColumnCount { expected, found });
        }
        let column = self.header.get(wrong?).cloned().unwrap_or_default();
        let encoding = self.encoding.name();
        Some(RowFault::Encoding { column, encoding })
    }

    fn skip_byte_order_mark(&mut self) -> io::Result<()> {
        // A buffer is filled by one read, which for a file or a pipe may be short only at its end.
        if self.input.fill_buf()?.starts_with(BYTE_ORDER_MARK) {
            self.input.consume(BYTE_ORDER_MARK.len());
            self.encoding = encoding_rs::UTF_8;
        }
        Ok(())
    }

    fn skip_line(&mut self) -> io::Result<()> {
        self.input.skip_until(b'\n')?;
        self.line += 1;
        Ok(())
    }

    /// Skips line ends, so that a row's line is the one of its first character.
    fn skip_line_ends(&mut self) -> io::Result<()> {
        loop {
            let buffer = self.input.fill_buf()?;
            let is_end = |byte: &&u8| matches!(byte, b'\r' | b'\n');
            let ends = buffer.iter().take_while(is_end).count();
            if ends == 0 {
                return Ok(());
            }
            self.line += count_lines(buffer.get(..ends).unwrap_or_default());
            self.input.consume(ends);
        }
    }

    /// Cuts the next row into `fields` and `ends`; returns its line and its number of fields.
    fn cut(&mut self) -> io::Result<Option<(u64, usize)>> {
        self.skip_line_ends()?;
        let line = self.line;
        let (mut bytes, mut count) = (0, 0);
        loop {
            let input = self.input.fill_buf()?;
            let (result, read, written, ended) = self.core.read_record(
                input,
                self.fields.get_mut(bytes..).unwrap_or_default(),
                self.ends.get_mut(count..).unwrap_or_default(),
            );
            self.line += count_lines(input.get(..read).unwrap_or_default());
            self.input.consume(read);
            bytes += written;
            count += ended;
            match result {
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull => grow(&mut self.fields, MAX_ROW_BYTES, line)?,
                ReadRecordResult::OutputEndsFull => grow(&mut self.ends, MAX_COLUMNS, line)?,
                ReadRecordResult::Record => return Ok(Some((line, count))),
                ReadRecordResult::End => return Ok(None),
            }
        }
    }

    /// Decodes the fields that were cut; also the first column that holds bytes of no meaning.
    fn decode(&self, count: usize) -> (StringRecord, Option<usize>) {
        let mut record = StringRecord::new();
        let mut wrong = None;
        let mut start = 0;
        for (column, &end) in self.ends.iter().take(count).enumerate() {
            let bytes = self.fields.get(start..end).unwrap_or_default();
            let (text, bad) = self.encoding.decode_without_bom_handling(bytes);
            if bad {
                wrong = wrong.or(Some(column));
            }
            record.push_field(&text);
            start = end;
        }
        (record, wrong)
    }
}

fn named_twice(header: &[String]) -> Option<&String> {
    let mut sorted: Vec<&String> = header.iter().collect();
    sorted.sort_unstable();
    let mut pairs = sorted.iter().zip(sorted.iter().skip(1));
    pairs
        .find(|(name, next)| name == next)
        .map(|(name, _)| *name)
}

fn count_lines(bytes: &[u8]) -> u64 {
    let lines = bytes.iter().filter(|&&byte| byte == b'\n').count();
    u64::try_from(lines).unwrap_or(u64::MAX)
}

fn grow<T: Default + Clone>(buffer: &mut Vec<T>, limit: usize, line: u64) -> io::Result<()> {
    if buffer.len() >= limit {
        let what = format!("the row on line {line} does not end; is there a quote left open?");
        return Err(broken(what));
    }
    buffer.resize((buffer.len() * 2).min(limit), T::default());
    Ok(())
}

fn broken(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.into())
}

impl std::fmt::Display for RowFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::ColumnCount { expected, found } => {
                write!(f, "{found} columns where the header has {expected}")
            }
            Self::Encoding { column, encoding } => {
                write!(f, "column `{column}`: not {encoding} text")
            }
        }
    }
}

#[cfg(test)]
mod tests;
