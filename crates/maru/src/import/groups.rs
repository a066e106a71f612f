//! Orders with their lines: the orders' file and the lines' file are read side by side in the order
//! of their keys (a merge join), so that one order is in memory at a time. A file in another order
//! is sorted first.

use std::cmp::Ordering;
use std::fs::File;
use std::sync::Arc;

use super::folder::{BoundSource, Folder};
use super::keyed::{Body, Keyed, KeyedRows, Neighbours};
use super::report::Reject;
use super::sequence::{KeyOrder, Survey};
use super::sort::{Merged, RUN_BYTES, Sorter};
use super::template::Bound;

/// Most lines of one order that are kept; more are counted.
pub(crate) const MAX_LINES: usize = 500;

/// What the files have about one order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Group {
    pub(crate) key: String,
    /// Rows of the orders' file: the first and, if one says something else, the first such.
    pub(crate) heads: Vec<Piece>,
    /// Rows of the lines' file.
    pub(crate) lines: Vec<Piece>,
    /// Lines beyond [`MAX_LINES`].
    pub(crate) lines_beyond: u64,
}

/// A row of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) line: u64,
    pub(crate) body: Body,
}

/// The rows of one file, in order.
pub(crate) struct Ordered<'p> {
    rows: Input<'p>,
    order: KeyOrder,
    label: Arc<str>,
    next: Option<Keyed>,
}

enum Input<'p> {
    Direct(Box<KeyedRows<'p, File>>),
    Sorted(Merged),
}

impl<'p> Ordered<'p> {
    /// Opens a file, sorting it first if it is not in this order.
    ///
    /// # Errors
    /// When it cannot be read or sorted.
    pub(crate) fn open(
        folder: &Folder,
        (source, key): (&'p BoundSource, &'p Bound),
        neighbours: Neighbours,
        (survey, order): (&Survey, KeyOrder),
        reject: Reject<'_>,
    ) -> anyhow::Result<Self> {
        let name = source.file.as_deref().unwrap_or_default();
        let mut keyed = KeyedRows::new(folder.rows(name)?, source, key, neighbours);
        let rows = if survey.follows(order) {
            Input::Direct(Box::new(keyed))
        } else {
            let mut sorter = Sorter::new(order, RUN_BYTES);
            while let Some(row) = keyed.next(reject)? {
                sorter.add(row)?;
            }
            Input::Sorted(sorter.finish()?)
        };
        let mut ordered = Self {
            rows,
            order,
            label: Arc::clone(&source.label),
            next: None,
        };
        ordered.next = ordered.read(reject)?;
        Ok(ordered)
    }

    fn read(&mut self, reject: Reject<'_>) -> anyhow::Result<Option<Keyed>> {
        match &mut self.rows {
            Input::Direct(rows) => rows.next(reject),
            Input::Sorted(rows) => Ok(rows.next()?),
        }
    }

    fn peek(&self) -> Option<&str> {
        self.next.as_ref().map(|row| row.key.as_str())
    }

    /// The next row, if it is of this order.
    fn take(&mut self, key: &str, reject: Reject<'_>) -> anyhow::Result<Option<Piece>> {
        if self.peek() != Some(key) {
            return Ok(None);
        }
        let following = self.read(reject)?;
        if let Some(following) = &following {
            let after = self.order.compare(key, &following.key) != Ordering::Greater;
            anyhow::ensure!(
                after,
                "{} changed while it was read (line {})",
                self.label,
                following.line
            );
        }
        let row = std::mem::replace(&mut self.next, following);
        Ok(row.map(|row| Piece {
            line: row.line,
            body: row.body,
        }))
    }
}

/// Joins the two files.
pub(crate) struct Groups<'p> {
    order: KeyOrder,
    /// None when orders and lines stand in the same rows.
    heads: Option<Ordered<'p>>,
    lines: Ordered<'p>,
}

impl<'p> Groups<'p> {
    pub(crate) fn new(order: KeyOrder, heads: Option<Ordered<'p>>, lines: Ordered<'p>) -> Self {
        Self {
            order,
            heads,
            lines,
        }
    }

    /// The next order.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub(crate) fn next(&mut self, reject: Reject<'_>) -> anyhow::Result<Option<Group>> {
        let head = self.heads.as_ref().and_then(Ordered::peek);
        let key = match (head, self.lines.peek()) {
            (Some(head), Some(line)) if self.order.compare(head, line) == Ordering::Greater => line,
            (Some(head), _) => head,
            (None, Some(line)) => line,
            (None, None) => return Ok(None),
        };
        let mut group = Group {
            key: key.to_owned(),
            ..Group::default()
        };
        if let Some(heads) = &mut self.heads {
            while let Some(piece) = heads.take(&group.key, reject)? {
                let is_new = group.heads.iter().all(|known| known.body != piece.body);
                if is_new && group.heads.len() < 2 {
                    group.heads.push(piece);
                }
            }
        }
        while let Some(piece) = self.lines.take(&group.key, reject)? {
            if group.lines.len() < MAX_LINES {
                group.lines.push(piece);
            } else {
                group.lines_beyond += 1;
            }
        }
        Ok(Some(group))
    }
}
