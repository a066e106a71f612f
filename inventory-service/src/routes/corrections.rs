//! Corrections: stock that was wasted, stock that was counted.

use std::collections::BTreeSet;

use ::store::http::answer_once;
use ::store::idempotency::IdempotencyRequest;
use actix_web::http::StatusCode;
use actix_web::{HttpResponse, post, web};
use common::auth::{Permit, access, permits};
use common::error::{ApiError, Problem};
use common::extract::{Check, Faults, IdempotencyKey, Valid};
use common::ids::{ProductId, StoreId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::app::correct::{count as count_product, write_off};
use crate::app::{AppState, Entry};
use crate::domain::quantity::Quantity;

/// Products in one count at most.
const MAX_LINES: usize = 500;

/// Stock that was thrown away.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WasteIn {
    store_id: StoreId,
    product_id: ProductId,
    /// Base units, from 1.
    quantity: i64,
    /// Why.
    reason: WasteReason,
}

/// Why stock was thrown away.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum WasteReason {
    /// Past its last day.
    Expired,
    /// Went bad before it.
    Spoiled,
    /// Dropped or broken.
    Damaged,
    /// Prepared wrongly.
    PreparationError,
    /// Something else.
    Other,
}

impl WasteReason {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Spoiled => "spoiled",
            Self::Damaged => "damaged",
            Self::PreparationError => "preparation_error",
            Self::Other => "other",
        }
    }
}

impl Check for WasteIn {
    fn check(&self, faults: &mut Faults) {
        if let Err(error) = Quantity::try_from(self.quantity) {
            faults.add("quantity", "out_of_range", error.to_string());
        }
    }
}

/// Booked waste.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct WasteOut {
    id: Uuid,
    store_id: StoreId,
    product_id: ProductId,
    quantity: i64,
}

/// Writes stock off, earliest expiry first; 409 when orders hold what is left. Needs an
/// `Idempotency-Key` and the permission `InventoryWrite` in the store.
#[access(body.store_id)]
#[utoipa::path(
    request_body = WasteIn,
    tag = "stock",
    params(("Idempotency-Key" = String, Header)),
    responses((status = 201, body = WasteOut), (status = 409, body = Problem), (status = 422, body = Problem))
)]
#[post("/api/inventory/waste")]
pub(crate) async fn waste(
    auth: Permit<permits::InventoryWrite>,
    state: web::Data<AppState>,
    key: IdempotencyKey,
    body: Valid<WasteIn>,
) -> Result<HttpResponse, ApiError> {
    auth.require_store(body.store_id)?;
    let path = ("POST", "/api/inventory/waste");
    let request =
        IdempotencyRequest::new(&auth.subject, path, &key, &body.0).map_err(ApiError::internal)?;
    let quantity = Quantity::try_from(body.quantity).map_err(ApiError::internal)?;
    let (now, id) = (state.clock.now(), common::ids::uuid_v7(&state.clock));
    let reference = id.to_string();
    let reason = Some(body.reason.as_str());
    let entry = Entry {
        kind: "waste",
        reference: &reference,
        reason,
        actor: &auth.subject,
        now,
    };
    let place = (body.store_id, body.product_id);
    answer_once(&state.db, &request, now, async |tx| {
        write_off(tx, &state.clock, place, quantity, &entry).await?;
        let (store_id, product_id) = place;
        Ok((
            StatusCode::CREATED,
            WasteOut {
                id,
                store_id,
                product_id,
                quantity: quantity.units(),
            },
        ))
    })
    .await
}

/// What was found on the shelves.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CountIn {
    store_id: StoreId,
    /// From 1 to 500, each product once.
    lines: Vec<CountLineIn>,
}

/// One product that was counted.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CountLineIn {
    product_id: ProductId,
    /// Base units found, from 0.
    counted: i64,
}

impl Check for CountIn {
    fn check(&self, faults: &mut Faults) {
        let lines = self.lines.len();
        faults.require(
            (1..=MAX_LINES).contains(&lines),
            "lines",
            "out_of_range",
            "from 1 to 500 lines",
        );
        let mut seen = BTreeSet::new();
        for (index, line) in self.lines.iter().enumerate() {
            let holds = (0..=Quantity::MAX).contains(&line.counted);
            let field = format!("lines[{index}].counted");
            faults.require(holds, field, "out_of_range", "from 0 to 1000000000");
            let field = format!("lines[{index}].product_id");
            faults.require(
                seen.insert(line.product_id),
                field,
                "duplicate",
                "each product once",
            );
        }
    }
}

/// A booked count.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct CountOut {
    id: Uuid,
    store_id: StoreId,
    lines: Vec<CountLineOut>,
}

/// What one line of a count changed.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct CountLineOut {
    product_id: ProductId,
    /// Base units that the books said.
    expected: i64,
    /// Base units found.
    counted: i64,
    /// Counted minus expected.
    difference: i64,
}

/// Makes the books say what was counted; 409 when orders under way hold more than was found.
/// Needs an `Idempotency-Key` and the permission `InventoryWrite` in the store.
#[access(body.store_id)]
#[utoipa::path(
    request_body = CountIn,
    tag = "stock",
    params(("Idempotency-Key" = String, Header)),
    responses((status = 201, body = CountOut), (status = 409, body = Problem), (status = 422, body = Problem))
)]
#[post("/api/inventory/counts")]
pub(crate) async fn count(
    auth: Permit<permits::InventoryWrite>,
    state: web::Data<AppState>,
    key: IdempotencyKey,
    body: Valid<CountIn>,
) -> Result<HttpResponse, ApiError> {
    auth.require_store(body.store_id)?;
    let path = ("POST", "/api/inventory/counts");
    let request =
        IdempotencyRequest::new(&auth.subject, path, &key, &body.0).map_err(ApiError::internal)?;
    let (now, id) = (state.clock.now(), common::ids::uuid_v7(&state.clock));
    let reference = id.to_string();
    let entry = Entry {
        kind: "count",
        reference: &reference,
        reason: None,
        actor: &auth.subject,
        now,
    };
    let store_id = body.store_id;
    let mut counts: Vec<(ProductId, i64)> = body
        .lines
        .iter()
        .map(|line| (line.product_id, line.counted))
        .collect();
    // Balances are locked in the order of products everywhere.
    counts.sort_unstable();
    answer_once(&state.db, &request, now, async |tx| {
        let mut lines = Vec::with_capacity(counts.len());
        for &(product_id, counted) in &counts {
            let place = (store_id, product_id);
            let found = count_product(tx, &state.clock, place, counted, &entry).await?;
            let (expected, difference) = (found.expected, found.difference);
            lines.push(CountLineOut {
                product_id,
                expected,
                counted,
                difference,
            });
        }
        Ok((
            StatusCode::CREATED,
            CountOut {
                id,
                store_id,
                lines,
            },
        ))
    })
    .await
}
