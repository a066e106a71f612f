//! Rows by the order that they belong to.
//!
//! A row that cannot be read must not be lost from its order in silence. When its order's key can
//! be read, that order is marked. When not (a line cut short, a key in a wrong encoding), the
//! orders of the rows before and after it are marked, as it may belong to either: rather two orders
//! to look at than one imported with a line missing.

use std::collections::VecDeque;
use std::io::Read;
use std::sync::Arc;

use csv::StringRecord;

use super::folder::BoundSource;
use super::report::{Reject, Rejection};
use super::rows::{Row, RowFault, Rows};
use super::template::Bound;

/// Unreadable rows in a run whose keys are compared with their neighbours'; of a longer run the
/// rest marks both.
const MAX_SUSPECTS: usize = 256;

/// A row with its order's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Keyed {
    pub(crate) key: String,
    pub(crate) line: u64,
    pub(crate) body: Body,
}

/// What is known of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    /// Its fields.
    Fields(StringRecord),
    /// The map leaves it out.
    Skipped,
    /// It cannot be read, which has been reported.
    Broken,
}

/// Whether rows of one order stand together, so that an unreadable row is suspected of belonging to
/// its neighbours' orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Neighbours {
    Suspect,
    Independent,
}

/// Reads the rows of one file with their keys.
pub(crate) struct KeyedRows<'p, R> {
    rows: Rows<R>,
    source: &'p BoundSource,
    key: &'p Bound,
    neighbours: Neighbours,
    previous: Option<String>,
    suspects: Vec<(u64, Option<String>)>,
    ready: VecDeque<Keyed>,
    done: bool,
}

impl<'p, R: Read> KeyedRows<'p, R> {
    pub(crate) fn new(
        rows: Rows<R>,
        source: &'p BoundSource,
        key: &'p Bound,
        neighbours: Neighbours,
    ) -> Self {
        Self {
            rows,
            source,
            key,
            neighbours,
            previous: None,
            suspects: Vec::new(),
            ready: VecDeque::new(),
            done: false,
        }
    }

    /// The next row, or the mark of an unreadable one. Unreadable rows are reported here.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(crate) fn next(&mut self, reject: Reject<'_>) -> anyhow::Result<Option<Keyed>> {
        loop {
            if let Some(keyed) = self.ready.pop_front() {
                return Ok(Some(keyed));
            }
            if self.done {
                return Ok(None);
            }
            match self.rows.next()? {
                Some(row) => self.take(row, reject),
                None => {
                    self.done = true;
                    self.mark_suspects(None);
                }
            }
        }
    }

    fn take(&mut self, row: Row, reject: Reject<'_>) {
        let is_skipped = row.fault.is_none() && self.source.is_skipped(&row.fields);
        let key = self.key.value(&[&row.fields]).map(|key| key.into_owned());
        let key = key
            .map_err(|error| error.to_string())
            .and_then(|key| match key.as_str() {
                "" => Err("the order's key is empty".to_owned()),
                _ => Ok(key),
            });
        let fault = match (&row.fault, &key) {
            (Some(fault), _) => Some(fault.to_string()),
            (None, Err(what)) if !is_skipped => Some(what.clone()),
            (None, _) => None,
        };
        if let Some(reason) = fault {
            reject(Rejection {
                file: Arc::clone(&self.source.label),
                line: row.line,
                order: key.clone().unwrap_or_default(),
                code: "unreadable_row".to_owned(),
                reason,
            });
            let columns_fit = matches!(row.fault, None | Some(RowFault::Encoding { .. }));
            match key {
                Ok(key) if columns_fit && !key.contains(char::REPLACEMENT_CHARACTER) => {
                    self.emit(key, row.line, Body::Broken);
                }
                guess => self.suspect(row.line, guess.ok()),
            }
        } else if let Ok(key) = key {
            let body = if is_skipped {
                Body::Skipped
            } else {
                Body::Fields(row.fields)
            };
            self.emit(key, row.line, body);
        }
    }

    fn emit(&mut self, key: String, line: u64, body: Body) {
        self.mark_suspects(Some(&key));
        self.previous = Some(key.clone());
        self.ready.push_back(Keyed { key, line, body });
    }

    fn suspect(&mut self, line: u64, guess: Option<String>) {
        if self.neighbours == Neighbours::Independent {
            return;
        }
        if self.suspects.len() < MAX_SUSPECTS {
            self.suspects.push((line, guess));
        } else if let Some((_, guess)) = self.suspects.last_mut() {
            *guess = None;
        }
    }

    /// Marks the orders before and after a run of unreadable rows.
    fn mark_suspects(&mut self, next: Option<&str>) {
        let suspects = std::mem::take(&mut self.suspects);
        let previous = self.previous.as_deref();
        let suspected = |neighbour: Option<&str>, other: Option<&str>| {
            let neighbour = neighbour?;
            let hit = suspects.iter().find(|(_, guess)| match guess.as_deref() {
                Some(guess) if Some(guess) == other => guess == neighbour,
                _ => true,
            });
            hit.map(|(line, _)| Keyed {
                key: neighbour.to_owned(),
                line: *line,
                body: Body::Broken,
            })
        };
        let before = suspected(previous, next);
        let after = suspected(next, previous).filter(|_| next != previous);
        self.ready.extend(before);
        self.ready.extend(after);
    }
}
