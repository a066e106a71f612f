//! What is wrong with a routing file, and where.

use std::fmt;
use std::ops::Range;

use toml_edit::{Document, Item, Value};

/// One fault of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Line, from 1; 0 when the file as a whole is meant.
    pub line: usize,
    /// Column in characters, from 1; 0 when the file as a whole is meant.
    pub column: usize,
    /// The field, such as `routes[2].prefix`; empty when the file as a whole is meant.
    pub field: String,
    /// What is expected.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(f, "line {}, column {}: ", self.line, self.column)?;
        }
        match self.field.as_str() {
            "" => f.write_str(&self.message),
            field => write!(f, "{field}: {}", self.message),
        }
    }
}

/// Everything that is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults(pub Vec<Fault>);

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

/// Collects faults, and finds the line of each by its field.
pub(crate) struct Report<'t> {
    text: &'t str,
    document: Option<Document<&'t str>>,
    faults: Vec<Fault>,
}

impl<'t> Report<'t> {
    pub(crate) fn new(text: &'t str) -> Self {
        Self {
            text,
            document: Document::parse(text).ok(),
            faults: Vec::new(),
        }
    }

    /// Adds a fault of a field, such as `routes[2].prefix`.
    pub(crate) fn add(&mut self, field: impl Into<String>, message: impl Into<String>) {
        let field = field.into();
        let span = self.document.as_ref().and_then(|document| {
            let root = document.as_item();
            span_of(root, &field)
        });
        self.add_at(span, field, message.into());
    }

    /// Adds a fault at a place of the text.
    pub(crate) fn add_at(&mut self, span: Option<Range<usize>>, field: String, message: String) {
        let (line, column) = span.map_or((0, 0), |span| position(self.text, span.start));
        self.faults.push(Fault {
            line,
            column,
            field,
            message,
        });
    }

    /// The value, if nothing was wrong.
    pub(crate) fn finish<T>(self, value: T) -> Result<T, Faults> {
        match self.faults.is_empty() {
            true => Ok(value),
            false => Err(self.into_faults()),
        }
    }

    /// What was wrong.
    pub(crate) fn into_faults(self) -> Faults {
        Faults(self.faults)
    }
}

fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default();
    (line, column.chars().count() + 1)
}

/// The place of a field, or of the nearest thing that holds it: a missing field stands nowhere.
fn span_of(root: &Item, field: &str) -> Option<Range<usize>> {
    let mut found = Place::Item(root);
    let mut span = None;
    for step in field.split(['.', '[', ']']).filter(|step| !step.is_empty()) {
        let Some(next) = found.step(step) else { break };
        found = next;
        span = found.span().or(span);
    }
    span
}

#[derive(Clone, Copy)]
enum Place<'d> {
    Item(&'d Item),
    Value(&'d Value),
    Table(&'d toml_edit::Table),
}

impl<'d> Place<'d> {
    fn step(self, step: &str) -> Option<Self> {
        let index = step.parse::<usize>().ok();
        match (self, index) {
            (Self::Item(Item::Value(value)), _) | (Self::Value(value), _) => match index {
                Some(index) => value.as_array()?.get(index).map(Place::Value),
                None => value.as_inline_table()?.get(step).map(Place::Value),
            },
            (Self::Item(Item::ArrayOfTables(tables)), Some(index)) => {
                tables.get(index).map(Place::Table)
            }
            (Self::Item(Item::Table(table)), None) | (Self::Table(table), None) => {
                table.get(step).map(Place::Item)
            }
            _ => None,
        }
    }

    fn span(self) -> Option<Range<usize>> {
        match self {
            Self::Item(item) => item.span(),
            Self::Value(value) => value.span(),
            Self::Table(table) => table.span(),
        }
    }
}
