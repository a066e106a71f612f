//! The keys of a settings file, one by one, with their documentation and present source.

use serde::{Deserialize, Serialize};
use toml_edit::{DocumentMut, Item, Table, Value};

/// One settings key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Dotted path, such as `server.port`.
    pub key: String,
    /// The value in force; hidden when secret.
    pub value: String,
    /// The compiled-in default.
    pub default: String,
    /// `ms`, `s`, `bytes` or empty, by the key's last word.
    pub unit: String,
    /// The comment above the key.
    pub description: String,
    /// `default`, or the environment variable that set it.
    pub source: String,
    /// Whether the value must not be shown.
    pub secret: bool,
}

/// A key of the default file with its value.
#[derive(Clone, Debug)]
pub(super) struct DefaultEntry {
    pub(super) key: String,
    pub(super) value: Value,
    pub(super) description: String,
}

/// Lists every key of a default file.
pub(super) fn list_defaults(document: &DocumentMut) -> Vec<DefaultEntry> {
    let mut entries = Vec::new();
    collect(document.as_table(), "", &mut entries);
    entries
}

fn collect(table: &Table, prefix: &str, entries: &mut Vec<DefaultEntry>) {
    for (name, item) in table {
        let key = if prefix.is_empty() {
            name.to_owned()
        } else {
            format!("{prefix}.{name}")
        };
        match item {
            Item::Table(inner) => collect(inner, &key, entries),
            Item::Value(value) => {
                let comment = table
                    .key(name)
                    .and_then(|key| key.leaf_decor().prefix())
                    .and_then(|prefix| prefix.as_str())
                    .unwrap_or_default();
                entries.push(DefaultEntry {
                    key,
                    value: value.clone(),
                    description: comment_above(comment),
                });
            }
            _ => {}
        }
    }
}

/// The comment lines directly above a key; a blank line ends what belongs to it.
fn comment_above(decor: &str) -> String {
    let last_block = decor.rsplit("\n\n").next().unwrap_or_default();
    let lines = last_block
        .lines()
        .filter_map(|line| line.trim().strip_prefix('#'));
    lines.map(str::trim).collect::<Vec<_>>().join(" ")
}

/// The value as a person writes it.
pub(super) fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.value().clone(),
        Value::Array(array) => array.iter().map(plain).collect::<Vec<_>>().join(","),
        other => other.to_string().trim().to_owned(),
    }
}

/// The unit of a key, by its last word.
pub(super) fn unit(key: &str) -> &'static str {
    match key.rsplit(['_', '.']).next() {
        Some("ms") => "ms",
        Some("seconds") => "s",
        Some("minutes") => "min",
        Some("hours") => "h",
        Some("days") => "d",
        Some("bytes") => "bytes",
        _ => "",
    }
}

pub(super) fn is_secret(key: &str) -> bool {
    ["secret", "password", "token"]
        .iter()
        .any(|word| key.ends_with(word))
}

/// Hides a secret, and the password inside a URL.
pub(super) fn shown(key: &str, value: &str) -> String {
    if is_secret(key) {
        return if value.is_empty() {
            String::new()
        } else {
            "<hidden>".to_owned()
        };
    }
    hide_url_password(value).unwrap_or_else(|| value.to_owned())
}

fn hide_url_password(value: &str) -> Option<String> {
    let (scheme, rest) = value.split_once("://")?;
    let (userinfo, host) = rest.rsplit_once('@')?;
    let (user, _password) = userinfo.split_once(':')?;
    Some(format!("{scheme}://{user}:<hidden>@{host}"))
}

/// Renders entries as an aligned table.
#[must_use]
pub fn render_table(entries: &[Entry]) -> String {
    use std::fmt::Write as _;
    let width = |get: fn(&Entry) -> usize| entries.iter().map(get).max().unwrap_or(0);
    let keys = width(|entry| entry.key.len()).max(3);
    let values = width(|entry| entry.value.len()).clamp(5, 48);
    let mut text = String::new();
    let _ = writeln!(
        text,
        "{:keys$}  {:values$}  {:5}  source",
        "key", "value", "unit"
    );
    for entry in entries {
        let _ = writeln!(
            text,
            "{:keys$}  {:values$}  {:5}  {}\n{:keys$}    {} (default: {})",
            entry.key, entry.value, entry.unit, entry.source, "", entry.description, entry.default,
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_hidden() {
        for (key, value, expected) in [
            ("auth.service_secret", "abc", "<hidden>"),
            (
                "database.url",
                "postgres://u:p@h/d",
                "postgres://u:<hidden>@h/d",
            ),
            ("database.url", "sqlite://x.db", "sqlite://x.db"),
            ("server.port", "1", "1"),
        ] {
            assert_eq!(shown(key, value), expected);
        }
    }
}
