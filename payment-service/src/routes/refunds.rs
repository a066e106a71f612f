//! Refunds that a person asks for.

use ::store::idempotency::IdempotencyRequest;
use actix_web::http::StatusCode;
use actix_web::{HttpResponse, post, web};
use common::auth::{Permit, access, permits};
use common::card_number::{holds_card_number, identifier_holds_card_number};
use common::error::{ApiError, FieldError, Problem};
use common::extract::{Check, Faults, IdempotencyKey, PathId, Valid};
use common::ids::IntentId;
use common::money::Money;
use serde::{Deserialize, Serialize};

use super::wire::RefundOut;
use crate::app::AppState;
use crate::app::refund::{Asked, Outcome, refund, remember_answer};
use crate::domain::operation::{Operation, OperationState, Request};
use crate::store::listing;

/// Longest reason, in characters.
const MAX_REASON: usize = 200;

/// A refund to make.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RefundIn {
    /// From 1, in the currency of the payment; at most what is left of it.
    amount: Money,
    /// Why, for people: 1 to 200 characters, and no card number.
    reason: String,
}

impl Check for RefundIn {
    fn check(&self, faults: &mut Faults) {
        let positive = self.amount.amount >= 1;
        faults.require(
            positive,
            "amount.amount",
            "out_of_range",
            "must be at least 1",
        );
        faults.require_text(&self.reason, "reason", MAX_REASON);
        let clean = !holds_card_number(&self.reason);
        faults.require(
            clean,
            "reason",
            "card_number",
            "must not hold a card number",
        );
    }
}

/// Gives some or all of a captured payment back. Needs an `Idempotency-Key` and the permission
/// `PaymentsRefund` in its store. Emits `payment.refunded.v1`.
///
/// 201 when the money is on its way back; 202 when the provider has not said yet: the refund goes on,
/// and the payment shows what becomes of it. 409 `refund_exceeds_rest`, `not_captured`,
/// `order_cancelled`; 422 `refund_exceeds_captured`, `currency_mismatch`, `refund_declined`.
#[access(object)]
#[utoipa::path(
    tag = "payments", request_body = RefundIn,
    params(("id" = IntentId, Path), ("Idempotency-Key" = String, Header)),
    responses(
        (status = 201, body = RefundOut), (status = 202, body = RefundOut),
        (status = 404, body = Problem), (status = 409, body = Problem), (status = 422, body = Problem)
    )
)]
#[post("/api/payments/{id}/refunds")]
pub(crate) async fn create(
    auth: Permit<permits::PaymentsRefund>,
    state: web::Data<AppState>,
    id: PathId<IntentId>,
    key: IdempotencyKey,
    body: Valid<RefundIn>,
) -> Result<HttpResponse, ApiError> {
    require_visible(&auth, &state, id.0).await?;
    check_key(&key)?;
    let path = ("POST", format!("/api/payments/{}/refunds", id.0));
    let idempotency =
        IdempotencyRequest::new(&auth.subject, path, &key, &body.0).map_err(ApiError::internal)?;
    let asked = Asked {
        intent: id.0,
        amount: body.amount,
        reason: body.reason.clone(),
        request: Request {
            caller: auth.subject.clone(),
            key: key.as_str().to_owned(),
        },
        idempotency: idempotency.clone(),
    };
    match refund(&state, asked).await? {
        Outcome::Refund(operation) => answer(&state, &idempotency, *operation).await,
        Outcome::Stored(outcome) => replay(outcome),
    }
}

async fn require_visible(
    auth: &Permit<permits::PaymentsRefund>,
    state: &AppState,
    id: IntentId,
) -> Result<(), ApiError> {
    let unknown = || ApiError::not_found("payment");
    let mut tx = state.db.read().await?;
    let listed = listing::find(&mut tx, id).await?.ok_or_else(unknown)?;
    auth.require_store(listed.intent.store_id)
        .map_err(|_foreign| unknown())
}

/// Keys are stored; a card number must not be.
fn check_key(key: &IdempotencyKey) -> Result<(), ApiError> {
    if !identifier_holds_card_number(key.as_str()) {
        return Ok(());
    }
    Err(ApiError::invalid(vec![FieldError {
        field: "Idempotency-Key".to_owned(),
        code: "card_number".to_owned(),
        detail: "must not hold a card number".to_owned(),
    }]))
}

/// What the client hears; stored for repetitions once it is final.
async fn answer(
    state: &AppState,
    idempotency: &IdempotencyRequest,
    operation: Operation,
) -> Result<HttpResponse, ApiError> {
    let status = match operation.state {
        OperationState::Succeeded => StatusCode::CREATED,
        OperationState::Pending | OperationState::Unknown => StatusCode::ACCEPTED,
        OperationState::Declined | OperationState::Abandoned => {
            let code = operation.code.as_deref().unwrap_or("abandoned");
            let detail = format!("The payment provider refused the refund: {code}.");
            return Err(ApiError::unprocessable("refund_declined", detail));
        }
    };
    let body = serde_json::to_value(RefundOut::from(operation)).map_err(ApiError::internal)?;
    if status == StatusCode::CREATED {
        remember_answer(state, idempotency, status.as_u16(), &body).await?;
    }
    Ok(HttpResponse::build(status).json(body))
}

fn replay(outcome: ::store::idempotency::Outcome) -> Result<HttpResponse, ApiError> {
    let (status, body) = outcome
        .into_replay()?
        .ok_or_else(|| ApiError::internal("a fresh key was not worked on"))?;
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
    Ok(HttpResponse::build(status).json(body))
}
