//! What can be sold.

use common::ids::ItemId;
use common::money::Money;

/// A sellable variant, the same in every store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MenuItem {
    pub(crate) names: ItemNames,
    /// Price of one; never negative.
    pub(crate) price: Money,
    /// Whether it can be ordered now.
    pub(crate) active: bool,
}

/// What an item is called. Orders keep the names that they were sold under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ItemNames {
    pub(crate) item_id: ItemId,
    /// The item's code, unique in the menu.
    pub(crate) sku: String,
    pub(crate) name: String,
    /// Groups the variants of one product.
    pub(crate) product_key: String,
    pub(crate) product_name: String,
    pub(crate) category: String,
}
