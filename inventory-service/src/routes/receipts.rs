//! Receipts: stock comes in, in lots.

use ::store::http::answer_once;
use ::store::idempotency::IdempotencyRequest;
use actix_web::http::StatusCode;
use actix_web::{HttpResponse, post, web};
use common::auth::{Permit, access, permits};
use common::error::{ApiError, Problem};
use common::extract::{Check, Faults, IdempotencyKey, Valid};
use common::ids::{LotId, ProductId, StoreId};
use common::money::Money;
use common::time::{CivilDate, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::app::receive::{ReceivedLot, receive};
use crate::app::{AppState, Entry};
use crate::domain::quantity::{NotAQuantity, Quantity};

/// Lines of one receipt at most.
const MAX_LINES: usize = 500;

/// A delivery.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReceiptIn {
    store_id: StoreId,
    /// From 1 to 500; each becomes a lot.
    lines: Vec<ReceiptLineIn>,
}

/// One batch of a delivery.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReceiptLineIn {
    product_id: ProductId,
    /// Base units, from 1.
    quantity: i64,
    /// The price of one base unit, when known.
    #[serde(default)]
    unit_cost: Option<Money>,
    /// The supplier's batch number, at most 64 characters.
    #[serde(default)]
    lot_code: Option<String>,
    /// The last day on which it may be used.
    #[serde(default)]
    expires_on: Option<CivilDate>,
}

/// A booked delivery.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct ReceiptOut {
    id: Uuid,
    store_id: StoreId,
    /// In the order of the lines.
    lots: Vec<LotId>,
    received_at: Timestamp,
}

impl Check for ReceiptIn {
    fn check(&self, faults: &mut Faults) {
        let count = self.lines.len();
        faults.require(
            (1..=MAX_LINES).contains(&count),
            "lines",
            "out_of_range",
            "from 1 to 500 lines",
        );
        for (index, line) in self.lines.iter().enumerate() {
            if let Err(error) = Quantity::try_from(line.quantity) {
                faults.add(
                    format!("lines[{index}].quantity"),
                    "out_of_range",
                    error.to_string(),
                );
            }
            if let Some(code) = &line.lot_code {
                faults.require_text(code, &format!("lines[{index}].lot_code"), 64);
            }
            let cost = line.unit_cost.map_or(0, |cost| cost.amount);
            let field = format!("lines[{index}].unit_cost.amount");
            faults.require(cost >= 0, field, "out_of_range", "must not be negative");
        }
    }
}

impl TryFrom<&ReceiptLineIn> for ReceivedLot {
    type Error = NotAQuantity;

    fn try_from(line: &ReceiptLineIn) -> Result<Self, NotAQuantity> {
        Ok(Self {
            product_id: line.product_id,
            quantity: line.quantity.try_into()?,
            lot_code: line.lot_code.clone(),
            expires_on: line.expires_on,
            unit_cost: line.unit_cost,
        })
    }
}

/// Books a delivery. Needs an `Idempotency-Key` and the permission `InventoryWrite` in the store.
#[access(body.store_id)]
#[utoipa::path(
    request_body = ReceiptIn,
    tag = "stock",
    params(("Idempotency-Key" = String, Header)),
    responses((status = 201, body = ReceiptOut), (status = 404, body = Problem), (status = 422, body = Problem))
)]
#[post("/api/inventory/receipts")]
pub(crate) async fn create(
    auth: Permit<permits::InventoryWrite>,
    state: web::Data<AppState>,
    key: IdempotencyKey,
    body: Valid<ReceiptIn>,
) -> Result<HttpResponse, ApiError> {
    auth.require_store(body.store_id)?;
    let path = ("POST", "/api/inventory/receipts");
    let request =
        IdempotencyRequest::new(&auth.subject, path, &key, &body.0).map_err(ApiError::internal)?;
    let lots: Result<Vec<ReceivedLot>, _> = body.lines.iter().map(TryInto::try_into).collect();
    let lots = lots.map_err(ApiError::internal)?;
    let now = state.clock.now();
    let id = common::ids::uuid_v7(&state.clock);
    let reference = id.to_string();
    let entry = Entry {
        kind: "receipt",
        reference: &reference,
        reason: None,
        actor: &auth.subject,
        now,
    };
    answer_once(&state.db, &request, now, async |tx| {
        let lots = receive(tx, &state.clock, body.store_id, &lots, &entry).await?;
        Ok((
            StatusCode::CREATED,
            ReceiptOut {
                id,
                store_id: body.store_id,
                lots,
                received_at: now,
            },
        ))
    })
    .await
}
