//! What there is beside orders: stores, menu items, stock products and recipes, read from the
//! export. It is small and held in memory while the orders stream past.

mod recipes;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::sync::Arc;

use common::ids::{ItemId, StoreId};
use common::money::Money;
use csv::StringRecord;
use jiff::tz::TimeZone;

use super::amount::parse_money;
use super::folder::BoundSource;
use super::ids::Ids;
use super::map::Repeats;
use super::plan::{BoundStore, Plan};
use super::report::{Reject, Rejection};
use super::rows::{Row, Rows};
use super::template::Bound;

pub(crate) use recipes::{Product, Recipe};

/// Most entries of the menu: it is held in memory.
const MAX_ITEMS: usize = 50_000;

/// A store.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    pub(crate) id: StoreId,
    pub(crate) name: String,
    pub(crate) time_zone: String,
    pub(crate) business_day_cutoff: String,
    pub(crate) zone: TimeZone,
}

/// A sellable variant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) id: ItemId,
    pub(crate) sku: String,
    pub(crate) name: String,
    pub(crate) product_key: String,
    pub(crate) product_name: String,
    pub(crate) category: String,
    pub(crate) price: Money,
    /// Where it stands.
    pub(crate) line: u64,
    /// Its ingredient list and size, when there are recipes.
    pub(crate) made_of: Option<(String, String)>,
}

/// All of it.
#[derive(Debug, Default)]
pub(crate) struct Catalogue {
    /// By the export's key.
    pub(crate) stores: BTreeMap<String, Store>,
    /// By the export's key.
    pub(crate) items: HashMap<String, Item>,
    pub(crate) products: Vec<Product>,
    pub(crate) recipes: Vec<Recipe>,
}

impl Catalogue {
    /// Reads it.
    ///
    /// # Errors
    /// When a file cannot be read, or the menu is too large.
    pub(crate) fn read(plan: &Plan, reject: Reject<'_>) -> anyhow::Result<Self> {
        let ids = Ids::of(&plan.map.source);
        let mut catalogue = Self::default();
        for store in &plan.stores {
            catalogue.read_stores(plan, store, ids, reject)?;
        }
        catalogue.read_menu(plan, ids, reject)?;
        if let Some(map) = &plan.map.recipes {
            let label = &plan.menu.source.label;
            let items = catalogue.items.values();
            (catalogue.products, catalogue.recipes) =
                recipes::resolve(map, &plan.map.source, items, label, reject);
        }
        Ok(catalogue)
    }

    /// Items with their keys, in the order of the keys, for a steady sequence of calls.
    pub(crate) fn sorted_items(&self) -> Vec<(&str, &Item)> {
        let items = self.items.iter();
        let mut items: Vec<(&str, &Item)> = items.map(|(key, item)| (key.as_str(), item)).collect();
        items.sort_by_key(|(key, _)| *key);
        items
    }

    fn read_stores(
        &mut self,
        plan: &Plan,
        bound: &BoundStore,
        ids: Ids,
        reject: Reject<'_>,
    ) -> anyhow::Result<()> {
        let mut add = |rows: &[&StringRecord]| {
            let (key, store) = read_store(bound, rows, ids)?;
            match self.stores.insert(key.clone(), store) {
                Some(_) => Err(("duplicate_key", format!("store `{key}` comes again"))),
                None => Ok(()),
            }
        };
        let Some(file) = &bound.source.file else {
            return add(&[]).map_err(|(_, what)| anyhow::anyhow!("[[stores]]: {what}"));
        };
        let mut rows = plan.folder.rows(file)?;
        each_row(&mut rows, &bound.source, reject, |_, rows| add(rows))
    }

    fn read_menu(&mut self, plan: &Plan, ids: Ids, reject: Reject<'_>) -> anyhow::Result<()> {
        let source = &plan.menu.source;
        let mut rows = plan
            .folder
            .rows(source.file.as_deref().unwrap_or_default())?;
        // A menu made of the orders' own rows says nothing of its faults: the orders will.
        let is_derived = source.file == plan.lines.source.file;
        let items = &mut self.items;
        let repeats = plan.map.menu.repeats;
        let mut heed = |rejection: Rejection| {
            if !is_derived {
                reject(rejection);
            }
        };
        each_row(&mut rows, source, &mut heed, |row, rows| {
            let (key, item) = read_item(plan, row.line, rows, ids)?;
            match items.get_mut(&key) {
                None => drop(items.insert(key, item)),
                Some(known) if repeats == Repeats::Last => *known = item,
                Some(_) if repeats == Repeats::First => {}
                Some(known) if known.says_the_same(&item) => {}
                Some(known) => {
                    let line = known.line;
                    let reason = format!("item `{key}` says something else on line {line}");
                    return Err(("duplicate_key", reason));
                }
            }
            Ok(())
        })?;
        anyhow::ensure!(
            items.len() <= MAX_ITEMS,
            "the menu has more than {MAX_ITEMS} items"
        );
        Ok(())
    }
}

impl Item {
    fn says_the_same(&self, other: &Self) -> bool {
        let line = self.line;
        *self
            == Self {
                line,
                ..other.clone()
            }
    }
}

/// A code and a reason.
type Fault = (&'static str, String);

/// Reads a small file row by row; a row that cannot be used is reported.
fn each_row(
    rows: &mut Rows<File>,
    source: &BoundSource,
    reject: Reject<'_>,
    mut take: impl FnMut(&Row, &[&StringRecord]) -> Result<(), Fault>,
) -> anyhow::Result<()> {
    while let Some(row) = rows.next()? {
        let taken = match &row.fault {
            Some(fault) => Err(("unreadable_row", fault.to_string())),
            None if source.is_skipped(&row.fields) => Ok(()),
            None => match source.join(&row.fields) {
                Ok(joined) => take(&row, &joined),
                Err(what) => Err(("unknown_reference", what)),
            },
        };
        if let Err((code, reason)) = taken {
            reject(Rejection {
                file: Arc::clone(&source.label),
                line: row.line,
                order: String::new(),
                code: code.to_owned(),
                reason,
            });
        }
    }
    Ok(())
}

fn text_of(bound: &Bound, rows: &[&StringRecord]) -> Result<String, Fault> {
    let value = bound.value(rows);
    value
        .map(|value| value.into_owned())
        .map_err(|error| ("invalid_value", error.to_string()))
}

fn needed(bound: &Bound, rows: &[&StringRecord], what: &str) -> Result<String, Fault> {
    let text = text_of(bound, rows)?;
    if text.is_empty() {
        return Err(("invalid_value", format!("no {what}")));
    }
    Ok(text)
}

fn read_store(
    bound: &BoundStore,
    rows: &[&StringRecord],
    ids: Ids,
) -> Result<(String, Store), Fault> {
    let key = needed(&bound.key, rows, "key")?;
    let time_zone = needed(&bound.time_zone, rows, "time zone")?;
    let zone = TimeZone::get(&time_zone)
        .map_err(|_unknown| ("invalid_value", format!("no time zone `{time_zone}`")))?;
    let cutoff = needed(&bound.business_day_cutoff, rows, "business-day cut-off")?;
    let well_formed = cutoff.len() == 5 && jiff::civil::Time::strptime("%H:%M", &cutoff).is_ok();
    if !well_formed {
        return Err((
            "invalid_value",
            format!("`{cutoff}` is no time of the form `04:00`"),
        ));
    }
    let store = Store {
        id: ids.store(&key),
        name: needed(&bound.name, rows, "name")?,
        time_zone,
        business_day_cutoff: cutoff,
        zone,
    };
    Ok((key, store))
}

fn read_item(
    plan: &Plan,
    line: u64,
    rows: &[&StringRecord],
    ids: Ids,
) -> Result<(String, Item), Fault> {
    let (menu, map) = (&plan.menu, &plan.map);
    let key = needed(&menu.key, rows, "key")?;
    let price = text_of(&menu.price, rows)?;
    let amount = parse_money(&price, &map.numbers, map.currency.exponent())
        .map_err(|what| ("invalid_price", what))?;
    let made_of = match &menu.recipe {
        Some((ingredients, size)) => Some((text_of(ingredients, rows)?, text_of(size, rows)?)),
        None => None,
    };
    let item = Item {
        id: ids.item(&key),
        sku: needed(&menu.sku, rows, "SKU")?,
        name: needed(&menu.name, rows, "name")?,
        product_key: needed(&menu.product_key, rows, "product key")?,
        product_name: needed(&menu.product_name, rows, "product name")?,
        category: needed(&menu.category, rows, "category")?,
        price: Money::new(amount, map.currency),
        line,
        made_of,
    };
    Ok((key, item))
}

/// Names that differ only in case and spaces are one.
fn folded(name: &str) -> String {
    let words: Vec<&str> = name.split_whitespace().collect();
    words.join(" ").to_lowercase()
}

/// Names in order, each once.
fn distinct(names: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let names = names.into_iter();
    names.filter(|name| seen.insert(name.clone())).collect()
}
