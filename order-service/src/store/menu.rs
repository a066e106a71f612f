//! Sellable variants.

use std::collections::HashMap;

use ::store::{StoreError, Tx};
use common::ids::ItemId;
use common::money::{Currency, Money};
use common::time::Timestamp;

use crate::domain::menu::{ItemNames, MenuItem};

#[derive(sqlx::FromRow)]
struct ItemRow {
    id: ItemId,
    sku: String,
    name: String,
    product_key: String,
    product_name: String,
    category: String,
    price_amount: i64,
    price_currency: Currency,
    active: bool,
}

impl From<ItemRow> for MenuItem {
    fn from(row: ItemRow) -> Self {
        Self {
            names: ItemNames {
                item_id: row.id,
                sku: row.sku,
                name: row.name,
                product_key: row.product_key,
                product_name: row.product_name,
                category: row.category,
            },
            price: Money::new(row.price_amount, row.price_currency),
            active: row.active,
        }
    }
}

/// Creates an item or replaces it.
pub(crate) async fn upsert_item(
    tx: &mut Tx,
    item: &MenuItem,
    now: Timestamp,
) -> Result<(), StoreError> {
    let names = &item.names;
    ::store::execute!(
        tx,
        "INSERT INTO menu_items (id, sku, name, product_key, product_name, category,
                                 price_amount, price_currency, active, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
         ON CONFLICT (id) DO UPDATE SET
             sku = excluded.sku, name = excluded.name, product_key = excluded.product_key,
             product_name = excluded.product_name, category = excluded.category,
             price_amount = excluded.price_amount, price_currency = excluded.price_currency,
             active = excluded.active, updated_at = excluded.updated_at",
        names.item_id,
        &names.sku,
        &names.name,
        &names.product_key,
        &names.product_name,
        &names.category,
        item.price.amount,
        item.price.currency,
        item.active,
        now
    )?;
    Ok(())
}

pub(crate) async fn find_item(tx: &mut Tx, id: ItemId) -> Result<Option<MenuItem>, StoreError> {
    let row = ::store::fetch_optional!(
        tx,
        ItemRow,
        "SELECT id, sku, name, product_key, product_name, category, price_amount, price_currency,
                active
         FROM menu_items WHERE id = $1",
        id
    )?;
    Ok(row.map(MenuItem::from))
}

/// The items of this list that exist.
pub(crate) async fn find_items(
    tx: &mut Tx,
    ids: impl IntoIterator<Item = ItemId>,
) -> Result<HashMap<ItemId, MenuItem>, StoreError> {
    let mut ids: Vec<ItemId> = ids.into_iter().collect();
    ids.sort_unstable();
    ids.dedup();
    let rows = ::store::fetch_in!(
        tx,
        ItemRow,
        "SELECT id, sku, name, product_key, product_name, category, price_amount, price_currency,
                active
         FROM menu_items WHERE id IN",
        ids
    )?;
    let items = rows.into_iter().map(|row| (row.id, MenuItem::from(row)));
    Ok(items.collect())
}

/// Which items to list.
#[derive(Clone, Debug, Default)]
pub(crate) struct ItemFilter {
    pub(crate) category: Option<String>,
    pub(crate) active: Option<bool>,
    /// Only items whose SKU sorts after this.
    pub(crate) after_sku: String,
}

/// Items by SKU.
pub(crate) async fn list_items(
    tx: &mut Tx,
    filter: &ItemFilter,
    limit: i64,
) -> Result<Vec<MenuItem>, StoreError> {
    let rows = ::store::fetch_all!(
        tx,
        ItemRow,
        "SELECT id, sku, name, product_key, product_name, category, price_amount, price_currency,
                active
         FROM menu_items
         WHERE sku > $1 AND ($2 IS NULL OR category = $2) AND ($3 IS NULL OR active = $3)
         ORDER BY sku LIMIT $4",
        &filter.after_sku,
        filter.category.as_deref(),
        filter.active,
        limit
    )?;
    Ok(rows.into_iter().map(MenuItem::from).collect())
}
