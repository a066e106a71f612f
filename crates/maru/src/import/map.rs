//! The map: a TOML file that says what another system's export means. A new export needs a new
//! map, never new code. `imports/README.md` describes every key for those who write maps; its
//! example is read by a test here.

mod read;
mod section;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use common::money::Currency;

use super::amount::NumberStyle;
use super::rows::FileFormat;
use super::template::Template;

pub(crate) use section::{Fault, Origin};

/// A map that has been read and is consistent in itself. Columns are checked against the files
/// later.
#[derive(Debug)]
pub(crate) struct Map {
    pub(crate) source: String,
    pub(crate) currency: Currency,
    pub(crate) numbers: NumberStyle,
    pub(crate) files: BTreeMap<String, FileFormat>,
    pub(crate) stores: Vec<StoreMap>,
    pub(crate) menu: MenuMap,
    pub(crate) recipes: Option<RecipeMap>,
    pub(crate) orders: OrderMap,
    pub(crate) lines: LineMap,
}

/// Where rows come from: a file, small files joined to it, and rows to leave out.
#[derive(Clone, Debug, Default)]
pub(crate) struct Source {
    /// Name in [`Map::files`]; none when only literal values are used.
    pub(crate) file: Option<String>,
    pub(crate) joins: Vec<Join>,
    pub(crate) skips: Vec<Skip>,
}

impl Source {
    /// This source with the joins and skips of another section of the same rows.
    pub(crate) fn joined_with(&self, other: &Self) -> Self {
        let mut both = self.clone();
        both.joins.extend(other.joins.iter().cloned());
        both.skips.extend(other.skips.iter().cloned());
        both
    }
}

/// A row of a small file, found by a value of the row at hand.
#[derive(Clone, Debug)]
pub(crate) struct Join {
    pub(crate) file: String,
    pub(crate) on: Template,
    pub(crate) to: Template,
}

/// Rows to leave out without a word.
#[derive(Clone, Debug)]
pub(crate) struct Skip {
    pub(crate) value: Template,
    pub(crate) is: Vec<String>,
}

#[derive(Debug)]
pub(crate) struct StoreMap {
    pub(crate) source: Source,
    pub(crate) key: Template,
    pub(crate) name: Template,
    pub(crate) time_zone: Template,
    pub(crate) business_day_cutoff: Template,
}

/// What a menu key that comes again means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeats {
    /// It must say the same.
    Same,
    /// The first row counts.
    First,
    /// The last row counts.
    Last,
}

#[derive(Debug)]
pub(crate) struct MenuMap {
    pub(crate) source: Source,
    pub(crate) key: Template,
    pub(crate) sku: Template,
    pub(crate) name: Template,
    pub(crate) product_key: Template,
    pub(crate) product_name: Template,
    pub(crate) category: Template,
    pub(crate) price: Template,
    pub(crate) repeats: Repeats,
}

/// What a quantity of stock is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Unit {
    /// Grams.
    Gram,
    /// Millilitres.
    Millilitre,
    /// Pieces.
    Piece,
}

impl Unit {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Gram => "g",
            Self::Millilitre => "ml",
            Self::Piece => "piece",
        }
    }
}

#[derive(Debug)]
pub(crate) struct RecipeMap {
    pub(crate) ingredients: Template,
    pub(crate) separator: String,
    pub(crate) size: Template,
    /// Percent of an ingredient's quantity by size; empty: always the whole.
    pub(crate) sizes: BTreeMap<String, i64>,
    pub(crate) base: Vec<BaseIngredient>,
    pub(crate) default: Option<Portion>,
    /// By name.
    pub(crate) known: BTreeMap<String, Ingredient>,
}

/// An ingredient that every item has although its list does not say so.
#[derive(Debug)]
pub(crate) struct BaseIngredient {
    pub(crate) ingredient: String,
    /// Ingredients of the list that take its place.
    pub(crate) unless: Vec<String>,
}

#[derive(Clone, Debug)]
pub(crate) struct Ingredient {
    pub(crate) portion: Portion,
    pub(crate) aliases: Vec<String>,
}

/// How much of an ingredient one item takes.
#[derive(Clone, Debug)]
pub(crate) struct Portion {
    pub(crate) unit: Unit,
    pub(crate) quantity: Quantity,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Quantity {
    /// Of the 100 percent size.
    Scaled(i64),
    /// By size.
    BySize(BTreeMap<String, i64>),
}

#[derive(Debug)]
pub(crate) struct OrderMap {
    pub(crate) source: Source,
    pub(crate) key: Template,
    /// None: the only store.
    pub(crate) store: Option<Template>,
    pub(crate) channel: Template,
    pub(crate) placed_at: MomentMap,
}

#[derive(Debug)]
pub(crate) struct MomentMap {
    pub(crate) value: Template,
    pub(crate) formats: Vec<String>,
    /// Zone of values without one; none: the store's own, so nothing is converted.
    pub(crate) time_zone: Option<String>,
}

#[derive(Debug)]
pub(crate) struct LineMap {
    /// Without a file of its own each row of the orders' file is a line.
    pub(crate) source: Source,
    /// The order's key; as in the orders when there is no file of its own.
    pub(crate) order: Template,
    pub(crate) item: Template,
    pub(crate) quantity: Template,
    pub(crate) price: LinePrice,
}

#[derive(Debug)]
pub(crate) enum LinePrice {
    /// The menu's.
    OfMenu,
    /// Of one piece.
    Unit(Template),
    /// Of all pieces together.
    Total(Template),
}

/// What is wrong with a map, all at once.
#[derive(Debug)]
pub(crate) struct MapFaults {
    pub(crate) file: String,
    pub(crate) faults: Vec<Fault>,
}

impl fmt::Display for MapFaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.faults.len();
        let plural = if count == 1 { "" } else { "s" };
        write!(f, "{} has {count} fault{plural}:", self.file)?;
        for fault in &self.faults {
            write!(f, "\n  {}, {fault}", self.file)?;
        }
        Ok(())
    }
}

impl std::error::Error for MapFaults {}

impl Map {
    /// Reads the text of a map; `file` is its name for messages.
    ///
    /// # Errors
    /// Every fault with its line.
    pub(crate) fn parse(text: &str, file: &Path) -> Result<Self, MapFaults> {
        read::map(text).map_err(|faults| MapFaults {
            file: file.display().to_string(),
            faults,
        })
    }

    /// Whether order and lines stand in the same rows.
    pub(crate) fn is_joined(&self) -> bool {
        self.lines.source.file.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn imports() -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../imports")
    }

    #[test]
    fn the_documented_example_is_a_map() {
        let text = std::fs::read_to_string(imports().join("README.md")).unwrap();
        let example = text
            .split("```")
            .find_map(|part| part.strip_prefix("toml\n"));
        let map = Map::parse(example.unwrap(), Path::new("README.md")).unwrap();
        assert_eq!(map.source, "corner-cafe");
        assert_eq!(map.numbers.decimal, ',');
        assert_eq!(map.files["sales"].delimiter, b';');
        assert_eq!(map.menu.repeats, Repeats::Last);
        assert!(map.recipes.is_some() && !map.is_joined());
    }

    #[test]
    fn every_map_that_comes_along_can_be_read() {
        for entry in std::fs::read_dir(imports()).unwrap() {
            let path = entry.unwrap().path();
            if path
                .extension()
                .is_some_and(|extension| extension == "toml")
            {
                let text = std::fs::read_to_string(&path).unwrap();
                Map::parse(&text, &path).unwrap();
            }
        }
    }

    /// The faults of the documented example after a change.
    fn faults(from: &str, to: &str) -> String {
        let text = std::fs::read_to_string(imports().join("README.md")).unwrap();
        let example = text
            .split("```")
            .find_map(|part| part.strip_prefix("toml\n"))
            .unwrap();
        assert!(example.contains(from), "{from}");
        let changed = example.replacen(from, to, 1);
        match Map::parse(&changed, Path::new("m")) {
            Ok(_) => String::new(),
            Err(faults) => faults.to_string(),
        }
    }

    #[test]
    fn faults_of_meaning_are_told() {
        for (from, to, expected) in [
            (
                "\"corner-cafe\"",
                "\"Corner Café\"",
                "source: at most 64 small letters",
            ),
            (
                "group = \".\"",
                "group = \",\"",
                "numbers.group: is the decimal sign too",
            ),
            (
                "delimiter = \";\"",
                "delimiter = \"ab\"",
                "expected one character",
            ),
            ("windows-1252", "klingon", "no encoding `klingon`"),
            ("windows-1252", "utf-16", "must be converted to UTF-8"),
            (
                "[tables.payment]",
                "[tables.upper]",
                "tables: `upper` is taken",
            ),
            ("\"{receipt}\"", "\"{receipt|x}\"", "no table or filter `x`"),
            (
                "unit_price =",
                "line_total = \"{t}\"\nunit_price =",
                "either this or `unit_price`",
            ),
            (
                "file = \"groups\"",
                "file = \"group\"",
                "no file `group` in [files]",
            ),
            (
                "file = \"groups\"",
                "file = \"articles\"",
                "file `groups` is not used",
            ),
            (
                "repeats = \"last\"",
                "repeats = \"all\"",
                "expected `same`, `first` or `last`",
            ),
            (
                "unit = \"piece\"",
                "unit = \"kg\"",
                "expected `g`, `ml` or `piece`",
            ),
            (
                "quantity = 110",
                "quantity = 0",
                "expected a whole number from 1",
            ),
            (
                "time_zone = \"UTC\"",
                "time_zone = \"Mars\"",
                "no time zone `Mars`",
            ),
            ("[menu]", "[menue]", "menu: missing"),
            ("[menu]", "[menue]", "unknown key; did you mean `menu`?"),
        ] {
            let found = faults(from, to);
            assert!(found.contains(expected), "{to}: {expected}\n{found}");
        }
        assert_eq!(faults("[menu]", "[menu]"), "");
    }
}
