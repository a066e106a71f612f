//! An order as clients see it: the body of answers, and what is remembered as the answer to a
//! request.

use common::ids::{ItemId, OrderId, StoreId};
use common::money::Money;
use common::time::{CivilDate, Timestamp};
use serde::{Deserialize, Serialize};

use crate::domain::order::{Channel, Order, Status};
use crate::domain::payment::Method;

/// An order.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct OrderOut {
    id: OrderId,
    store_id: StoreId,
    channel: Channel,
    status: Status,
    /// A stable code, or the reason that was given with the cancellation.
    #[serde(skip_serializing_if = "Option::is_none")]
    cancel_reason: Option<String>,
    origin: OriginOut,
    placed_at: Timestamp,
    /// `placed_at` on the clock of the store.
    #[schema(value_type = String, example = "2026-03-01T18:30:00")]
    local_time: String,
    /// The business day of the store that the order counts for.
    business_date: CivilDate,
    lines: Vec<LineOut>,
    /// The sum of the lines.
    total: Money,
    /// Absent for an imported order.
    #[serde(skip_serializing_if = "Option::is_none")]
    payment: Option<PaymentOut>,
    /// The system that an imported order comes from.
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    /// Its id there.
    #[serde(skip_serializing_if = "Option::is_none")]
    external_id: Option<String>,
    created_at: Timestamp,
    /// When the order reached the final status it has; absent while something is under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    closed_at: Option<Timestamp>,
}

/// How an order came into the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OriginOut {
    /// Placed here.
    Live,
    /// Taken over from another system.
    Imported,
}

/// One line of an order, with the names it was sold under.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct LineOut {
    item_id: ItemId,
    sku: String,
    name: String,
    quantity: i64,
    unit_price: Money,
    net_amount: Money,
}

/// How an order is paid.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct PaymentOut {
    method: Method,
}

impl From<contracts::events::OrderOrigin> for OriginOut {
    fn from(origin: contracts::events::OrderOrigin) -> Self {
        match origin {
            contracts::events::OrderOrigin::Live => Self::Live,
            contracts::events::OrderOrigin::Imported => Self::Imported,
        }
    }
}

impl From<OriginOut> for contracts::events::OrderOrigin {
    fn from(origin: OriginOut) -> Self {
        match origin {
            OriginOut::Live => Self::Live,
            OriginOut::Imported => Self::Imported,
        }
    }
}

impl From<&Order> for OrderOut {
    fn from(order: &Order) -> Self {
        let money = |amount| Money::new(amount, order.total.currency);
        let lines = order.lines.iter().map(|line| LineOut {
            item_id: line.item.item_id,
            sku: line.item.sku.clone(),
            name: line.item.name.clone(),
            quantity: line.quantity,
            unit_price: money(line.unit_price),
            net_amount: money(line.net_amount),
        });
        let external = order.external.as_ref();
        Self {
            id: order.id,
            store_id: order.store_id,
            channel: order.channel,
            status: order.status,
            cancel_reason: order.cancel_reason.clone(),
            origin: order.origin.into(),
            placed_at: order.placed_at,
            local_time: order.local_time.to_string(),
            business_date: order.business_date,
            lines: lines.collect(),
            total: order.total,
            payment: order.method.map(|method| PaymentOut { method }),
            source: external.map(|external| external.source.clone()),
            external_id: external.map(|external| external.id.clone()),
            created_at: order.created_at,
            closed_at: order.closed_at,
        }
    }
}
