//! Sorts keyed rows that need not fit into memory: sorted runs in nameless temporary files, merged
//! while they are read. Memory stays below [`RUN_BYTES`] plus a small buffer per run, whatever the
//! size of the file; the disk holds one copy of the rows. Rows of one key keep their order.

use std::cmp::Ordering;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};

use csv::StringRecord;

use super::keyed::{Body, Keyed};
use super::sequence::KeyOrder;

/// Rows sorted in memory at a time, in bytes.
pub(crate) const RUN_BYTES: usize = 8 * 1024 * 1024;
/// Runs merged at a time; more are first merged into longer ones.
const MAX_RUNS: usize = 32;
/// What a row costs in memory beside its text.
const ROW_OVERHEAD: usize = 160;

/// Takes rows in, run by run.
pub(crate) struct Sorter {
    order: KeyOrder,
    run_bytes: usize,
    next_number: u64,
    held: Vec<Numbered>,
    held_bytes: usize,
    runs: Vec<Run>,
}

/// A row with its place in the file.
struct Numbered {
    number: u64,
    row: Keyed,
}

impl Numbered {
    fn compare(&self, other: &Self, order: KeyOrder) -> Ordering {
        let keys = order.compare(&self.row.key, &other.row.key);
        keys.then_with(|| self.number.cmp(&other.number))
    }
}

impl Sorter {
    /// A sorter that holds about `run_bytes` in memory.
    pub(crate) fn new(order: KeyOrder, run_bytes: usize) -> Self {
        Self {
            order,
            run_bytes,
            next_number: 0,
            held: Vec::new(),
            held_bytes: 0,
            runs: Vec::new(),
        }
    }

    /// Adds a row.
    ///
    /// # Errors
    /// When the temporary files cannot be written.
    pub(crate) fn add(&mut self, row: Keyed) -> io::Result<()> {
        self.held_bytes += row.key.len() + ROW_OVERHEAD;
        if let Body::Fields(fields) = &row.body {
            self.held_bytes += fields.as_slice().len() + fields.len() * size_of::<usize>();
        }
        self.held.push(Numbered {
            number: self.next_number,
            row,
        });
        self.next_number += 1;
        if self.held_bytes >= self.run_bytes {
            self.spill()?;
        }
        Ok(())
    }

    fn spill(&mut self) -> io::Result<()> {
        let order = self.order;
        self.held.sort_unstable_by(|a, b| a.compare(b, order));
        let run = Run::write(self.held.drain(..).map(Ok))?;
        self.runs.push(run);
        self.held_bytes = 0;
        Ok(())
    }

    /// All rows in order.
    ///
    /// # Errors
    /// When the temporary files cannot be written or read.
    pub(crate) fn finish(mut self) -> io::Result<Merged> {
        if !self.held.is_empty() {
            self.spill()?;
        }
        while self.runs.len() > MAX_RUNS {
            let rest = self.runs.split_off(MAX_RUNS);
            let mut merged = Merged::new(std::mem::replace(&mut self.runs, rest), self.order)?;
            let longer = Run::write(std::iter::from_fn(|| merged.next_numbered().transpose()))?;
            self.runs.push(longer);
        }
        Merged::new(self.runs, self.order)
    }
}

/// Rows out of several runs, in order.
pub(crate) struct Merged {
    heads: Vec<(Numbered, Run)>,
    order: KeyOrder,
}

impl Merged {
    fn new(runs: Vec<Run>, order: KeyOrder) -> io::Result<Self> {
        let mut heads = Vec::new();
        for mut run in runs {
            if let Some(first) = run.next()? {
                heads.push((first, run));
            }
        }
        Ok(Self { heads, order })
    }

    /// The next row.
    ///
    /// # Errors
    /// When a temporary file cannot be read.
    pub(crate) fn next(&mut self) -> io::Result<Option<Keyed>> {
        Ok(self.next_numbered()?.map(|numbered| numbered.row))
    }

    fn next_numbered(&mut self) -> io::Result<Option<Numbered>> {
        let order = self.order;
        let heads = self.heads.iter().enumerate();
        let least = heads.min_by(|(_, (a, _)), (_, (b, _))| a.compare(b, order));
        let Some(at) = least.map(|(at, _)| at) else {
            return Ok(None);
        };
        let (_, run) = self.heads.get_mut(at).expect("found in this list");
        match run.next()? {
            Some(next) => {
                let (head, _) = self.heads.get_mut(at).expect("found in this list");
                Ok(Some(std::mem::replace(head, next)))
            }
            None => Ok(Some(self.heads.swap_remove(at).0)),
        }
    }
}

/// One sorted run in a temporary file, which vanishes with the process.
struct Run {
    input: BufReader<File>,
    left: u64,
}

impl Run {
    fn write(rows: impl Iterator<Item = io::Result<Numbered>>) -> io::Result<Self> {
        let mut output = BufWriter::new(tempfile::tempfile()?);
        let mut left = 0;
        for row in rows {
            row?.write(&mut output)?;
            left += 1;
        }
        let mut file = output.into_inner()?;
        file.seek(SeekFrom::Start(0))?;
        Ok(Self {
            input: BufReader::with_capacity(64 * 1024, file),
            left,
        })
    }

    fn next(&mut self) -> io::Result<Option<Numbered>> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        Numbered::read(&mut self.input).map(Some)
    }
}

/// A field count that says that there are no fields.
const SKIPPED: u64 = u64::MAX;
const BROKEN: u64 = u64::MAX - 1;

impl Numbered {
    fn write(&self, output: &mut impl Write) -> io::Result<()> {
        put_number(output, self.number)?;
        put_number(output, self.row.line)?;
        put_text(output, &self.row.key)?;
        match &self.row.body {
            Body::Skipped => put_number(output, SKIPPED),
            Body::Broken => put_number(output, BROKEN),
            Body::Fields(fields) => {
                put_number(output, as_number(fields.len()))?;
                fields.iter().try_for_each(|field| put_text(output, field))
            }
        }
    }

    fn read(input: &mut impl Read) -> io::Result<Self> {
        let number = take_number(input)?;
        let line = take_number(input)?;
        let key = take_text(input)?;
        let body = match take_number(input)? {
            SKIPPED => Body::Skipped,
            BROKEN => Body::Broken,
            count => {
                let mut fields = StringRecord::new();
                for _ in 0..count {
                    fields.push_field(&take_text(input)?);
                }
                Body::Fields(fields)
            }
        };
        Ok(Self {
            number,
            row: Keyed { key, line, body },
        })
    }
}

fn as_number(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

fn put_number(output: &mut impl Write, number: u64) -> io::Result<()> {
    output.write_all(&number.to_le_bytes())
}

fn put_text(output: &mut impl Write, text: &str) -> io::Result<()> {
    put_number(output, as_number(text.len()))?;
    output.write_all(text.as_bytes())
}

fn take_number(input: &mut impl Read) -> io::Result<u64> {
    let mut bytes = [0; 8];
    input.read_exact(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

fn take_text(input: &mut impl Read) -> io::Result<String> {
    let length = usize::try_from(take_number(input)?).map_err(io::Error::other)?;
    let mut bytes = vec![0; length];
    input.read_exact(&mut bytes)?;
    String::from_utf8(bytes).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keyed(key: &str, line: u64, body: Body) -> Keyed {
        Keyed {
            key: key.to_owned(),
            line,
            body,
        }
    }

    fn sorted(rows: &[Keyed], order: KeyOrder, run_bytes: usize) -> Vec<Keyed> {
        let mut sorter = Sorter::new(order, run_bytes);
        for row in rows {
            sorter.add(row.clone()).unwrap();
        }
        let mut merged = sorter.finish().unwrap();
        let mut all = Vec::new();
        while let Some(row) = merged.next().unwrap() {
            all.push(row);
        }
        all
    }

    #[test]
    fn rows_come_back_in_order_and_rows_of_one_key_as_they_stood() {
        let mut rows = Vec::new();
        for line in 0..5000_u64 {
            let key = (line * 7919 % 1000).to_string();
            let body = match line % 10 {
                0 => Body::Skipped,
                1 => Body::Broken,
                _ => Body::Fields(StringRecord::from(vec![key.as_str(), "", "ünï\"\n"])),
            };
            rows.push(keyed(&key, line, body));
        }
        for order in [KeyOrder::Numeric, KeyOrder::Text] {
            let mut expected = rows.clone();
            expected.sort_by(|a, b| order.compare(&a.key, &b.key));
            // One run; dozens of runs; more runs than are merged at a time.
            for run_bytes in [RUN_BYTES, 20_000, 2_000] {
                assert!(
                    sorted(&rows, order, run_bytes) == expected,
                    "{order:?} {run_bytes}"
                );
            }
        }
        assert_eq!(sorted(&[], KeyOrder::Text, 1), []);
    }
}
