//! What the commands say to the person at the terminal: lines and plain tables.
//!
//! A reader that went away (`maru up | head`) is no reason to stop, so failed writes are ignored.

use std::fmt::Display;
use std::io::{self, Write as _};

/// Writes one line to standard output.
pub fn say(line: impl Display) {
    let mut out = io::stdout().lock();
    let _gone_reader = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// Writes one line to standard error.
pub fn complain(line: impl Display) {
    let _gone_reader = writeln!(io::stderr().lock(), "{line}");
}

/// A table of left-aligned columns, two spaces apart, under a header.
#[derive(Clone, Debug)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table with these column names.
    #[must_use]
    pub fn new(header: &[&str]) -> Self {
        Self {
            rows: vec![header.iter().map(|&name| name.to_owned()).collect()],
        }
    }

    /// Adds a row; missing cells at its end stay empty.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }
}

impl Display for Table {
    /// The lines of the table, without a line break after the last.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns)
            .map(|column| {
                let cells = self.rows.iter().filter_map(|row| row.get(column));
                cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
            })
            .collect();
        for (index, row) in self.rows.iter().enumerate() {
            let padded = row.iter().zip(&widths);
            let line: Vec<String> = padded
                .map(|(cell, &width)| format!("{cell:width$}"))
                .collect();
            let end = if index + 1 < self.rows.len() {
                "\n"
            } else {
                ""
            };
            write!(f, "{}{end}", line.join("  ").trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(&["SERVICE", "PORT"]);
        table.row(["order".to_owned(), "5004".to_owned()]);
        table.row(["a-long-name".to_owned()]);
        assert_eq!(
            table.to_string(),
            "SERVICE      PORT\norder        5004\na-long-name"
        );
    }
}
