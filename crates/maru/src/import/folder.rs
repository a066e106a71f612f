//! The imported folder: its files by the names of the map, their headers, and the small files that
//! are joined to others.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use csv::StringRecord;

use super::map::{Fault, Source};
use super::report::{Reject, Rejection};
use super::rows::{FileFormat, Rows};
use super::template::{Bound, Schema, Template};

/// Largest file that may be joined, in bytes of text: joined files are held in memory.
const MAX_JOINED_BYTES: usize = 16 * 1024 * 1024;

/// The files of an export.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    formats: BTreeMap<String, FileFormat>,
    headers: BTreeMap<String, Vec<String>>,
}

impl Folder {
    /// Opens every file once and reads its header. Faults are noted.
    pub(crate) fn open(
        path: &Path,
        formats: &BTreeMap<String, FileFormat>,
        faults: &mut Vec<Fault>,
    ) -> Self {
        let mut folder = Self {
            path: path.to_owned(),
            formats: formats.clone(),
            headers: BTreeMap::new(),
        };
        for (name, format) in formats {
            let full = path.join(&format.path);
            let rows = File::open(&full).and_then(|file| Rows::open(file, format));
            match rows {
                Ok(rows) => {
                    folder.headers.insert(name.clone(), rows.header().to_vec());
                }
                Err(error) => {
                    let what = format!("cannot read {}: {error}", full.display());
                    faults.push(format.origin.fault(what));
                }
            }
        }
        folder
    }

    /// The rows of a file.
    ///
    /// # Errors
    /// When it cannot be read any more.
    pub(crate) fn rows(&self, name: &str) -> anyhow::Result<Rows<File>> {
        let format = self.format(name)?;
        let rows = Rows::open(self.file(name)?, format);
        rows.with_context(|| format!("cannot read {}", format.path))
    }

    /// A file as it is.
    ///
    /// # Errors
    /// When it cannot be read any more.
    pub(crate) fn file(&self, name: &str) -> anyhow::Result<File> {
        let path = self.path.join(&self.format(name)?.path);
        File::open(&path).with_context(|| format!("cannot read {}", path.display()))
    }

    /// The path of a file within the folder, for messages.
    pub(crate) fn label(&self, name: &str) -> Arc<str> {
        let format = self.formats.get(name);
        format.map_or_else(|| Arc::from(name), |format| Arc::from(format.path.as_str()))
    }

    /// The names of all files.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.formats.keys().map(String::as_str)
    }

    fn format(&self, name: &str) -> anyhow::Result<&FileFormat> {
        let format = self.formats.get(name);
        format.with_context(|| format!("the map names no file `{name}`"))
    }

    fn header(&self, name: &str) -> Option<&[String]> {
        self.headers.get(name).map(Vec::as_slice)
    }
}

/// A [`Source`] whose columns are known and whose joined files are loaded.
#[derive(Debug, Default)]
pub(crate) struct BoundSource {
    /// Name of the file in the map; none when there is none.
    pub(crate) file: Option<String>,
    /// The file as messages call it.
    pub(crate) label: Arc<str>,
    joins: Vec<BoundJoin>,
    skips: Vec<(Bound, Vec<String>)>,
}

#[derive(Debug)]
struct BoundJoin {
    file: String,
    label: Arc<str>,
    on: Bound,
    to: Bound,
    rows: HashMap<String, StringRecord>,
}

/// Binds the templates of one section.
pub(crate) struct Binder<'a> {
    schema: Schema<'a>,
    faults: &'a mut Vec<Fault>,
    /// A file's header is missing, which has been told: its columns are not complained about.
    mute: bool,
}

impl<'a> Binder<'a> {
    /// A binder for the section with this source.
    pub(crate) fn new(folder: &'a Folder, source: &'a Source, faults: &'a mut Vec<Fault>) -> Self {
        let joined = source.joins.iter().map(|join| &join.file);
        let mut schema = Schema::default();
        let mut mute = false;
        for name in source.file.iter().chain(joined) {
            match folder.header(name) {
                Some(header) => schema.files.push((name, header)),
                None => mute = true,
            }
        }
        Self {
            schema,
            faults,
            mute,
        }
    }

    /// Finds the columns of a template, joined ones included.
    pub(crate) fn bind(&mut self, template: &Template) -> Bound {
        self.bind_within(template, usize::MAX)
    }

    /// Finds the columns of a template in the section's own file alone.
    pub(crate) fn bind_own(&mut self, template: &Template) -> Bound {
        self.bind_within(template, 1)
    }

    fn bind_within(&mut self, template: &Template, files: usize) -> Bound {
        let files = self.schema.files.iter().take(files).copied().collect();
        let schema = Schema { files };
        if self.mute {
            return template.bind(&schema, &mut Vec::new());
        }
        template.bind(&schema, self.faults)
    }

    /// The source itself.
    pub(crate) fn source(&mut self, folder: &Folder, source: &Source) -> BoundSource {
        let mut joins = Vec::new();
        for (index, join) in source.joins.iter().enumerate() {
            // A join may build on the ones before it.
            let on = self.bind_within(&join.on, index + 1);
            let joined = self.schema.files.get(index + 1).copied();
            let schema = Schema {
                files: joined.into_iter().collect(),
            };
            let mut found = Vec::new();
            let to = join.to.bind(&schema, &mut found);
            if !self.mute {
                self.faults.extend(found);
            }
            joins.push(BoundJoin {
                label: folder.label(&join.file),
                file: join.file.clone(),
                on,
                to,
                rows: HashMap::new(),
            });
        }
        let mut skips = Vec::new();
        for skip in &source.skips {
            skips.push((self.bind_own(&skip.value), skip.is.clone()));
        }
        let label = source.file.as_deref().map(|file| folder.label(file));
        BoundSource {
            label: label.unwrap_or_default(),
            file: source.file.clone(),
            joins,
            skips,
        }
    }
}

impl BoundSource {
    /// Loads the joined files.
    ///
    /// # Errors
    /// When one cannot be read or is too large to be held in memory.
    pub(crate) fn load(&mut self, folder: &Folder, reject: Reject<'_>) -> anyhow::Result<()> {
        for join in &mut self.joins {
            join.load(folder, reject)?;
        }
        Ok(())
    }

    /// Whether the map leaves this row out.
    pub(crate) fn is_skipped(&self, row: &StringRecord) -> bool {
        self.skips.iter().any(|(value, listed)| {
            let value = value.value(&[row]);
            value.is_ok_and(|value| listed.iter().any(|entry| *entry == value))
        })
    }

    /// The row with those joined to it, in the order of the schema.
    ///
    /// # Errors
    /// One phrase when a joined file has no row for it.
    pub(crate) fn join<'r>(
        &'r self,
        row: &'r StringRecord,
    ) -> Result<Vec<&'r StringRecord>, String> {
        let mut rows = vec![row];
        for join in &self.joins {
            let key = join.on.value(&rows).map_err(|error| error.to_string())?;
            match join.rows.get(key.as_ref()) {
                Some(found) => rows.push(found),
                None => return Err(format!("{} has no row for `{key}`", join.label)),
            }
        }
        Ok(rows)
    }
}

impl BoundJoin {
    fn load(&mut self, folder: &Folder, reject: Reject<'_>) -> anyhow::Result<()> {
        let mut rows = folder.rows(&self.file)?;
        let mut bytes = 0;
        while let Some(row) = rows.next()? {
            let key = match (&row.fault, self.to.value(&[&row.fields])) {
                (None, Ok(key)) => key.into_owned(),
                (Some(fault), _) => {
                    reject(self.rejection(row.line, "unreadable_row", fault.to_string()));
                    continue;
                }
                (None, Err(error)) => {
                    reject(self.rejection(row.line, "invalid_value", error.to_string()));
                    continue;
                }
            };
            bytes += row.fields.as_slice().len() + key.len();
            anyhow::ensure!(
                bytes <= MAX_JOINED_BYTES,
                "{} is too large to be joined: more than {} MiB",
                self.label,
                MAX_JOINED_BYTES / (1024 * 1024)
            );
            match self.rows.get(&key) {
                Some(known) if *known != row.fields => {
                    let reason = format!("`{key}` comes again with other values");
                    reject(self.rejection(row.line, "duplicate_key", reason));
                }
                Some(_) => {}
                None => drop(self.rows.insert(key, row.fields)),
            }
        }
        Ok(())
    }

    fn rejection(&self, line: u64, code: &str, reason: String) -> Rejection {
        Rejection {
            file: Arc::clone(&self.label),
            line,
            order: String::new(),
            code: code.to_owned(),
            reason,
        }
    }
}
