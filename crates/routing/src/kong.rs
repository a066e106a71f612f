//! A Kong declarative file (`_format_version` 3.0, YAML or JSON) as a routing file, with a note on
//! everything that means something else here or could not be converted.

mod form;
mod limits;
mod plugins;
mod routes;
mod scope;
mod services;

use self::form::KongFile;
use crate::file::FileIn;
use crate::{Faults, Table};

/// A converted file.
#[derive(Debug)]
pub struct Imported {
    /// The routing file's text.
    pub text: String,
    /// What could not be converted, or means something else here.
    pub notes: Vec<String>,
}

/// Why nothing was converted.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// It is no Kong file.
    #[error("this is not a Kong declarative file: {0}")]
    Unreadable(String),
    /// Another version.
    #[error("_format_version `{0}` is not known; 3.0 is")]
    Version(String),
    /// What came out cannot be used.
    #[error("the converted file has faults:\n{0}")]
    Faults(#[source] Faults),
}

/// Converts a Kong file. `known` are the services that need not stand in a routing file.
///
/// # Errors
/// When the text is no Kong file of a known version, or nothing usable comes out of it.
pub fn import(text: &str, known: &[&str]) -> Result<Imported, ImportError> {
    let kong: KongFile =
        serde_saphyr::from_str(text).map_err(|error| ImportError::Unreadable(error.to_string()))?;
    if !matches!(kong.format_version.as_str(), "3.0" | "3") {
        return Err(ImportError::Version(kong.format_version));
    }
    let mut notes = Notes::default();
    notes.unknown("the file", &kong.other);
    let mut file = FileIn::default();
    let services = services::convert(&kong, known, &mut file, &mut notes);
    routes::convert(&kong, &services, &mut file, &mut notes);
    plugins::consumers(&kong, &mut file, &mut notes);
    let body =
        toml::to_string(&file).map_err(|error| ImportError::Unreadable(error.to_string()))?;
    let text = format!("# Made from a Kong declarative file.\n\n{body}");
    Table::parse(&text, known).map_err(ImportError::Faults)?;
    Ok(Imported {
        text,
        notes: notes.0,
    })
}

/// What the reader must know about the conversion.
#[derive(Debug, Default)]
struct Notes(Vec<String>);

impl Notes {
    fn add(&mut self, place: &str, text: &str) {
        let note = format!("{place}: {text}");
        if !self.0.contains(&note) {
            self.0.push(note);
        }
    }

    /// Fields without a counterpart. Empty ones say nothing.
    fn unknown(&mut self, place: &str, fields: &form::Other) {
        for (name, value) in fields {
            let says_nothing =
                match value {
                    serde_json::Value::Null => true,
                    serde_json::Value::Array(items) => items.is_empty(),
                    serde_json::Value::Object(fields) => fields.is_empty(),
                    _ => matches!(
                        name.as_str(),
                        "tags" | "id" | "created_at" | "updated_at" | "ws_id"
                    ),
                } || matches!(name.as_str(), "tags" | "_transform" | "_info" | "_comment");
            if !says_nothing {
                self.add(place, &format!("`{name}` was not converted"));
            }
        }
    }
}
