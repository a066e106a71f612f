//! `POST /api/orders/import`.

use actix_web::{HttpResponse, post, web};
use common::auth::{Permit, access, permits};
use common::error::{ApiError, Problem};
use common::extract::{Check, Faults, Valid};
use common::ids::{ItemId, StoreId};
use common::money::Money;
use common::time::parse_local_time;
use serde::{Deserialize, Serialize};

use crate::app::AppState;
use crate::app::import_orders::{Fault, Imported, MAX_ORDERS, PastOrder, import_orders};
use crate::domain::order::Channel;
use crate::domain::pricing::{MAX_PRICE, Wanted};

/// The first day whose business day and whose UTC time both lie after the year 0000, so that every
/// consumer can read them.
const FIRST_DAY: jiff::civil::Date = jiff::civil::date(1, 1, 2);
/// Most lines of one past order.
const MAX_PAST_LINES: usize = 1_000;
/// Most pieces of one line of a past order: more than any guest orders here and now.
const MAX_PAST_QUANTITY: i64 = 1_000_000;

/// Orders that another system sold.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ImportIn {
    /// The other system; 1 to 64 characters.
    #[schema(example = "pizza-place")]
    source: String,
    /// 1 to 500.
    orders: Vec<PastOrderIn>,
}

/// One order as its source knows it.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PastOrderIn {
    /// Unique within the source; 1 to 128 characters.
    external_id: String,
    store_id: StoreId,
    channel: Channel,
    /// Date and time on the clock of the store. Of a time that occurred twice, the first is meant;
    /// one that the clock skipped is moved on by the length of the gap.
    #[schema(example = "2015-01-01T11:38:36")]
    placed_at_local: String,
    /// 1 to 1000.
    lines: Vec<PastLineIn>,
}

/// One line of a past order.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PastLineIn {
    /// An item of the menu; it need not be sold any more.
    item_id: ItemId,
    /// 1 to 1000000.
    quantity: i64,
    /// What was paid for one, in the store's currency.
    unit_price: Money,
}

impl Check for ImportIn {
    fn check(&self, faults: &mut Faults) {
        faults.require_text(&self.source, "source", 64);
        let count = format!("from 1 to {MAX_ORDERS} orders");
        let in_range = (1..=MAX_ORDERS).contains(&self.orders.len());
        faults.require(in_range, "orders", "out_of_range", &count);
    }
}

impl TryFrom<PastOrderIn> for PastOrder {
    type Error = Fault;

    fn try_from(order: PastOrderIn) -> Result<Self, Fault> {
        let id_length = order.external_id.chars().count();
        let readable = !order.external_id.chars().any(char::is_control);
        if !(1..=128).contains(&id_length) || !readable {
            let expected = "from 1 to 128 characters, no control characters";
            return Err(Fault::new("invalid_external_id", expected));
        }
        let placed_at_local = parse_local_time(&order.placed_at_local).ok();
        let placed_at_local = placed_at_local
            .filter(|local| local.date() >= FIRST_DAY)
            .ok_or_else(|| {
                let expected = "placed_at_local must be like 2015-01-01T11:38:36";
                Fault::new("invalid_time", expected)
            })?;
        if !(1..=MAX_PAST_LINES).contains(&order.lines.len()) {
            return Err(Fault::new("invalid_lines", "from 1 to 1000 lines"));
        }
        let wanted: Result<_, Fault> = order.lines.iter().enumerate().map(read_line).collect();
        Ok(Self {
            external_id: order.external_id,
            store_id: order.store_id,
            channel: order.channel,
            placed_at_local,
            wanted: wanted?,
        })
    }
}

fn read_line((index, line): (usize, &PastLineIn)) -> Result<Wanted, Fault> {
    if !(1..=MAX_PAST_QUANTITY).contains(&line.quantity) {
        let detail = format!("lines[{index}].quantity: from 1 to {MAX_PAST_QUANTITY}");
        return Err(Fault::new("invalid_quantity", detail));
    }
    if !(0..=MAX_PRICE).contains(&line.unit_price.amount) {
        let detail = format!("lines[{index}].unit_price: from 0 to {MAX_PRICE}");
        return Err(Fault::new("invalid_price", detail));
    }
    Ok(Wanted {
        item_id: line.item_id,
        quantity: line.quantity,
        sold_at: Some(line.unit_price),
    })
}

/// What became of a batch.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct ImportOut {
    /// Orders that are new.
    created: usize,
    /// Orders that were there before, with the same content.
    duplicates: usize,
    /// Orders that were not taken over, by their place in the batch.
    rejected: Vec<RejectedOut>,
}

/// An order that was not taken over.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct RejectedOut {
    index: usize,
    external_id: String,
    /// `unknown_store`, `unknown_item`, `other_currency`, `content_differs`, ...
    code: String,
    detail: String,
}

/// Takes over orders that another system sold. They move neither stock nor money, and reach the
/// reports as `order.confirmed.v1` with origin `imported`.
///
/// Idempotent by `source` and `external_id`: a repeated batch creates nothing. An order that cannot
/// be taken over is named in `rejected` and does not keep the others from it. Needs the permission
/// `OrdersImport`.
#[access(chain)]
#[utoipa::path(
    tag = "orders", request_body = ImportIn,
    responses((status = 200, body = ImportOut), (status = 422, body = Problem))
)]
#[post("/api/orders/import")]
pub(crate) async fn import(
    auth: Permit<permits::OrdersImport>,
    state: web::Data<AppState>,
    body: Valid<ImportIn>,
) -> Result<HttpResponse, ApiError> {
    let ImportIn { source, orders } = body.0;
    let ids: Vec<String> = orders
        .iter()
        .map(|order| order.external_id.clone())
        .collect();
    let batch = orders.into_iter().map(PastOrder::try_from).collect();
    let imported = import_orders(&state, &auth, &source, batch).await?;
    Ok(HttpResponse::Ok().json(report(imported, &ids)))
}

fn report(imported: Imported, ids: &[String]) -> ImportOut {
    let rejected = imported.rejected.into_iter();
    ImportOut {
        created: imported.created,
        duplicates: imported.duplicates,
        rejected: rejected
            .map(|(index, fault)| RejectedOut {
                index,
                external_id: ids.get(index).cloned().unwrap_or_default(),
                code: fault.code.to_owned(),
                detail: fault.detail,
            })
            .collect(),
    }
}
