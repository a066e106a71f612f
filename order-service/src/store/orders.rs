//! Orders with their lines.

use ::store::{Json, StoreError, Tx};
use common::ids::{ItemId, OrderId, StoreId};
use common::money::{Currency, Money};
use common::time::{CivilDate, Timestamp};
use contracts::events::OrderOrigin;
use serde::{Deserialize, Serialize};

use crate::domain::menu::ItemNames;
use crate::domain::order::{Cancellation, Channel, External, Line, Order, Status};
use crate::domain::payment::Method;
use crate::error::UseCaseError;

mod external;
mod list;

pub(crate) use external::find_by_external_ids;
pub(crate) use list::{OrderFilter, Position, list_orders};

macro_rules! columns {
    () => {
        "id, store_id, channel, status, cancel_reason, origin, placed_at, local_time, \
         business_date, currency, total_amount, lines, payment_method, source, external_id, \
         created_at, closed_at, confirmed_at, cancel_requested_at, refunded_at, restocked_at"
    };
}
use columns;

/// A line as it is stored.
#[derive(Serialize, Deserialize)]
struct LineDocument {
    item_id: ItemId,
    sku: String,
    name: String,
    product_key: String,
    product_name: String,
    category: String,
    quantity: i64,
    unit_price: i64,
    net_amount: i64,
}

impl From<&Line> for LineDocument {
    fn from(line: &Line) -> Self {
        Self {
            item_id: line.item.item_id,
            sku: line.item.sku.clone(),
            name: line.item.name.clone(),
            product_key: line.item.product_key.clone(),
            product_name: line.item.product_name.clone(),
            category: line.item.category.clone(),
            quantity: line.quantity,
            unit_price: line.unit_price,
            net_amount: line.net_amount,
        }
    }
}

impl From<LineDocument> for Line {
    fn from(document: LineDocument) -> Self {
        Self {
            item: ItemNames {
                item_id: document.item_id,
                sku: document.sku,
                name: document.name,
                product_key: document.product_key,
                product_name: document.product_name,
                category: document.category,
            },
            quantity: document.quantity,
            unit_price: document.unit_price,
            net_amount: document.net_amount,
        }
    }
}

#[derive(sqlx::FromRow)]
struct OrderRow {
    id: OrderId,
    store_id: StoreId,
    channel: String,
    status: String,
    cancel_reason: Option<String>,
    origin: String,
    placed_at: Timestamp,
    local_time: String,
    business_date: CivilDate,
    currency: Currency,
    total_amount: i64,
    lines: Json<Vec<LineDocument>>,
    payment_method: Option<String>,
    source: Option<String>,
    external_id: Option<String>,
    created_at: Timestamp,
    closed_at: Option<Timestamp>,
    confirmed_at: Option<Timestamp>,
    cancel_requested_at: Option<Timestamp>,
    refunded_at: Option<Timestamp>,
    restocked_at: Option<Timestamp>,
}

impl TryFrom<OrderRow> for Order {
    type Error = UseCaseError;

    fn try_from(row: OrderRow) -> Result<Self, UseCaseError> {
        let corrupt = |what| UseCaseError::corrupt(what, row.id);
        let method = match row.payment_method.as_deref() {
            None => None,
            Some(text) => Some(Method::parse(text).ok_or_else(|| corrupt("the method"))?),
        };
        Ok(Self {
            id: row.id,
            store_id: row.store_id,
            channel: Channel::parse(&row.channel).ok_or_else(|| corrupt("the channel"))?,
            status: Status::parse(&row.status).ok_or_else(|| corrupt("the status"))?,
            origin: parse_origin(&row.origin).ok_or_else(|| corrupt("the origin"))?,
            local_time: row
                .local_time
                .parse()
                .map_err(|_unreadable| corrupt("the local time"))?,
            cancel_reason: row.cancel_reason,
            placed_at: row.placed_at,
            business_date: row.business_date,
            lines: row.lines.0.into_iter().map(Line::from).collect(),
            total: Money::new(row.total_amount, row.currency),
            method,
            external: row
                .source
                .zip(row.external_id)
                .map(|(source, id)| External { source, id }),
            created_at: row.created_at,
            closed_at: row.closed_at,
            confirmed_at: row.confirmed_at,
            cancellation: Cancellation {
                requested_at: row.cancel_requested_at,
                refunded_at: row.refunded_at,
                restocked_at: row.restocked_at,
            },
        })
    }
}

fn parse_origin(text: &str) -> Option<OrderOrigin> {
    [OrderOrigin::Live, OrderOrigin::Imported]
        .into_iter()
        .find(|origin| origin.as_str() == text)
}

fn documents(order: &Order) -> Json<Vec<LineDocument>> {
    Json(order.lines.iter().map(LineDocument::from).collect())
}

/// Inserts new orders. One whose source and external id are taken is left out; returns how many
/// were inserted.
pub(crate) async fn insert_orders(tx: &mut Tx, orders: &[&Order]) -> Result<u64, StoreError> {
    ::store::insert_many!(
        tx,
        "INSERT INTO orders (id, store_id, channel, status, cancel_reason, origin, placed_at,
             local_time, business_date, currency, total_amount, lines, payment_method, source,
             external_id, created_at, closed_at, confirmed_at)",
        orders,
        |order| [
            order.id,
            order.store_id,
            order.channel.as_str(),
            order.status.as_str(),
            order.cancel_reason.as_deref(),
            order.origin.as_str(),
            order.placed_at,
            order.local_time.to_string(),
            order.business_date,
            order.total.currency,
            order.total.amount,
            documents(order),
            order.method.map(Method::as_str),
            order.external.as_ref().map(|external| &external.source),
            order.external.as_ref().map(|external| &external.id),
            order.created_at,
            order.closed_at,
            order.confirmed_at,
        ],
        "ON CONFLICT DO NOTHING"
    )
}

pub(crate) async fn find_order(tx: &mut Tx, id: OrderId) -> Result<Option<Order>, UseCaseError> {
    let row = ::store::fetch_optional!(
        tx,
        OrderRow,
        concat!("SELECT ", columns!(), " FROM orders WHERE id = $1"),
        id
    )?;
    row.map(Order::try_from).transpose()
}

/// [`find_order`] that keeps others from changing it until the transaction ends.
pub(crate) async fn find_order_locked(
    tx: &mut Tx,
    id: OrderId,
) -> Result<Option<Order>, UseCaseError> {
    let locked =
        ::store::fetch_optional_locked!(tx, (OrderId,), "SELECT id FROM orders WHERE id = $1", id)?;
    match locked {
        Some((id,)) => find_order(tx, id).await,
        None => Ok(None),
    }
}

/// Writes the status and everything that changes with it of those `orders` that still have the
/// status `from`, and returns how many had. What happened once is never unwritten: an event may have
/// noted a refund since an order was read.
pub(crate) async fn update_status(
    tx: &mut Tx,
    orders: &[&Order],
    from: Status,
) -> Result<usize, StoreError> {
    let updated: Vec<(OrderId,)> = ::store::update_many_returning!(
        tx,
        (OrderId,),
        "UPDATE orders SET status = new.column3, cancel_reason = new.column4,
             closed_at = new.column5,
             confirmed_at = COALESCE(new.column6, orders.confirmed_at),
             cancel_requested_at = COALESCE(new.column7, orders.cancel_requested_at),
             refunded_at = COALESCE(new.column8, orders.refunded_at),
             restocked_at = COALESCE(new.column9, orders.restocked_at)",
        orders,
        |order| [
            order.id,
            from.as_str(),
            order.status.as_str(),
            order.cancel_reason.as_deref(),
            order.closed_at,
            order.confirmed_at,
            order.cancellation.requested_at,
            order.cancellation.refunded_at,
            order.cancellation.restocked_at,
        ],
        "WHERE orders.id = new.column1 AND orders.status = new.column2 RETURNING orders.id"
    )?;
    Ok(updated.len())
}
