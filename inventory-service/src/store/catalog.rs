//! Products and recipes.

use std::collections::{BTreeMap, BTreeSet};

use ::store::{StoreError, Tx};
use common::ids::{ItemId, ProductId};
use common::time::Timestamp;

use crate::domain::recipe::RecipeLine;

/// A product as it is stored.
#[derive(Debug, sqlx::FromRow)]
pub(crate) struct ProductRow {
    pub(crate) id: ProductId,
    pub(crate) sku: String,
    pub(crate) name: String,
    pub(crate) unit: String,
    pub(crate) updated_at: Timestamp,
}

/// Inserts or replaces a product.
pub(crate) async fn upsert_product(tx: &mut Tx, product: &ProductRow) -> Result<(), StoreError> {
    ::store::execute!(
        tx,
        "INSERT INTO products (id, sku, name, unit, updated_at) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (id) DO UPDATE SET sku = $2, name = $3, unit = $4, updated_at = $5",
        product.id,
        &product.sku,
        &product.name,
        &product.unit,
        product.updated_at
    )?;
    Ok(())
}

/// The product, if it exists.
pub(crate) async fn find_product(
    tx: &mut Tx,
    id: ProductId,
) -> Result<Option<ProductRow>, StoreError> {
    ::store::fetch_optional!(
        tx,
        ProductRow,
        "SELECT id, sku, name, unit, updated_at FROM products WHERE id = $1",
        id
    )
}

/// Products by SKU, after `after`.
pub(crate) async fn list_products(
    tx: &mut Tx,
    after: Option<String>,
    limit: i64,
) -> Result<Vec<ProductRow>, StoreError> {
    ::store::fetch_all!(
        tx,
        ProductRow,
        "SELECT id, sku, name, unit, updated_at FROM products
         WHERE $1 IS NULL OR sku > $1 ORDER BY sku LIMIT $2",
        after,
        limit
    )
}

#[derive(sqlx::FromRow)]
struct RecipeLineRow {
    item_id: ItemId,
    product_id: ProductId,
    quantity: i64,
}

impl From<RecipeLineRow> for RecipeLine {
    fn from(row: RecipeLineRow) -> Self {
        Self {
            item_id: row.item_id,
            product_id: row.product_id,
            quantity: row.quantity,
        }
    }
}

/// The recipe of one item; empty when it has none.
pub(crate) async fn list_recipe(tx: &mut Tx, item: ItemId) -> Result<Vec<RecipeLine>, StoreError> {
    let rows = ::store::fetch_all!(
        tx,
        RecipeLineRow,
        "SELECT item_id, product_id, quantity FROM recipe_lines
         WHERE item_id = $1 ORDER BY product_id",
        item
    )?;
    Ok(rows.into_iter().map(RecipeLine::from).collect())
}

/// The recipes of many items, in no order.
pub(crate) async fn list_recipes(
    tx: &mut Tx,
    items: &BTreeSet<ItemId>,
) -> Result<Vec<RecipeLine>, StoreError> {
    let items: Vec<ItemId> = items.iter().copied().collect();
    let rows = ::store::fetch_in!(
        tx,
        RecipeLineRow,
        "SELECT item_id, product_id, quantity FROM recipe_lines WHERE item_id IN",
        items
    )?;
    Ok(rows.into_iter().map(RecipeLine::from).collect())
}

/// Replaces the recipe of one item.
pub(crate) async fn replace_recipe(
    tx: &mut Tx,
    item: ItemId,
    lines: &[RecipeLine],
) -> Result<(), StoreError> {
    ::store::execute!(tx, "DELETE FROM recipe_lines WHERE item_id = $1", item)?;
    ::store::insert_many!(
        tx,
        "INSERT INTO recipe_lines (item_id, product_id, quantity)",
        lines,
        |line| [line.item_id, line.product_id, line.quantity]
    )?;
    Ok(())
}

/// SKUs of products, for a message about what is short.
pub(crate) async fn list_skus(
    tx: &mut Tx,
    products: &BTreeSet<ProductId>,
) -> Result<BTreeMap<ProductId, String>, StoreError> {
    let products: Vec<ProductId> = products.iter().copied().collect();
    let rows = ::store::fetch_in!(
        tx,
        (ProductId, String),
        "SELECT id, sku FROM products WHERE id IN",
        products
    )?;
    Ok(rows.into_iter().collect())
}
