//! The map: a TOML file that says what another system's export means. A new export needs a new
//! map, never new code.
//!
//! ```toml
//! source = "corner-cafe"            # name of the export; ids are derived from it
//! currency = "EUR"
//!
//! [numbers]                         # how amounts of money are written
//! decimal = ","                     # default "."
//! group = "."                       # default: none
//! symbols = ["€"]                   # signs to leave out
//!
//! [files.sales]
//! path = "sales.csv"                # within the imported folder
//! delimiter = ";"                   # default ","
//! quote = "\""                      # default "\""
//! encoding = "windows-1252"         # default "utf-8", with or without a byte order mark
//! skip_lines = 1                    # lines above the header, default 0
//! header = false                    # default true; without a header the columns are named here:
//! columns = ["receipt", "date", "time", "article", "count", "total"]
//!
//! [tables.payment]                  # {column|payment} looks a value up; "*" stands for all others
//! V = "void"
//! [replacements.day_half]           # {column|day_half} replaces parts of a value
//! "오후" = "PM"
//!
//! [[stores]]                        # one table per store, or one with a `file` for a store per row
//! key = "main"
//! name = "Corner Café"
//! time_zone = "Europe/Berlin"
//! business_day_cutoff = "04:00"
//!
//! [menu]                            # one item per row of `file`
//! file = "articles"
//! joins = [{ file = "groups", on = "{group_id}", to = "{id}" }]
//! skip = [{ value = "{active}", is = ["0"] }]
//! key = "{id}"                      # what order lines refer to
//! sku = "{id}"                      # default: the key
//! name = "{name}"
//! product_key = "{id}"              # what the size variants of one dish have in common; default: the key
//! product_name = "{name}"           # default: the name
//! category = "{groups.name}"
//! price = "{price}"
//! repeats = "last"                  # a key that comes again: "same" (must be equal, default), "first", "last"
//!
//! [orders]
//! file = "sales"
//! key = "{receipt}"
//! store = "{branch}"                # not needed when there is one store
//! channel = "takeaway"
//! placed_at = { value = "{date} {time}", formats = ["%d.%m.%Y %H:%M", "%d/%m/%y %I:%M %p"] }
//!
//! [lines]                           # without `file`: each row of the orders' file is a line
//! file = "details"
//! order = "{receipt}"
//! item = "{article}"
//! quantity = "{count}"
//! unit_price = "{price}"            # or `line_total`; default: the menu's price
//!
//! [recipes]                         # optional: what an item takes out of the stock
//! ingredients = "{ingredients}"     # of the menu's row
//! separator = ","                   # default ","
//! size = "{size}"                   # picks the quantity
//! sizes = { S = 70, M = 100 }       # percent of an ingredient's quantity
//! base = [{ ingredient = "Dough" }, { ingredient = "Tomato Sauce", unless = ["Pesto"] }]
//! default = { unit = "g", quantity = 40 }   # ingredients not named below; without it they are faults
//!
//! [ingredients]
//! "Mozzarella" = { unit = "g", quantity = 110, aliases = ["Mozarella"] }
//! "Dough" = { unit = "piece", quantity = { S = 1, M = 1 } }
//! ```
//!
//! Formats are those of `strptime`; the first that fits a value counts. One that carries an offset (`%z`) or
//! a zone is turned into the store's local time; `placed_at.time_zone` names the zone of values
//! without one when that is not the store's own.

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

/// A map that has been read and is consistent in itself. Columns are checked against the files later.
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
