//! Templates: how a map says what a value is made of.
//!
//! `"{types.name} ({size|sizes})"` is text with columns in braces. `{column}` is of the section's
//! own file, `{file.column}` of a joined one. After a bar come filters: `upper`, `lower`, or the
//! name of a table or replacement list of the map. `{{` and `}}` stand for the braces themselves.
//! Column values are trimmed.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use csv::StringRecord;

use super::map::{Fault, Origin};

/// A template as the map has it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Template {
    parts: Vec<Part>,
    origin: Origin,
}

#[derive(Clone, Debug)]
enum Part {
    Text(String),
    Column { name: String, filters: Vec<Filter> },
}

/// What may stand after a bar.
#[derive(Clone, Debug)]
pub(crate) enum Filter {
    Upper,
    Lower,
    /// The whole value is looked up; `*` is the entry for all others.
    Table(Arc<Entries>),
    /// Every occurrence of each key is replaced.
    Replace(Arc<Entries>),
}

/// A table of the map.
#[derive(Clone, Debug, Default)]
pub(crate) struct Entries {
    pub(crate) name: String,
    pub(crate) entries: BTreeMap<String, String>,
}

/// The filters by name.
#[derive(Clone, Debug)]
pub(crate) struct Filters(BTreeMap<String, Filter>);

impl Filters {
    pub(crate) fn new() -> Self {
        let built_in = [("upper", Filter::Upper), ("lower", Filter::Lower)];
        Self(
            built_in
                .map(|(name, filter)| (name.to_owned(), filter))
                .into(),
        )
    }

    /// Adds a filter; false when the name is taken.
    pub(crate) fn add(&mut self, name: &str, filter: Filter) -> bool {
        self.0.insert(name.to_owned(), filter).is_none()
    }
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// One sentence saying what is wrong with it.
    pub(crate) fn parse(text: &str, filters: &Filters, origin: Origin) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, found) = rest.split_at(at);
            plain.push_str(before);
            if found.starts_with("{{") || found.starts_with("}}") {
                plain.extend(found.chars().next());
                rest = found.get(2..).unwrap_or_default();
                continue;
            }
            let Some(inner) = found.strip_prefix('{') else {
                return Err("a `}` without its `{`; write `}}` for the sign itself".to_owned());
            };
            let Some((column, after)) = inner.split_once('}') else {
                return Err("a `{` without its `}`; write `{{` for the sign itself".to_owned());
            };
            if !plain.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut plain)));
            }
            parts.push(parse_column(column, filters)?);
            rest = after;
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        Ok(Self { parts, origin })
    }

    /// Finds the columns in the headers. Unknown ones are noted.
    pub(crate) fn bind(&self, schema: &Schema<'_>, faults: &mut Vec<Fault>) -> Bound {
        let mut parts = Vec::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => parts.push(BoundPart::Text(text.clone())),
                Part::Column { name, filters } => match schema.find(name) {
                    Ok((source, column)) => parts.push(BoundPart::Column {
                        name: name.clone(),
                        source,
                        column,
                        filters: filters.clone(),
                    }),
                    Err(what) => faults.push(self.origin.fault(what)),
                },
            }
        }
        Bound { parts }
    }
}

fn parse_column(text: &str, filters: &Filters) -> Result<Part, String> {
    let mut pieces = text.split('|').map(str::trim);
    let name = pieces.next().unwrap_or_default();
    if name.is_empty() {
        return Err("`{}` names no column".to_owned());
    }
    let mut found = Vec::new();
    for piece in pieces {
        let filter = filters.0.get(piece).ok_or_else(|| {
            let known: Vec<&str> = filters.0.keys().map(String::as_str).collect();
            format!(
                "no table or filter `{piece}`; there are: {}",
                known.join(", ")
            )
        })?;
        found.push(filter.clone());
    }
    Ok(Part::Column {
        name: name.to_owned(),
        filters: found,
    })
}

/// The columns that a template may name: those of the section's file and of its joined files.
#[derive(Clone, Debug, Default)]
pub(crate) struct Schema<'h> {
    /// Name and header of each file; the section's own comes first.
    pub(crate) files: Vec<(&'h str, &'h [String])>,
}

impl Schema<'_> {
    fn find(&self, name: &str) -> Result<(usize, usize), String> {
        let Some((own_name, own)) = self.files.first() else {
            return Err(format!(
                "`{{{name}}}` names a column, but no file is read here"
            ));
        };
        // A column of the own file may have a dot in its name.
        if let Some(column) = own.iter().position(|column| column == name) {
            return Ok((0, column));
        }
        let Some((file, column)) = name.split_once('.') else {
            return Err(no_such_column(own_name, own, name));
        };
        let mut files = self.files.iter().enumerate();
        let Some((source, (_, header))) = files.find(|(_, (known, _))| *known == file) else {
            return Err(format!("file `{file}` is not joined here"));
        };
        match header.iter().position(|known| known == column) {
            Some(at) => Ok((source, at)),
            None => Err(no_such_column(file, header, column)),
        }
    }
}

fn no_such_column(file: &str, header: &[String], column: &str) -> String {
    format!(
        "file `{file}` has no column `{column}`; it has: {}",
        header.join(", ")
    )
}

/// A template whose columns are known.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bound {
    parts: Vec<BoundPart>,
}

#[derive(Clone, Debug)]
enum BoundPart {
    Text(String),
    Column {
        name: String,
        source: usize,
        column: usize,
        filters: Vec<Filter>,
    },
}

/// Why a row gives no value.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NoValue {
    column: String,
    reason: String,
}

impl fmt::Display for NoValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "column `{}`: {}", self.column, self.reason)
    }
}

impl Bound {
    /// The value for a row and the rows joined to it, in the order of the schema.
    ///
    /// # Errors
    /// When the row is too short or a table has no entry for a value.
    pub(crate) fn value<'r>(&'r self, rows: &[&'r StringRecord]) -> Result<Cow<'r, str>, NoValue> {
        if let [part] = self.parts.as_slice() {
            return part.value(rows);
        }
        let mut whole = String::new();
        for part in &self.parts {
            whole.push_str(&part.value(rows)?);
        }
        Ok(Cow::Owned(whole))
    }
}

impl BoundPart {
    fn value<'r>(&'r self, rows: &[&'r StringRecord]) -> Result<Cow<'r, str>, NoValue> {
        let (name, source, column, filters) = match self {
            Self::Text(text) => return Ok(Cow::Borrowed(text)),
            Self::Column {
                name,
                source,
                column,
                filters,
            } => (name, *source, *column, filters),
        };
        let refuse = |reason: String| NoValue {
            column: name.clone(),
            reason,
        };
        let field = rows.get(source).and_then(|row| row.get(column));
        let field = field.ok_or_else(|| refuse("the row ends before it".to_owned()))?;
        let mut value = Cow::Borrowed(field.trim());
        for filter in filters {
            value = filter.apply(value).map_err(refuse)?;
        }
        Ok(value)
    }
}

impl Filter {
    fn apply<'r>(&'r self, value: Cow<'r, str>) -> Result<Cow<'r, str>, String> {
        match self {
            Self::Upper => Ok(Cow::Owned(value.to_uppercase())),
            Self::Lower => Ok(Cow::Owned(value.to_lowercase())),
            Self::Table(table) => {
                let entry = table.entries.get(value.as_ref());
                match entry.or_else(|| table.entries.get("*")) {
                    Some(entry) => Ok(Cow::Borrowed(entry)),
                    None => Err(format!("table `{}` has no entry `{value}`", table.name)),
                }
            }
            Self::Replace(list) => {
                let mut text = value.into_owned();
                for (from, to) in &list.entries {
                    text = text.replace(from, to);
                }
                Ok(Cow::Owned(text))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filters() -> Filters {
        let mut filters = Filters::new();
        let sizes = [("S", "Small"), ("*", "Other")];
        let ampm = [("오전", "AM"), ("오후", "PM")];
        for (name, entries, table) in [("sizes", sizes, true), ("ampm", ampm, false)] {
            let entries = Arc::new(Entries {
                name: name.to_owned(),
                entries: entries
                    .map(|(from, to)| (from.to_owned(), to.to_owned()))
                    .into(),
            });
            let filter = if table {
                Filter::Table(entries)
            } else {
                Filter::Replace(entries)
            };
            assert!(filters.add(name, filter));
        }
        filters
    }

    fn header(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn a_template_joins_text_columns_and_filters() {
        let own = header(&["size", "no. of", "time"]);
        let types = header(&["name"]);
        let schema = Schema {
            files: vec![("pizzas", &own), ("types", &types)],
        };
        let row = StringRecord::from(vec![" S ", "7", "오후 3:20"]);
        let joined = StringRecord::from(vec!["Hawaiian"]);
        for (text, expected) in [
            ("{types.name} ({size|sizes})", "Hawaiian (Small)"),
            ("{size}", "S"),
            ("{no. of}", "7"),
            ("{types.name|upper}", "HAWAIIAN"),
            ("{{{size|lower}}}", "{s}"),
            ("{time|ampm}", "PM 3:20"),
            ("{no. of|sizes}", "Other"),
            ("plain", "plain"),
            ("", ""),
        ] {
            let template = Template::parse(text, &filters(), Origin::default()).unwrap();
            let mut faults = Vec::new();
            let bound = template.bind(&schema, &mut faults);
            assert_eq!(faults, [], "{text}");
            assert_eq!(bound.value(&[&row, &joined]).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn faults_in_a_template_are_told() {
        for (text, expected) in [
            ("{size", "a `{` without its `}`"),
            ("size}", "a `}` without its `{`"),
            ("{ }", "names no column"),
            ("{size|colour}", "no table or filter `colour`"),
        ] {
            let error = Template::parse(text, &filters(), Origin::default()).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
        let own = header(&["size"]);
        let schema = Schema {
            files: vec![("pizzas", &own)],
        };
        for (text, expected) in [
            (
                "{prise}",
                "file `pizzas` has no column `prise`; it has: size",
            ),
            ("{types.name}", "file `types` is not joined here"),
        ] {
            let template = Template::parse(text, &filters(), Origin::default()).unwrap();
            let mut faults = Vec::new();
            template.bind(&schema, &mut faults);
            assert_eq!(faults.len(), 1, "{text}");
            assert_eq!(faults[0].what, expected);
        }
    }

    #[test]
    fn a_value_without_an_entry_is_refused() {
        let mut filters = Filters::new();
        let table = Entries {
            name: "t".to_owned(),
            entries: BTreeMap::new(),
        };
        filters.add("t", Filter::Table(Arc::new(table)));
        let own = header(&["a", "b"]);
        let schema = Schema {
            files: vec![("f", &own)],
        };
        let row = StringRecord::from(vec!["x"]);
        for (text, expected) in [
            ("{a|t}", "column `a`: table `t` has no entry `x`"),
            ("{b}", "column `b`: the row ends before it"),
        ] {
            let template = Template::parse(text, &filters, Origin::default()).unwrap();
            let bound = template.bind(&schema, &mut Vec::new());
            assert_eq!(bound.value(&[&row]).unwrap_err().to_string(), expected);
        }
    }
}
