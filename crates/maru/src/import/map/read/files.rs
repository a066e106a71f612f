//! The sections about how files and numbers are written.

use std::collections::BTreeMap;

use crate::import::amount::NumberStyle;
use crate::import::map::section::Section;
use crate::import::rows::{FileFormat, Header, encoding_named};

/// How amounts are written.
pub(super) fn numbers(root: &mut Section<'_>) -> NumberStyle {
    let mut style = NumberStyle::default();
    let Some(mut section) = root.section("numbers") else {
        return style;
    };
    if let Some(decimal) = one_char(&mut section, "decimal") {
        style.decimal = decimal;
    }
    style.group = one_char(&mut section, "group");
    style.symbols = section.texts("symbols");
    if style.group == Some(style.decimal) {
        section.fault("group", "is the decimal sign too");
    }
    section.finish();
    style
}

/// The declared files by name.
pub(super) fn files(root: &mut Section<'_>) -> BTreeMap<String, FileFormat> {
    let mut files = BTreeMap::new();
    for (name, section) in root.named_sections("files") {
        files.insert(name, file_format(section));
    }
    if files.is_empty() {
        root.fault("files", "no file is named");
    }
    files
}

/// A character that can stand between or around fields in every supported encoding: ASCII.
fn one_byte(section: &mut Section<'_>, key: &'static str, default: u8) -> u8 {
    match one_char(section, key) {
        None => default,
        Some(sign) => u8::try_from(sign)
            .ok()
            .filter(|byte| {
                byte.is_ascii() && !byte.is_ascii_alphanumeric() && !b"\r\n".contains(byte)
            })
            .unwrap_or_else(|| {
                section.fault(key, "expected a sign such as `,`, `;`, `|` or a tab");
                default
            }),
    }
}

fn file_format(mut section: Section<'_>) -> FileFormat {
    let origin = section.origin("path");
    let path = section.need_text("path").to_owned();
    let delimiter = one_byte(&mut section, "delimiter", b',');
    let quote = one_byte(&mut section, "quote", b'"');
    if delimiter == quote {
        section.fault("quote", "is the delimiter too");
    }
    let label = section.text("encoding").unwrap_or("utf-8");
    let encoding = encoding_named(label, delimiter).unwrap_or_else(|what| {
        section.fault("encoding", what);
        encoding_rs::UTF_8
    });
    let columns = section.texts("columns");
    let header = match section.flag("header") {
        None | Some(true) => {
            if !columns.is_empty() {
                section.fault("columns", "only with `header = false`");
            }
            Header::FirstRow
        }
        Some(false) => {
            if columns.is_empty() {
                section.fault("columns", "needed with `header = false`");
            }
            Header::Named(columns)
        }
    };
    let skip_lines = section.whole("skip_lines", 0).unwrap_or(0).unsigned_abs();
    section.finish();
    FileFormat {
        path,
        delimiter,
        quote,
        encoding,
        header,
        skip_lines,
        origin,
    }
}

fn one_char(section: &mut Section<'_>, key: &'static str) -> Option<char> {
    let text = section.text(key)?;
    let mut chars = text.chars();
    match (chars.next(), chars.next()) {
        (Some(one), None) => Some(one),
        _ => {
            section.fault(key, "expected one character");
            None
        }
    }
}
