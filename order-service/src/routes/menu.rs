//! The menu: what can be sold, the same in every store.

use actix_web::{HttpResponse, get, put, web};
use common::auth::{Permit, access, permits};
use common::error::{ApiError, Problem};
use common::extract::{Check, Faults, PathId, Valid, ValidQuery};
use common::ids::ItemId;
use common::money::Money;
use common::page::{Page, check_limit, decode_cursor, limit_or_default};
use serde::{Deserialize, Serialize};

use crate::app::AppState;
use crate::domain::menu::{ItemNames, MenuItem};
use crate::domain::pricing::MAX_PRICE;
use crate::error::UseCaseError;
use crate::store::menu::{self, ItemFilter};

/// An item as a client describes it.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ItemIn {
    /// The item's id once more, if at all.
    id: Option<ItemId>,
    /// The item's code, unique in the menu; 1 to 64 characters.
    sku: String,
    /// 1 to 200 characters.
    name: String,
    /// Groups the variants of one product; 1 to 64 characters.
    product_key: String,
    /// The name of that group; 1 to 200 characters.
    product_name: String,
    /// 1 to 100 characters.
    category: String,
    /// Price of one, from 0 to 10^12 minor units.
    price: Money,
    /// Whether it can be ordered; true when absent.
    #[serde(default = "yes")]
    active: bool,
}

const fn yes() -> bool {
    true
}

impl Check for ItemIn {
    fn check(&self, faults: &mut Faults) {
        faults.require_text(&self.sku, "sku", 64);
        faults.require_text(&self.name, "name", 200);
        faults.require_text(&self.product_key, "product_key", 64);
        faults.require_text(&self.product_name, "product_name", 200);
        faults.require_text(&self.category, "category", 100);
        let range = format!("from 0 to {MAX_PRICE}");
        let in_range = (0..=MAX_PRICE).contains(&self.price.amount);
        faults.require(in_range, "price.amount", "out_of_range", &range);
    }
}

/// An item.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct ItemOut {
    id: ItemId,
    sku: String,
    name: String,
    product_key: String,
    product_name: String,
    category: String,
    price: Money,
    active: bool,
}

impl From<MenuItem> for ItemOut {
    fn from(item: MenuItem) -> Self {
        Self {
            id: item.names.item_id,
            sku: item.names.sku,
            name: item.names.name,
            product_key: item.names.product_key,
            product_name: item.names.product_name,
            category: item.names.category,
            price: item.price,
            active: item.active,
        }
    }
}

/// Creates an item under an id of the client's choice, or replaces it. Repeating it changes
/// nothing. Orders keep the names and prices they were sold under. Needs the permission
/// `MenuWrite`.
#[access(chain)]
#[utoipa::path(
    tag = "menu", params(("id" = ItemId, Path)), request_body = ItemIn,
    responses((status = 200, body = ItemOut), (status = 409, body = Problem), (status = 422, body = Problem))
)]
#[put("/api/menu/items/{id}")]
pub(crate) async fn save(
    _auth: Permit<permits::MenuWrite>,
    state: web::Data<AppState>,
    id: PathId<ItemId>,
    body: Valid<ItemIn>,
) -> Result<HttpResponse, ApiError> {
    let item = item_of(id.0, body.0)?;
    let mut tx = state.db.begin().await?;
    let saved = menu::upsert_item(&mut tx, &item, state.clock.now()).await;
    saved.map_err(|error| match error.is_unique_violation() {
        true => UseCaseError::SkuTaken,
        false => error.into(),
    })?;
    tx.commit().await?;
    Ok(HttpResponse::Ok().json(ItemOut::from(item)))
}

fn item_of(id: ItemId, body: ItemIn) -> Result<MenuItem, ApiError> {
    if body.id.is_some_and(|inside| inside != id) {
        let mut faults = Faults::default();
        faults.add("id", "differs_from_path", "must be the id of the path");
        faults.into_result()?;
    }
    Ok(MenuItem {
        names: ItemNames {
            item_id: id,
            sku: body.sku,
            name: body.name,
            product_key: body.product_key,
            product_name: body.product_name,
            category: body.category,
        },
        price: body.price,
        active: body.active,
    })
}

/// An item. Needs the permission `MenuRead`.
#[access(chain)]
#[utoipa::path(
    tag = "menu", params(("id" = ItemId, Path)),
    responses((status = 200, body = ItemOut), (status = 404, body = Problem))
)]
#[get("/api/menu/items/{id}")]
pub(crate) async fn read(
    _auth: Permit<permits::MenuRead>,
    state: web::Data<AppState>,
    id: PathId<ItemId>,
) -> Result<HttpResponse, ApiError> {
    let mut tx = state.db.read().await?;
    let item = menu::find_item(&mut tx, id.0).await?;
    let item = item.ok_or(UseCaseError::UnknownItem(id.0))?;
    Ok(HttpResponse::Ok().json(ItemOut::from(item)))
}

/// Which items to list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ItemsQuery {
    /// Only items of this category.
    category: Option<String>,
    /// Only items that can, or cannot, be ordered.
    active: Option<bool>,
    /// From 1 to 200; 50 when absent.
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

impl Check for ItemsQuery {
    fn check(&self, faults: &mut Faults) {
        check_limit(self.limit, faults);
        if let Some(category) = &self.category {
            faults.require_text(category, "category", 100);
        }
    }
}

/// Items by SKU. Needs the permission `MenuRead`.
#[access(chain)]
#[utoipa::path(
    tag = "menu", params(ItemsQuery),
    responses((status = 200, body = Page<ItemOut>), (status = 422, body = Problem))
)]
#[get("/api/menu/items")]
pub(crate) async fn list(
    _auth: Permit<permits::MenuRead>,
    state: web::Data<AppState>,
    query: ValidQuery<ItemsQuery>,
) -> Result<HttpResponse, ApiError> {
    let limit = limit_or_default(query.limit);
    let after = decode_cursor::<String>(query.cursor.as_deref())?;
    let filter = ItemFilter {
        category: query.category.clone(),
        active: query.active,
        after_sku: after.unwrap_or_default(),
    };
    let mut tx = state.db.read().await?;
    let rows = menu::list_items(&mut tx, &filter, i64::from(limit) + 1).await?;
    let page = Page::cut(rows, limit, |item| item.names.sku.clone(), ItemOut::from);
    Ok(HttpResponse::Ok().json(page))
}
