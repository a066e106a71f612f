//! Reads a TOML document key by key, so that every fault is found in one go and told with its line,
//! unknown keys included.

use std::cell::RefCell;
use std::fmt;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// One thing that is wrong with a map, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Line of the map, from 1.
    pub(crate) line: usize,
    /// Dotted key.
    pub(crate) key: String,
    /// What is wrong with it.
    pub(crate) what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.key.is_empty() {
            write!(f, "line {}: {}", self.line, self.what)
        } else {
            write!(f, "line {}: {}: {}", self.line, self.key, self.what)
        }
    }
}

/// Where in the map something was said, for faults that show only later.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) line: usize,
    pub(crate) key: String,
}

impl Origin {
    /// A fault at this place.
    pub(crate) fn fault(&self, what: impl Into<String>) -> Fault {
        Fault {
            line: self.line,
            key: self.key.clone(),
            what: what.into(),
        }
    }
}

/// The text of a map and the faults found in it so far.
pub(super) struct Document<'d> {
    text: &'d str,
    faults: RefCell<Vec<Fault>>,
}

impl<'d> Document<'d> {
    pub(super) fn new(text: &'d str) -> Self {
        Self {
            text,
            faults: RefCell::default(),
        }
    }

    /// Parses the text; syntax faults are noted, and what could be read is returned.
    pub(super) fn parse(&self) -> Spanned<DeTable<'d>> {
        let (table, errors) = DeTable::parse_recoverable(self.text);
        for error in errors {
            let at = error.span().map_or(0, |span| span.start);
            self.note(at, "", error.message());
        }
        table
    }

    pub(super) fn line_at(&self, offset: usize) -> usize {
        let before = self.text.as_bytes().iter().take(offset);
        1 + before.filter(|&&byte| byte == b'\n').count()
    }

    pub(super) fn note(&self, offset: usize, key: &str, what: impl Into<String>) {
        self.push(Fault {
            line: self.line_at(offset),
            key: key.to_owned(),
            what: what.into(),
        });
    }

    pub(super) fn push(&self, fault: Fault) {
        self.faults.borrow_mut().push(fault);
    }

    /// The faults in the order of their lines.
    pub(super) fn into_faults(self) -> Vec<Fault> {
        let mut faults = self.faults.into_inner();
        faults.sort_by_key(|fault| fault.line);
        faults
    }
}

/// One table of the document. Every key that is asked for counts as known; [`Section::finish`]
/// reports the rest.
pub(super) struct Section<'d> {
    document: &'d Document<'d>,
    table: &'d DeTable<'d>,
    path: String,
    start: usize,
    known: Vec<&'static str>,
}

impl<'d> Section<'d> {
    pub(super) fn root(document: &'d Document<'d>, table: &'d Spanned<DeTable<'d>>) -> Self {
        Self {
            document,
            table: table.get_ref(),
            path: String::new(),
            start: 0,
            known: Vec::new(),
        }
    }

    fn child(&self, path: String, table: &'d DeTable<'d>, span: &Range<usize>) -> Self {
        Self {
            document: self.document,
            table,
            path,
            start: span.start,
            known: Vec::new(),
        }
    }

    fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        }
    }

    fn find(&mut self, key: &'static str) -> Option<&'d Spanned<DeValue<'d>>> {
        self.known.push(key);
        let mut entries = self.table.iter();
        entries
            .find(|(name, _)| name.get_ref() == key)
            .map(|(_, value)| value)
    }

    /// Where a key stands, or its section when it is missing.
    pub(super) fn origin(&self, key: &str) -> Origin {
        let mut entries = self.table.iter();
        let found = entries.find(|(name, _)| name.get_ref() == key);
        let offset = found.map_or(self.start, |(name, _)| name.span().start);
        Origin {
            line: self.document.line_at(offset),
            key: self.path_of(key),
        }
    }

    /// Notes a fault of this key.
    pub(super) fn fault(&self, key: &str, what: impl Into<String>) {
        self.document.push(self.origin(key).fault(what));
    }

    fn wrong_type(&self, key: &str, expected: &str, value: &DeValue<'_>) {
        self.fault(
            key,
            format!("expected {expected}, found {}", value.type_str()),
        );
    }

    /// A text, if given.
    pub(super) fn text(&mut self, key: &'static str) -> Option<&'d str> {
        let value = self.find(key)?.get_ref();
        let text = value.as_str();
        if text.is_none() {
            self.wrong_type(key, "a text", value);
        }
        text
    }

    /// A text that must be given; empty after a fault.
    pub(super) fn need_text(&mut self, key: &'static str) -> &'d str {
        let text = self.text(key);
        match text {
            Some("") => self.fault(key, "must not be empty"),
            None if !self.has(key) => self.missing(key),
            _ => {}
        }
        text.unwrap_or_default()
    }

    /// Notes that a key is missing.
    pub(super) fn missing(&self, key: &str) {
        self.fault(key, "missing");
    }

    /// `true` or `false`, if given.
    pub(super) fn flag(&mut self, key: &'static str) -> Option<bool> {
        let value = self.find(key)?.get_ref();
        let flag = value.as_bool();
        if flag.is_none() {
            self.wrong_type(key, "true or false", value);
        }
        flag
    }

    /// A whole number of at least `least`, if given.
    pub(super) fn whole(&mut self, key: &'static str, least: i64) -> Option<i64> {
        let number = whole(self.find(key)?.get_ref());
        let number = number.filter(|number| *number >= least);
        if number.is_none() {
            self.fault(key, format!("expected a whole number from {least}"));
        }
        number
    }

    /// A list of texts; empty when not given.
    pub(super) fn texts(&mut self, key: &'static str) -> Vec<String> {
        let Some(value) = self.find(key) else {
            return Vec::new();
        };
        let texts = value.get_ref().as_array().map(|array| {
            let texts = array.iter().map(|entry| entry.get_ref().as_str());
            texts
                .map(|text| text.map(str::to_owned))
                .collect::<Option<Vec<_>>>()
        });
        texts.flatten().unwrap_or_else(|| {
            self.wrong_type(key, "a list of texts", value.get_ref());
            Vec::new()
        })
    }

    /// A table within this one, if given.
    pub(super) fn section(&mut self, key: &'static str) -> Option<Self> {
        let value = self.find(key)?;
        let table = value.get_ref().as_table();
        if table.is_none() {
            self.wrong_type(key, "a table", value.get_ref());
        }
        Some(self.child(self.path_of(key), table?, &value.span()))
    }

    /// A list of tables; empty when not given.
    pub(super) fn sections(&mut self, key: &'static str) -> Vec<Self> {
        let Some(value) = self.find(key) else {
            return Vec::new();
        };
        let Some(array) = value.get_ref().as_array() else {
            self.wrong_type(key, "a list of tables", value.get_ref());
            return Vec::new();
        };
        let mut sections = Vec::new();
        for (index, entry) in array.iter().enumerate() {
            let path = format!("{}[{index}]", self.path_of(key));
            match entry.get_ref().as_table() {
                Some(table) => sections.push(self.child(path, table, &entry.span())),
                None => self.wrong_type(key, "a list of tables", entry.get_ref()),
            }
        }
        sections
    }

    /// The tables within a table whose keys are names of the map's own choice.
    pub(super) fn named_sections(&mut self, key: &'static str) -> Vec<(String, Self)> {
        let Some(section) = self.section(key) else {
            return Vec::new();
        };
        let mut named = Vec::new();
        for (name, value) in section.table.iter() {
            match value.get_ref().as_table() {
                Some(table) => {
                    let child = section.child(section.path_of(name.get_ref()), table, &name.span());
                    named.push((name.get_ref().to_string(), child));
                }
                None => section.wrong_type(name.get_ref(), "a table", value.get_ref()),
            }
        }
        named
    }

    /// Texts under names of the map's own choice: all entries of this table.
    pub(super) fn into_texts(self) -> Vec<(String, String)> {
        self.into_entries("a text", |value| value.as_str().map(str::to_owned))
    }

    /// Positive whole numbers under names of the map's own choice: all entries of this table.
    pub(super) fn into_counts(self) -> Vec<(String, i64)> {
        self.into_entries("a positive whole number", |value| {
            whole(value).filter(|number| *number > 0)
        })
    }

    fn into_entries<T>(
        self,
        expected: &str,
        read: impl Fn(&DeValue<'_>) -> Option<T>,
    ) -> Vec<(String, T)> {
        let mut entries = Vec::new();
        for (name, value) in self.table.iter() {
            match read(value.get_ref()) {
                Some(entry) => entries.push((name.get_ref().to_string(), entry)),
                None => self.wrong_type(name.get_ref(), expected, value.get_ref()),
            }
        }
        entries
    }

    /// Whether a key is given, of whatever type.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.iter().any(|(name, _)| name.get_ref() == key)
    }

    /// Whether a key holds a table.
    pub(super) fn holds_table(&self, key: &str) -> bool {
        let mut entries = self.table.iter();
        entries.any(|(name, value)| name.get_ref() == key && value.get_ref().is_table())
    }

    /// Reports the keys that nobody asked for.
    pub(super) fn finish(self) {
        for (name, _) in self.table.iter() {
            let name = name.get_ref().as_ref();
            if self.known.contains(&name) {
                continue;
            }
            let nearest = nearest(name, &self.known);
            let what = match nearest {
                Some(known) => format!("unknown key; did you mean `{known}`?"),
                None => format!("unknown key; known here: {}", self.known.join(", ")),
            };
            self.fault(name, what);
        }
    }
}

fn whole(value: &DeValue<'_>) -> Option<i64> {
    let integer = value.as_integer()?;
    i64::from_str_radix(integer.as_str(), integer.radix()).ok()
}

/// The known key that differs in at most a third of its letters.
fn nearest(name: &str, known: &[&'static str]) -> Option<&'static str> {
    let scored = known.iter().map(|&key| (distance(name, key), key));
    let (distance, key) = scored.min()?;
    (distance * 3 <= key.chars().count().max(3)).then_some(key)
}

/// Number of single-letter changes between two words (Levenshtein 1966).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, &y) in row.iter_mut().skip(1).zip(&b) {
            let above = *cell;
            let change = diagonal + usize::from(x != y);
            left = change.min(above + 1).min(left + 1);
            diagonal = above;
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distance_counts_single_letter_changes() {
        for (a, b, expected) in [
            ("price", "price", 0),
            ("prise", "price", 1),
            ("", "abc", 3),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(distance(a, b), expected, "{a} {b}");
        }
    }

    #[test]
    fn every_fault_is_told_with_its_line() {
        let text = "name = 5\n\n[menu]\nprise = \"x\"\nsizes = [1]\n";
        let document = Document::new(text);
        let table = document.parse();
        let mut root = Section::root(&document, &table);
        root.need_text("name");
        root.need_text("currency");
        let mut menu = root.section("menu").unwrap();
        menu.need_text("price");
        menu.texts("sizes");
        menu.finish();
        root.finish();
        let faults: Vec<String> = document
            .into_faults()
            .iter()
            .map(Fault::to_string)
            .collect();
        assert_eq!(
            faults,
            [
                "line 1: name: expected a text, found integer",
                "line 1: currency: missing",
                "line 3: menu.price: missing",
                "line 4: menu.prise: unknown key; did you mean `price`?",
                "line 5: menu.sizes: expected a list of texts, found array",
            ]
        );
    }

    #[test]
    fn broken_toml_is_told_with_its_line() {
        let document = Document::new("a = 1\nb = = 2\n");
        document.parse();
        let faults = document.into_faults();
        assert!(faults.iter().all(|fault| fault.line == 2), "{faults:?}");
        assert!(!faults.is_empty());
    }
}
