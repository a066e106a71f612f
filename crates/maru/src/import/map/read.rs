//! From the TOML text to the [`Map`].

mod files;
mod recipes;

use std::collections::BTreeMap;
use std::sync::Arc;

use common::money::Currency;

use super::section::{Document, Fault, Section};
use super::{
    Join, LineMap, LinePrice, Map, MenuMap, MomentMap, OrderMap, Repeats, Skip, Source, StoreMap,
};
use crate::import::rows::FileFormat;
use crate::import::template::{Entries, Filter, Filters, Template};

/// Formats of `strptime` that give a time of day.
const HOUR_DIRECTIVES: [&str; 9] = ["%H", "%I", "%k", "%l", "%T", "%R", "%r", "%s", "%c"];

pub(super) fn map(text: &str) -> Result<Map, Vec<Fault>> {
    let document = Document::new(text);
    let parsed = document.parse();
    let reader = Reader {
        root: Section::root(&document, &parsed),
        filters: Filters::new(),
    };
    let map = reader.read();
    let faults = document.into_faults();
    map.filter(|_| faults.is_empty()).ok_or(faults)
}

struct Reader<'d> {
    root: Section<'d>,
    filters: Filters,
}

impl<'d> Reader<'d> {
    fn read(mut self) -> Option<Map> {
        self.read_filters("tables", Filter::Table);
        self.read_filters("replacements", Filter::Replace);
        let source = self.source_name();
        let currency = self.currency();
        let numbers = files::numbers(&mut self.root);
        let files = files::files(&mut self.root);
        let stores = self.stores();
        let menu = self.menu();
        let recipes = self.recipes();
        let orders = self.orders(&stores);
        let lines = self.lines(orders.as_ref());
        let mut sources: Vec<(&str, &Source)> = stores
            .iter()
            .map(|store| ("stores", &store.source))
            .collect();
        sources.extend(menu.iter().map(|menu| ("menu", &menu.source)));
        sources.extend(orders.iter().map(|orders| ("orders", &orders.source)));
        sources.extend(lines.iter().map(|lines| ("lines", &lines.source)));
        self.check_files(&files, &sources);
        self.root.finish();
        Some(Map {
            source,
            currency,
            numbers,
            files,
            stores,
            menu: menu?,
            recipes,
            orders: orders?,
            lines: lines?,
        })
    }

    fn read_filters(&mut self, key: &'static str, kind: fn(Arc<Entries>) -> Filter) {
        for (name, section) in self.root.named_sections(key) {
            let origin = section.origin("");
            let entries = Arc::new(Entries {
                name: name.clone(),
                entries: section.into_texts().into_iter().collect(),
            });
            if !self.filters.add(&name, kind(entries)) {
                self.root
                    .fault(key, format!("`{name}` is taken (line {})", origin.line));
            }
        }
    }

    fn source_name(&mut self) -> String {
        let name = self.root.need_text("source");
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
        if !name.chars().all(plain) || name.len() > 64 {
            let what = "at most 64 small letters, digits, `-` and `_`";
            self.root.fault("source", what);
        }
        name.to_owned()
    }

    fn currency(&mut self) -> Currency {
        let text = self.root.need_text("currency");
        text.parse().unwrap_or_else(|error| {
            if !text.is_empty() {
                self.root.fault("currency", format!("{error}"));
            }
            Currency::NONE
        })
    }

    fn template(&self, section: &mut Section<'_>, key: &'static str) -> Option<Template> {
        let text = section.text(key)?;
        match Template::parse(text, &self.filters, section.origin(key)) {
            Ok(template) => Some(template),
            Err(what) => {
                section.fault(key, what);
                Some(Template::default())
            }
        }
    }

    fn need_template(&self, section: &mut Section<'_>, key: &'static str) -> Template {
        self.template(section, key).unwrap_or_else(|| {
            if !section.has(key) {
                section.missing(key);
            }
            Template::default()
        })
    }

    fn source(&self, section: &mut Section<'_>) -> Source {
        let file = section.text("file").map(str::to_owned);
        let mut joins = Vec::new();
        for mut join in section.sections("joins") {
            let file = join.need_text("file").to_owned();
            let on = self.need_template(&mut join, "on");
            let to = self.template(&mut join, "to").unwrap_or_else(|| on.clone());
            join.finish();
            joins.push(Join { file, on, to });
        }
        let mut skips = Vec::new();
        for mut skip in section.sections("skip") {
            let value = self.need_template(&mut skip, "value");
            let is = skip.texts("is");
            if is.is_empty() {
                skip.fault("is", "names no value");
            }
            skip.finish();
            skips.push(Skip { value, is });
        }
        Source { file, joins, skips }
    }

    fn stores(&mut self) -> Vec<StoreMap> {
        let mut stores = Vec::new();
        for mut section in self.root.sections("stores") {
            stores.push(StoreMap {
                source: self.source(&mut section),
                key: self.need_template(&mut section, "key"),
                name: self.need_template(&mut section, "name"),
                time_zone: self.need_template(&mut section, "time_zone"),
                business_day_cutoff: self.need_template(&mut section, "business_day_cutoff"),
            });
            section.finish();
        }
        if stores.is_empty() {
            self.root
                .fault("stores", "at least one `[[stores]]` is needed");
        }
        stores
    }

    fn menu(&mut self) -> Option<MenuMap> {
        let Some(mut section) = self.root.section("menu") else {
            self.need_section("menu");
            return None;
        };
        let key = self.need_template(&mut section, "key");
        let name = self.need_template(&mut section, "name");
        let or = |given: Option<Template>, other: &Template| given.unwrap_or_else(|| other.clone());
        let menu = MenuMap {
            source: self.source(&mut section),
            sku: or(self.template(&mut section, "sku"), &key),
            product_key: or(self.template(&mut section, "product_key"), &key),
            product_name: or(self.template(&mut section, "product_name"), &name),
            category: self.need_template(&mut section, "category"),
            price: self.need_template(&mut section, "price"),
            repeats: repeats(&mut section),
            key,
            name,
        };
        if menu.source.file.is_none() {
            section.missing("file");
        }
        section.finish();
        Some(menu)
    }

    fn orders(&mut self, stores: &[StoreMap]) -> Option<OrderMap> {
        let Some(mut section) = self.root.section("orders") else {
            self.need_section("orders");
            return None;
        };
        let store = self.template(&mut section, "store");
        let single = matches!(stores, [store] if store.source.file.is_none());
        if store.is_none() && !single && !stores.is_empty() {
            section.fault("store", "missing: there may be several stores");
        }
        let orders = OrderMap {
            source: self.source(&mut section),
            key: self.need_template(&mut section, "key"),
            store,
            channel: self.need_template(&mut section, "channel"),
            placed_at: self.moment(&mut section),
        };
        if orders.source.file.is_none() {
            section.missing("file");
        }
        section.finish();
        Some(orders)
    }

    fn moment(&self, orders: &mut Section<'_>) -> MomentMap {
        let Some(mut section) = orders.section("placed_at") else {
            if !orders.has("placed_at") {
                orders.missing("placed_at");
            }
            return MomentMap {
                value: Template::default(),
                formats: Vec::new(),
                time_zone: None,
            };
        };
        let moment = MomentMap {
            value: self.need_template(&mut section, "value"),
            formats: section.texts("formats"),
            time_zone: section.text("time_zone").map(str::to_owned),
        };
        if moment.formats.is_empty() {
            section.fault("formats", "names no format");
        }
        for format in &moment.formats {
            if !HOUR_DIRECTIVES
                .iter()
                .any(|directive| format.contains(directive))
            {
                section.fault("formats", format!("`{format}` gives no time of day"));
            }
        }
        if let Some(zone) = &moment.time_zone
            && jiff::tz::TimeZone::get(zone).is_err()
        {
            section.fault("time_zone", format!("no time zone `{zone}`"));
        }
        section.finish();
        moment
    }

    fn lines(&mut self, orders: Option<&OrderMap>) -> Option<LineMap> {
        let Some(mut section) = self.root.section("lines") else {
            self.need_section("lines");
            return None;
        };
        let source = self.source(&mut section);
        let orders_file = orders.and_then(|orders| orders.source.file.as_ref());
        if source.file.is_some() && source.file.as_ref() == orders_file {
            section.fault("file", "is the orders' file: leave it out");
        }
        let own_order = self.template(&mut section, "order");
        let order = match (source.file.is_some(), own_order) {
            (true, Some(order)) => order,
            (true, None) => {
                section.missing("order");
                Template::default()
            }
            (false, None) => orders.map(|orders| orders.key.clone()).unwrap_or_default(),
            (false, Some(_)) => {
                section.fault("order", "comes from [orders] when both stand in one file");
                Template::default()
            }
        };
        let unit_price = self.template(&mut section, "unit_price");
        let line_total = self.template(&mut section, "line_total");
        let price = match (unit_price, line_total) {
            (None, None) => LinePrice::OfMenu,
            (Some(unit), None) => LinePrice::Unit(unit),
            (None, Some(total)) => LinePrice::Total(total),
            (Some(unit), Some(_)) => {
                section.fault("line_total", "either this or `unit_price`");
                LinePrice::Unit(unit)
            }
        };
        let lines = LineMap {
            source,
            order,
            item: self.need_template(&mut section, "item"),
            quantity: self.need_template(&mut section, "quantity"),
            price,
        };
        section.finish();
        Some(lines)
    }

    fn need_section(&self, key: &str) {
        if !self.root.has(key) {
            self.root.missing(key);
        }
    }

    /// Every file that is used must be declared, and every declared one used.
    fn check_files(&self, files: &BTreeMap<String, FileFormat>, sources: &[(&str, &Source)]) {
        let mut used = Vec::new();
        for (section, source) in sources {
            let joined = source.joins.iter().map(|join| &join.file);
            for file in source.file.iter().chain(joined) {
                if !file.is_empty() && !files.contains_key(file) {
                    self.root
                        .fault(section, format!("no file `{file}` in [files]"));
                }
                used.push(file);
            }
        }
        for name in files.keys().filter(|name| !used.contains(name)) {
            self.root
                .fault("files", format!("file `{name}` is not used"));
        }
    }
}

fn repeats(section: &mut Section<'_>) -> Repeats {
    match section.text("repeats") {
        None | Some("same") => Repeats::Same,
        Some("first") => Repeats::First,
        Some("last") => Repeats::Last,
        Some(_) => {
            section.fault("repeats", "expected `same`, `first` or `last`");
            Repeats::Same
        }
    }
}
