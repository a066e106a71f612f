//! What an order holds or consumed.

use actix_web::{HttpResponse, get, web};
use common::auth::{Permit, access, permits};
use common::error::{ApiError, Problem};
use common::extract::PathId;
use common::ids::{OrderId, ProductId, ReservationId, StoreId};
use common::time::Timestamp;
use serde::Serialize;

use crate::app::AppState;
use crate::domain::recipe::Needed;
use crate::store::reservations::{self, ReservationRow, Shortage};

/// A reservation.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct ReservationOut {
    id: ReservationId,
    order_id: OrderId,
    store_id: StoreId,
    /// `held`, `refused`, `committed`, `released`, `expired` or `restocked`.
    state: String,
    /// When held stock falls back.
    expires_at: Timestamp,
    lines: Vec<ReservedLineOut>,
    /// What was missing, when refused.
    shortages: Vec<Shortage>,
}

/// One product of a reservation.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct ReservedLineOut {
    product_id: ProductId,
    /// Base units.
    quantity: i64,
}

/// What an order holds or consumed. Needs the permission `InventoryRead` in the order's store.
#[access(object)]
#[utoipa::path(
    tag = "stock", params(("id" = OrderId, Path)),
    responses((status = 200, body = ReservationOut), (status = 404, body = Problem))
)]
#[get("/api/inventory/reservations/{id}")]
pub(crate) async fn read(
    auth: Permit<permits::InventoryRead>,
    state: web::Data<AppState>,
    id: PathId<OrderId>,
) -> Result<HttpResponse, ApiError> {
    let not_found = || ApiError::not_found("reservation");
    let mut tx = state.db.read().await?;
    let row = reservations::find(&mut tx, id.0)
        .await?
        .ok_or_else(not_found)?;
    let store_id = row.store_id.ok_or_else(not_found)?;
    auth.require_store(store_id)
        .map_err(|_foreign| not_found())?;
    let mut lines = reservations::list_lines(&mut tx, &[row.id]).await?;
    let lines = lines.remove(&row.id).unwrap_or_default();
    Ok(HttpResponse::Ok().json(reservation_out(row, store_id, lines)))
}

fn reservation_out(row: ReservationRow, store_id: StoreId, lines: Needed) -> ReservationOut {
    ReservationOut {
        id: row.id,
        order_id: row.order_id,
        store_id,
        state: row.state,
        expires_at: row.expires_at,
        lines: lines
            .into_iter()
            .map(|(product_id, quantity)| ReservedLineOut {
                product_id,
                quantity,
            })
            .collect(),
        shortages: row.shortages.map(|json| json.0).unwrap_or_default(),
    }
}
