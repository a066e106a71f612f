//! What a store has, in which lots, and how it came to be.

use actix_web::{HttpResponse, get, web};
use common::auth::{Permit, access, permits};
use common::error::{ApiError, Problem};
use common::extract::{Check, Faults, PathId, ValidQuery};
use common::ids::{LotId, ProductId, StoreId};
use common::money::Money;
use common::page::{Page, check_limit, decode_cursor, limit_or_default};
use common::time::{CivilDate, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::app::AppState;
use crate::store::ledger::{self, BalanceRow, LotRow, MovementRow};

/// Which balances.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct StockQuery {
    store_id: StoreId,
    /// From 1 to 200; 50 when absent.
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

impl Check for StockQuery {
    fn check(&self, faults: &mut Faults) {
        check_limit(self.limit, faults);
    }
}

/// How much a store has of a product, in base units.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct BalanceOut {
    product_id: ProductId,
    sku: String,
    name: String,
    /// `g`, `ml` or `piece`.
    unit: String,
    /// On the shelves.
    on_hand: i64,
    /// Of it, held by orders under way.
    reserved: i64,
    /// On hand minus reserved.
    available: i64,
}

impl From<BalanceRow> for BalanceOut {
    fn from(row: BalanceRow) -> Self {
        Self {
            product_id: row.product_id,
            sku: row.sku,
            name: row.name,
            unit: row.unit,
            on_hand: row.on_hand,
            reserved: row.reserved,
            available: row.on_hand - row.reserved,
        }
    }
}

/// Balances of a store by SKU. Needs the permission `InventoryRead` in the store.
#[access(query.store_id)]
#[utoipa::path(
    tag = "stock", params(StockQuery),
    responses((status = 200, body = Page<BalanceOut>), (status = 404, body = Problem))
)]
#[get("/api/inventory/stock")]
pub(crate) async fn balances(
    auth: Permit<permits::InventoryRead>,
    state: web::Data<AppState>,
    query: ValidQuery<StockQuery>,
) -> Result<HttpResponse, ApiError> {
    auth.require_store(query.store_id)?;
    let limit = limit_or_default(query.limit);
    let after = decode_cursor::<String>(query.cursor.as_deref())?;
    let mut tx = state.db.read().await?;
    let rows = ledger::list_balances(&mut tx, query.store_id, after, i64::from(limit) + 1).await?;
    let page = Page::cut(rows, limit, |row| row.sku.clone(), BalanceOut::from);
    Ok(HttpResponse::Ok().json(page))
}

/// Whose lots.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct LotsQuery {
    store_id: StoreId,
}

impl Check for LotsQuery {
    fn check(&self, _faults: &mut Faults) {}
}

/// A batch that holds stock.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct LotOut {
    id: LotId,
    product_id: ProductId,
    #[serde(skip_serializing_if = "Option::is_none")]
    lot_code: Option<String>,
    /// The last day on which it may be used; absent when it keeps for ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_on: Option<CivilDate>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unit_cost: Option<Money>,
    received_at: Timestamp,
    /// Base units left.
    remaining: i64,
}

impl From<LotRow> for LotOut {
    fn from(row: LotRow) -> Self {
        Self {
            id: row.id,
            product_id: row.product_id,
            lot_code: row.lot_code,
            expires_on: row.expires_on,
            unit_cost: row
                .unit_cost
                .zip(row.currency)
                .map(|(amount, currency)| Money::new(amount, currency)),
            received_at: row.received_at,
            remaining: row.remaining,
        }
    }
}

/// The lots of a product.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct LotsOut {
    /// Earliest expiry first: the order in which they are used.
    items: Vec<LotOut>,
}

/// The lots of a product that hold stock. Needs the permission `InventoryRead` in the store.
#[access(query.store_id)]
#[utoipa::path(
    tag = "stock", params(("id" = ProductId, Path), LotsQuery),
    responses((status = 200, body = LotsOut), (status = 404, body = Problem))
)]
#[get("/api/inventory/stock/{id}/lots")]
pub(crate) async fn lots(
    auth: Permit<permits::InventoryRead>,
    state: web::Data<AppState>,
    id: PathId<ProductId>,
    query: ValidQuery<LotsQuery>,
) -> Result<HttpResponse, ApiError> {
    auth.require_store(query.store_id)?;
    let mut tx = state.db.read().await?;
    let rows = ledger::list_lots(&mut tx, query.store_id, id.0).await?;
    Ok(HttpResponse::Ok().json(LotsOut {
        items: rows.into_iter().map(LotOut::from).collect(),
    }))
}

/// Which movements.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct MovementsQuery {
    store_id: StoreId,
    /// Of this product only.
    product_id: Option<ProductId>,
    /// From 1 to 200; 50 when absent.
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

impl Check for MovementsQuery {
    fn check(&self, faults: &mut Faults) {
        check_limit(self.limit, faults);
    }
}

/// One entry of the ledger.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct MovementOut {
    id: Uuid,
    store_id: StoreId,
    product_id: ProductId,
    lot_id: LotId,
    /// `receipt`, `consumption`, `restock`, `waste` or `count`.
    kind: String,
    /// Base units; negative when stock went out.
    quantity: i64,
    /// The order, receipt, waste or count it belongs to.
    reference: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// The account, or the command of another service.
    actor: String,
    recorded_at: Timestamp,
}

impl From<MovementRow> for MovementOut {
    fn from(row: MovementRow) -> Self {
        Self {
            id: row.id,
            store_id: row.store_id,
            product_id: row.product_id,
            lot_id: row.lot_id,
            kind: row.kind,
            quantity: row.quantity,
            reference: row.reference,
            reason: row.reason,
            actor: row.actor,
            recorded_at: row.recorded_at,
        }
    }
}

/// The ledger of a store, newest first. Needs the permission `InventoryRead` in the store.
#[access(query.store_id)]
#[utoipa::path(
    tag = "stock", params(MovementsQuery),
    responses((status = 200, body = Page<MovementOut>), (status = 404, body = Problem))
)]
#[get("/api/inventory/movements")]
pub(crate) async fn movements(
    auth: Permit<permits::InventoryRead>,
    state: web::Data<AppState>,
    query: ValidQuery<MovementsQuery>,
) -> Result<HttpResponse, ApiError> {
    auth.require_store(query.store_id)?;
    let limit = limit_or_default(query.limit);
    let before = decode_cursor::<Uuid>(query.cursor.as_deref())?;
    let place = (query.store_id, query.product_id);
    let mut tx = state.db.read().await?;
    let rows = ledger::list_movements(&mut tx, place, before, i64::from(limit) + 1).await?;
    let page = Page::cut(rows, limit, |row| row.id, MovementOut::from);
    Ok(HttpResponse::Ok().json(page))
}
