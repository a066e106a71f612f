//! Reading orders.

use actix_web::{HttpResponse, get, web};
use common::auth::{Permit, access, permits};
use common::error::{ApiError, Problem};
use common::extract::{Check, Faults, PathId, ValidQuery};
use common::ids::{OrderId, StoreId};
use common::page::{Page, check_limit, decode_cursor, limit_or_default};
use common::time::CivilDate;
use serde::Deserialize;

use crate::app::AppState;
use crate::domain::order::Status;
use crate::store::orders::{self, OrderFilter, Position};
use crate::wire::{OrderOut, OriginOut};

/// An order of one of the caller's stores. Needs the permission `OrdersRead`.
#[access(object)]
#[utoipa::path(
    tag = "orders", params(("id" = OrderId, Path)),
    responses((status = 200, body = OrderOut), (status = 404, body = Problem))
)]
#[get("/api/orders/{id}")]
pub(crate) async fn read(
    auth: Permit<permits::OrdersRead>,
    state: web::Data<AppState>,
    id: PathId<OrderId>,
) -> Result<HttpResponse, ApiError> {
    let order = state.order_of(&auth, id.0).await?;
    Ok(HttpResponse::Ok().json(OrderOut::from(&order)))
}

/// Which orders to list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct OrdersQuery {
    /// Only orders with this status.
    status: Option<Status>,
    /// Only orders of this store.
    store_id: Option<StoreId>,
    /// Only live, or only imported orders.
    origin: Option<OriginOut>,
    /// First business date, included.
    from: Option<CivilDate>,
    /// Last business date, included.
    to: Option<CivilDate>,
    /// From 1 to 200; 50 when absent.
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

impl Check for OrdersQuery {
    fn check(&self, faults: &mut Faults) {
        check_limit(self.limit, faults);
        let ordered = self.from.zip(self.to).is_none_or(|(from, to)| from <= to);
        faults.require(ordered, "to", "before_from", "must not be before from");
        for (field, date) in [("from", self.from), ("to", self.to)] {
            let usual = date.is_none_or(|date| (1..=9_000).contains(&date.to_jiff().year()));
            faults.require(usual, field, "out_of_range", "a year from 1 to 9000");
        }
    }
}

/// The orders of the caller's stores, newest first. Needs the permission `OrdersRead`.
#[access(query.store_id)]
#[utoipa::path(
    tag = "orders", params(OrdersQuery),
    responses((status = 200, body = Page<OrderOut>), (status = 404, body = Problem), (status = 422, body = Problem))
)]
#[get("/api/orders")]
pub(crate) async fn list(
    auth: Permit<permits::OrdersRead>,
    state: web::Data<AppState>,
    query: ValidQuery<OrdersQuery>,
) -> Result<HttpResponse, ApiError> {
    let limit = limit_or_default(query.limit);
    let after = decode_cursor::<Position>(query.cursor.as_deref())?;
    let filter = OrderFilter {
        stores: auth.visible_stores(query.store_id)?,
        status: query.status,
        origin: query.origin.map(Into::into),
        from: query.from,
        to: query.to,
    };
    let mut tx = state.db.read().await?;
    let rows = orders::list_orders(&mut tx, &filter, after, i64::from(limit) + 1).await?;
    let page = Page::cut(rows, limit, Position::of, |order| OrderOut::from(&order));
    Ok(HttpResponse::Ok().json(page))
}
