//! Orders that cannot be undone by themselves: for whoever runs the system.

use actix_web::{HttpResponse, get, post, web};
use common::auth::{Permit, access, permits};
use common::error::{ApiError, Problem};
use common::extract::{Check, Faults, PathId, ValidQuery};
use common::ids::OrderId;
use common::page::{Page, check_limit, decode_cursor, limit_or_default};
use serde::{Deserialize, Serialize};

use super::timeline::{UnderWayOut, under_way};
use crate::app::AppState;
use crate::app::operate_sagas::{Parked, list_parked, redrive as redrive_saga};
use crate::wire::OrderOut;

/// An order whose saga is parked: it may still hold stock or money.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct ParkedOut {
    order: OrderOut,
    #[serde(skip_serializing_if = "Option::is_none")]
    under_way: Option<UnderWayOut>,
}

impl From<Parked> for ParkedOut {
    fn from(parked: Parked) -> Self {
        Self {
            under_way: under_way(&parked.stored),
            order: OrderOut::from(&parked.order),
        }
    }
}

/// Which page of a list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ParkedQuery {
    /// From 1 to 200; 50 when absent.
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

impl Check for ParkedQuery {
    fn check(&self, faults: &mut Faults) {
        check_limit(self.limit, faults);
    }
}

/// Orders whose saga is parked, longest parked first. They are still tried, at a slower pace. Needs
/// the permission `SystemOperate`.
#[access(chain)]
#[utoipa::path(
    tag = "operation", params(ParkedQuery),
    responses((status = 200, body = Page<ParkedOut>), (status = 422, body = Problem))
)]
#[get("/api/orders/parked")]
pub(crate) async fn list(
    _auth: Permit<permits::SystemOperate>,
    state: web::Data<AppState>,
    query: ValidQuery<ParkedQuery>,
) -> Result<HttpResponse, ApiError> {
    let limit = limit_or_default(query.limit);
    let after = decode_cursor(query.cursor.as_deref())?;
    let rows = list_parked(&state, after, i64::from(limit) + 1).await?;
    let key = |parked: &Parked| (parked.parked_at, parked.order.id);
    let page = Page::cut(rows, limit, key, ParkedOut::from);
    Ok(HttpResponse::Ok().json(page))
}

/// Tries an unfinished saga again at once. Needs the permission `SystemOperate`. Repeating it does
/// no harm; an order with nothing left to do is answered 409 `saga_ended`.
#[access(chain)]
#[utoipa::path(
    tag = "operation", params(("id" = OrderId, Path)),
    responses((status = 202, body = OrderOut), (status = 404, body = Problem), (status = 409, body = Problem))
)]
#[post("/api/orders/{id}/redrive")]
pub(crate) async fn redrive(
    _auth: Permit<permits::SystemOperate>,
    state: web::Data<AppState>,
    id: PathId<OrderId>,
) -> Result<HttpResponse, ApiError> {
    let order = redrive_saga(&state, id.0).await?;
    Ok(HttpResponse::Accepted().json(OrderOut::from(&order)))
}
