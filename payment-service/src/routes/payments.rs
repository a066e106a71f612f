//! Payments, for reading.

use ::store::Tx;
use actix_web::{HttpResponse, get, web};
use common::auth::{Permit, access, permits};
use common::error::{ApiError, Problem};
use common::extract::{Check, Faults, PathId, ValidQuery};
use common::ids::{IntentId, OrderId, StoreId};
use common::page::{Page, check_limit, decode_cursor, limit_or_default};
use serde::Deserialize;

use super::wire::{PaymentDetailOut, PaymentOut};
use crate::app::AppState;
use crate::store::listing::{self, Listed};
use crate::store::operations;

/// Which payments.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct PaymentsQuery {
    /// Of this order only.
    order_id: Option<OrderId>,
    /// Of this store only.
    store_id: Option<StoreId>,
    /// From 1 to 200; 50 when absent.
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

impl Check for PaymentsQuery {
    fn check(&self, faults: &mut Faults) {
        check_limit(self.limit, faults);
    }
}

/// Payments of the caller's stores, newest first. Needs the permission `PaymentsRead`.
#[access(query.store_id)]
#[utoipa::path(
    tag = "payments", params(PaymentsQuery),
    responses((status = 200, body = Page<PaymentOut>), (status = 404, body = Problem))
)]
#[get("/api/payments")]
pub(crate) async fn list(
    auth: Permit<permits::PaymentsRead>,
    state: web::Data<AppState>,
    query: ValidQuery<PaymentsQuery>,
) -> Result<HttpResponse, ApiError> {
    let stores = auth.visible_stores(query.store_id)?;
    let limit = limit_or_default(query.limit);
    let before = decode_cursor::<IntentId>(query.cursor.as_deref())?;
    let window = (before, i64::from(limit) + 1);
    let mut tx = state.db.read().await?;
    let rows = match (query.order_id, stores) {
        (Some(order), stores) => of_order(&mut tx, order, stores, window).await?,
        (None, Some(stores)) => of_stores(&mut tx, &stores, window).await?,
        (None, None) => listing::list_all(&mut tx, window.0, window.1).await?,
    };
    let page = Page::cut(rows, limit, |row| row.intent.id, PaymentOut::from);
    Ok(HttpResponse::Ok().json(page))
}

type Window = (Option<IntentId>, i64);

/// An order has few payments, all in one store.
async fn of_order(
    tx: &mut Tx,
    order: OrderId,
    stores: Option<Vec<StoreId>>,
    (before, limit): Window,
) -> Result<Vec<Listed>, ApiError> {
    let mut rows = listing::list_of_order(tx, order, before, limit).await?;
    if let Some(stores) = stores {
        rows.retain(|row| stores.contains(&row.intent.store_id));
    }
    Ok(rows)
}

/// The newest of several stores are among the newest of each.
async fn of_stores(
    tx: &mut Tx,
    stores: &[StoreId],
    (before, limit): Window,
) -> Result<Vec<Listed>, ApiError> {
    let mut rows = Vec::new();
    for store in stores {
        rows.extend(listing::list_of_store(tx, *store, before, limit).await?);
    }
    rows.sort_unstable_by_key(|row| std::cmp::Reverse(row.intent.id));
    rows.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    Ok(rows)
}

/// One payment. Needs the permission `PaymentsRead` in its store.
#[access(object)]
#[utoipa::path(
    tag = "payments", params(("id" = IntentId, Path)),
    responses((status = 200, body = PaymentDetailOut), (status = 404, body = Problem))
)]
#[get("/api/payments/{id}")]
pub(crate) async fn read(
    auth: Permit<permits::PaymentsRead>,
    state: web::Data<AppState>,
    id: PathId<IntentId>,
) -> Result<HttpResponse, ApiError> {
    let unknown = || ApiError::not_found("payment");
    let mut tx = state.db.read().await?;
    let listed = listing::find(&mut tx, id.0).await?.ok_or_else(unknown)?;
    auth.require_store(listed.intent.store_id)
        .map_err(|_foreign| unknown())?;
    let operations = operations::list_of_intent(&mut tx, id.0).await?;
    Ok(HttpResponse::Ok().json(PaymentDetailOut::new(listed, operations)))
}
