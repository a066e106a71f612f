//! The map laid over the files: every template with its columns found, every small file loaded.

use std::path::Path;

use super::folder::{Binder, BoundSource, Folder};
use super::map::{Fault, LinePrice, Map};
use super::report::Reject;
use super::template::Bound;

/// What the import will do, ready to read.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) map: Map,
    pub(crate) folder: Folder,
    pub(crate) stores: Vec<BoundStore>,
    pub(crate) menu: BoundMenu,
    pub(crate) orders: BoundOrders,
    pub(crate) lines: BoundLines,
}

#[derive(Debug)]
pub(crate) struct BoundStore {
    pub(crate) source: BoundSource,
    pub(crate) key: Bound,
    pub(crate) name: Bound,
    pub(crate) time_zone: Bound,
    pub(crate) business_day_cutoff: Bound,
}

#[derive(Debug)]
pub(crate) struct BoundMenu {
    pub(crate) source: BoundSource,
    pub(crate) key: Bound,
    pub(crate) sku: Bound,
    pub(crate) name: Bound,
    pub(crate) product_key: Bound,
    pub(crate) product_name: Bound,
    pub(crate) category: Bound,
    pub(crate) price: Bound,
    /// Ingredient list and size, when there are recipes.
    pub(crate) recipe: Option<(Bound, Bound)>,
}

#[derive(Debug)]
pub(crate) struct BoundOrders {
    pub(crate) source: BoundSource,
    pub(crate) key: Bound,
    pub(crate) store: Option<Bound>,
    pub(crate) channel: Bound,
    pub(crate) placed_at: Bound,
}

#[derive(Debug)]
pub(crate) struct BoundLines {
    pub(crate) source: BoundSource,
    pub(crate) order: Bound,
    pub(crate) item: Bound,
    pub(crate) quantity: Bound,
    pub(crate) price: BoundPrice,
}

#[derive(Debug)]
pub(crate) enum BoundPrice {
    OfMenu,
    Unit(Bound),
    Total(Bound),
}

impl Plan {
    /// Opens the files and finds the columns.
    ///
    /// # Errors
    /// Every fault: files that are missing, columns that no file has.
    pub(crate) fn bind(map: Map, folder: &Path) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        let folder = Folder::open(folder, &map.files, &mut faults);
        let stores = bind_stores(&map, &folder, &mut faults);
        let menu = bind_menu(&map, &folder, &mut faults);
        let orders = bind_orders(&map, &folder, &mut faults);
        let lines = bind_lines(&map, &folder, &mut faults);
        faults.sort_by_key(|fault| fault.line);
        faults.dedup();
        if !faults.is_empty() {
            return Err(faults);
        }
        Ok(Self {
            map,
            folder,
            stores,
            menu,
            orders,
            lines,
        })
    }

    /// Loads the joined files.
    ///
    /// # Errors
    /// When one cannot be read or is too large.
    pub(crate) fn load(&mut self, reject: Reject<'_>) -> anyhow::Result<()> {
        let folder = &self.folder;
        for store in &mut self.stores {
            store.source.load(folder, reject)?;
        }
        self.menu.source.load(folder, reject)?;
        self.orders.source.load(folder, reject)?;
        self.lines.source.load(folder, reject)
    }
}

fn bind_stores(map: &Map, folder: &Folder, faults: &mut Vec<Fault>) -> Vec<BoundStore> {
    let mut stores = Vec::new();
    for store in &map.stores {
        let mut binder = Binder::new(folder, &store.source, faults);
        stores.push(BoundStore {
            source: binder.source(folder, &store.source),
            key: binder.bind(&store.key),
            name: binder.bind(&store.name),
            time_zone: binder.bind(&store.time_zone),
            business_day_cutoff: binder.bind(&store.business_day_cutoff),
        });
    }
    stores
}

fn bind_menu(map: &Map, folder: &Folder, faults: &mut Vec<Fault>) -> BoundMenu {
    let menu = &map.menu;
    let mut binder = Binder::new(folder, &menu.source, faults);
    BoundMenu {
        source: binder.source(folder, &menu.source),
        key: binder.bind(&menu.key),
        sku: binder.bind(&menu.sku),
        name: binder.bind(&menu.name),
        product_key: binder.bind(&menu.product_key),
        product_name: binder.bind(&menu.product_name),
        category: binder.bind(&menu.category),
        price: binder.bind(&menu.price),
        recipe: map.recipes.as_ref().map(|recipes| {
            let ingredients = binder.bind(&recipes.ingredients);
            (ingredients, binder.bind(&recipes.size))
        }),
    }
}

fn bind_orders(map: &Map, folder: &Folder, faults: &mut Vec<Fault>) -> BoundOrders {
    let orders = &map.orders;
    let mut binder = Binder::new(folder, &orders.source, faults);
    BoundOrders {
        source: binder.source(folder, &orders.source),
        key: binder.bind_own(&orders.key),
        store: orders.store.as_ref().map(|store| binder.bind(store)),
        channel: binder.bind(&orders.channel),
        placed_at: binder.bind(&orders.placed_at.value),
    }
}

/// Lines without a file of their own are read from the orders' file, with the orders' joins and
/// skips besides their own.
fn bind_lines(map: &Map, folder: &Folder, faults: &mut Vec<Fault>) -> BoundLines {
    let lines = &map.lines;
    let joined;
    let source = if map.is_joined() {
        joined = map.orders.source.joined_with(&lines.source);
        &joined
    } else {
        &lines.source
    };
    let mut binder = Binder::new(folder, source, faults);
    BoundLines {
        source: binder.source(folder, source),
        order: binder.bind_own(&lines.order),
        item: binder.bind(&lines.item),
        quantity: binder.bind(&lines.quantity),
        price: match &lines.price {
            LinePrice::OfMenu => BoundPrice::OfMenu,
            LinePrice::Unit(price) => BoundPrice::Unit(binder.bind(price)),
            LinePrice::Total(total) => BoundPrice::Total(binder.bind(total)),
        },
    }
}
