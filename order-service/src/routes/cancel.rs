//! `POST /api/orders/{id}/cancel`.

use ::store::idempotency::IdempotencyRequest;
use actix_web::http::StatusCode;
use actix_web::{HttpResponse, post, web};
use common::auth::{Permit, access, permits};
use common::card_number::holds_card_number;
use common::error::{ApiError, Problem};
use common::extract::{Check, Faults, IdempotencyKey, PathId, Valid};
use common::ids::OrderId;
use serde::{Deserialize, Serialize};

use crate::app::AppState;
use crate::app::cancel_order::cancel_order;
use crate::error::UseCaseError;
use crate::wire::OrderOut;

/// Why an order is to be cancelled.
#[derive(Debug, Deserialize, Serialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CancelIn {
    /// 1 to 200 characters; best a stable code such as `guest_request`.
    #[schema(example = "guest_request")]
    reason: String,
}

impl Check for CancelIn {
    fn check(&self, faults: &mut Faults) {
        faults.require_text(&self.reason, "reason", 200);
        let clean = !holds_card_number(&self.reason);
        faults.require(
            clean,
            "reason",
            "card_number",
            "must not hold a card number",
        );
    }
}

/// Cancels a confirmed order: 202 with `status` `cancelling` until the money and the stock are
/// back, then it is `cancelled`. An order that is being or was cancelled is answered as it is. A
/// pending order is answered 409 `order_pending`: its saga decides first. An imported one 409
/// `order_imported`: it has nothing to give back.
///
/// Needs the permission `OrdersCancel` and an `Idempotency-Key`. Emits `order.cancelled.v1`.
#[access(object)]
#[utoipa::path(
    tag = "orders", request_body = CancelIn,
    params(("id" = OrderId, Path), ("Idempotency-Key" = String, Header)),
    responses((status = 202, body = OrderOut), (status = 200, body = OrderOut),
              (status = 404, body = Problem), (status = 409, body = Problem), (status = 422, body = Problem))
)]
#[post("/api/orders/{id}/cancel")]
pub(crate) async fn cancel(
    auth: Permit<permits::OrdersCancel>,
    state: web::Data<AppState>,
    id: PathId<OrderId>,
    key: IdempotencyKey,
    body: Valid<CancelIn>,
) -> Result<HttpResponse, ApiError> {
    let path = format!("/api/orders/{}/cancel", id.0);
    let request = IdempotencyRequest::new(&auth.subject, ("POST", path), &key, &body.0)
        .map_err(UseCaseError::Unhashable)?;
    let wish = (id.0, body.reason.as_str());
    let (status, order) = cancel_order(&state, &auth, wish, &request).await?;
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
    Ok(HttpResponse::build(status).json(order))
}
