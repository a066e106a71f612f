//! `POST /api/orders`.

use ::store::idempotency::IdempotencyRequest;
use actix_web::http::StatusCode;
use actix_web::{HttpResponse, post, web};
use common::auth::{Permit, access, permits};
use common::error::{ApiError, Problem};
use common::extract::{Check, Faults, IdempotencyKey, Valid};
use common::ids::{ItemId, StoreId};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::app::AppState;
use crate::app::place_order::{Asked, NewOrder, Placement, place_order};
use crate::domain::order::{Channel, Order, Status};
use crate::domain::payment::{Method, Payment, token_fault};
use crate::domain::pricing::{MAX_LINES, MAX_QUANTITY, Wanted};
use crate::error::UseCaseError;
use crate::store::orders;
use crate::wire::OrderOut;

/// An order as a client wishes it. It has no prices: those are the menu's.
#[derive(Deserialize, Serialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OrderIn {
    store_id: StoreId,
    channel: Channel,
    /// 1 to 100; an item may occur in several lines.
    lines: Vec<LineIn>,
    payment: PaymentIn,
}

/// One line of an order.
#[derive(Deserialize, Serialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LineIn {
    item_id: ItemId,
    /// 1 to 1000.
    quantity: i64,
}

/// How the guest pays.
#[derive(Deserialize, Serialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PaymentIn {
    method: Method,
    /// The payment provider's token of the card; never a card number. Not for cash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    token: Option<String>,
}

impl Check for OrderIn {
    fn check(&self, faults: &mut Faults) {
        let lines = format!("from 1 to {MAX_LINES} lines");
        let in_range = (1..=MAX_LINES).contains(&self.lines.len());
        faults.require(in_range, "lines", "out_of_range", &lines);
        let pieces = format!("from 1 to {MAX_QUANTITY}");
        for (index, line) in self.lines.iter().enumerate().take(MAX_LINES) {
            let in_range = (1..=MAX_QUANTITY).contains(&line.quantity);
            let field = format!("lines[{index}].quantity");
            faults.require(in_range, field, "out_of_range", &pieces);
        }
        if let Some(code) = token_fault(self.payment.method, self.payment.token.as_deref()) {
            let expected = "a card needs the provider's token, cash needs none";
            faults.add("payment.token", code, expected);
        }
    }
}

impl From<OrderIn> for NewOrder {
    fn from(body: OrderIn) -> Self {
        let wanted = body.lines.iter().map(|line| Wanted {
            item_id: line.item_id,
            quantity: line.quantity,
            sold_at: None,
        });
        Self {
            store_id: body.store_id,
            channel: body.channel,
            wanted: wanted.collect(),
            payment: Payment {
                method: body.payment.method,
                token: body.payment.token.map(SecretString::from),
            },
        }
    }
}

/// Places an order: holds the stock, takes the money, consumes the stock, in that order or not at
/// all. Answers 201 when that has ended in time (`status` is `confirmed`, or `cancelled` with the
/// reason), else 202 with the order `pending`; `Location` says where to look.
///
/// Needs the permission `OrdersCreate` and an `Idempotency-Key`: repeated, the final answer is
/// given again and nothing happens twice. So a terminal that may not read orders learns the end of
/// a pending one by repeating its request. Emits `order.confirmed.v1`.
#[access(body.store_id)]
#[utoipa::path(
    tag = "orders", request_body = OrderIn,
    params(("Idempotency-Key" = String, Header)),
    responses((status = 201, body = OrderOut), (status = 202, body = OrderOut),
              (status = 404, body = Problem), (status = 409, body = Problem), (status = 422, body = Problem))
)]
#[post("/api/orders")]
pub(crate) async fn place(
    auth: Permit<permits::OrdersCreate>,
    state: web::Data<AppState>,
    key: IdempotencyKey,
    body: Valid<OrderIn>,
) -> Result<HttpResponse, ApiError> {
    auth.require_store(body.store_id)?;
    let caller = auth.subject.clone();
    let request = IdempotencyRequest::new(&caller, ("POST", "/api/orders"), &key, &body.0)
        .map_err(UseCaseError::Unhashable)?;
    let asked = Asked {
        request,
        caller,
        idempotency_key: key.as_str().to_owned(),
    };
    let placement = place_order(&state, asked, body.0.into()).await?;
    Ok(answer(&state, placement).await?)
}

async fn answer(state: &AppState, placement: Placement) -> Result<HttpResponse, UseCaseError> {
    let (order, ended) = match placement {
        Placement::Answered { body } => return Ok(respond(StatusCode::CREATED, &body)),
        Placement::Pending(order) => return respond_with(&order),
        Placement::Begun { order, ended } => (order, ended),
    };
    match tokio::time::timeout(state.orders.answer_within(), ended).await {
        Ok(Ok(ended)) => respond_with(&ended),
        // It is driven elsewhere now; it may have ended there.
        Ok(Err(_closed)) => {
            let mut tx = state.db.read().await?;
            let present = orders::find_order(&mut tx, order.id).await?;
            respond_with(&present.unwrap_or(order))
        }
        Err(_elapsed) => respond_with(&order),
    }
}

fn respond_with(order: &Order) -> Result<HttpResponse, UseCaseError> {
    let status = match order.status {
        Status::Pending => StatusCode::ACCEPTED,
        _ => StatusCode::CREATED,
    };
    let body = serde_json::to_value(OrderOut::from(order)).map_err(UseCaseError::Unhashable)?;
    Ok(respond(status, &body))
}

fn respond(status: StatusCode, body: &Value) -> HttpResponse {
    let id = body.get("id").and_then(Value::as_str).unwrap_or_default();
    HttpResponse::build(status)
        .insert_header(("location", format!("/api/orders/{id}")))
        .json(body)
}
