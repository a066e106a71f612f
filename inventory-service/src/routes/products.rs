//! Products: the things that are kept in stock.

use ::store::StoreError;
use actix_web::{HttpResponse, get, put, web};
use common::auth::{Permit, access, permits};
use common::error::{ApiError, Problem};
use common::extract::{Check, Faults, PathId, Valid, ValidQuery};
use common::ids::ProductId;
use common::page::{Page, check_limit, decode_cursor, limit_or_default};
use common::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::app::AppState;
use crate::domain::unit::Unit;
use crate::store::catalog::{self, ProductRow};

/// A product as a client describes it.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProductIn {
    /// Stock keeping unit, unique; 1 to 64 characters.
    sku: String,
    /// 1 to 200 characters.
    name: String,
    /// What one unit of quantity is.
    unit: Unit,
}

impl Check for ProductIn {
    fn check(&self, faults: &mut Faults) {
        faults.require_text(&self.sku, "sku", 64);
        faults.require_text(&self.name, "name", 200);
    }
}

/// A product.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct ProductOut {
    id: ProductId,
    sku: String,
    name: String,
    /// `g`, `ml` or `piece`.
    unit: String,
    updated_at: Timestamp,
}

impl From<ProductRow> for ProductOut {
    fn from(row: ProductRow) -> Self {
        Self {
            id: row.id,
            sku: row.sku,
            name: row.name,
            unit: row.unit,
            updated_at: row.updated_at,
        }
    }
}

/// Which page of a list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListQuery {
    /// From 1 to 200; 50 when absent.
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

impl Check for ListQuery {
    fn check(&self, faults: &mut Faults) {
        check_limit(self.limit, faults);
    }
}

/// Creates a product under an id of the client's choice, or replaces it. Repeating it changes
/// nothing. Needs the permission `CatalogWrite`.
#[access(chain)]
#[utoipa::path(
    request_body = ProductIn,
    tag = "products", params(("id" = ProductId, Path)),
    responses((status = 200, body = ProductOut), (status = 409, body = Problem), (status = 422, body = Problem))
)]
#[put("/api/inventory/products/{id}")]
pub(crate) async fn save(
    _auth: Permit<permits::CatalogWrite>,
    state: web::Data<AppState>,
    id: PathId<ProductId>,
    body: Valid<ProductIn>,
) -> Result<HttpResponse, ApiError> {
    let product = ProductRow {
        id: id.0,
        sku: body.0.sku,
        name: body.0.name,
        unit: body.0.unit.as_str().to_owned(),
        updated_at: state.clock.now(),
    };
    let mut tx = state.db.begin().await?;
    catalog::upsert_product(&mut tx, &product)
        .await
        .map_err(sku_taken)?;
    tx.commit().await?;
    Ok(HttpResponse::Ok().json(ProductOut::from(product)))
}

fn sku_taken(error: StoreError) -> ApiError {
    if error.is_unique_violation() {
        return ApiError::conflict("sku_taken", "Another product has this SKU.");
    }
    error.into()
}

/// A product. Needs the permission `InventoryRead`.
#[access(chain)]
#[utoipa::path(
    tag = "products", params(("id" = ProductId, Path)),
    responses((status = 200, body = ProductOut), (status = 404, body = Problem))
)]
#[get("/api/inventory/products/{id}")]
pub(crate) async fn read(
    _auth: Permit<permits::InventoryRead>,
    state: web::Data<AppState>,
    id: PathId<ProductId>,
) -> Result<HttpResponse, ApiError> {
    let mut tx = state.db.read().await?;
    let product = catalog::find_product(&mut tx, id.0).await?;
    let product = product.ok_or_else(|| ApiError::not_found("product"))?;
    Ok(HttpResponse::Ok().json(ProductOut::from(product)))
}

/// Products by SKU. Needs the permission `InventoryRead`.
#[access(chain)]
#[utoipa::path(
    tag = "products", params(ListQuery),
    responses((status = 200, body = Page<ProductOut>), (status = 422, body = Problem))
)]
#[get("/api/inventory/products")]
pub(crate) async fn list(
    _auth: Permit<permits::InventoryRead>,
    state: web::Data<AppState>,
    query: ValidQuery<ListQuery>,
) -> Result<HttpResponse, ApiError> {
    let limit = limit_or_default(query.limit);
    let after = decode_cursor::<String>(query.cursor.as_deref())?;
    let mut tx = state.db.read().await?;
    let rows = catalog::list_products(&mut tx, after, i64::from(limit) + 1).await?;
    let page = Page::cut(rows, limit, |row| row.sku.clone(), ProductOut::from);
    Ok(HttpResponse::Ok().json(page))
}
