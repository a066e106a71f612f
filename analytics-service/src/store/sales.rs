//! The read model of sales.

use std::collections::HashSet;

use ::store::{StoreError, Tx};
use common::ids::{OrderId, StoreId};
use common::money::Currency;
use contracts::events::{ConfirmedLine, OrderConfirmed, PaymentRefunded};

use crate::app::report::Period;
use crate::domain::Dimension;

/// Inserts confirmed orders with their lines; one that is there already is left as it is.
pub(crate) async fn insert_orders(
    tx: &mut Tx,
    orders: &[&OrderConfirmed],
) -> Result<(), StoreError> {
    let inserted: Vec<(OrderId,)> =
        ::store::insert_many_returning!(
        tx,
        (OrderId,),
        "INSERT INTO sales_orders (order_id, store_id, currency, channel, origin, business_date,
                                   month, hour, weekday, items, net_amount)",
        orders,
        |order| [
            order.order_id,
            order.store_id,
            order.currency,
            &order.channel,
            order.origin.as_str(),
            order.business_date,
            order.business_date.to_jiff().strftime("%Y-%m").to_string(),
            i64::from(order.local_time.hour()),
            i64::from(order.business_date.to_jiff().weekday().to_monday_one_offset()),
            order.lines.iter().map(|line| line.quantity).sum::<i64>(),
            order.net_amount
        ],
        "ON CONFLICT DO NOTHING RETURNING order_id"
    )?;
    let inserted: HashSet<OrderId> = inserted.into_iter().map(|(order,)| order).collect();
    let new = orders
        .iter()
        .filter(|order| inserted.contains(&order.order_id));
    let lines: Vec<(&OrderConfirmed, &ConfirmedLine)> = new
        .flat_map(|order| order.lines.iter().map(|line| (*order, line)))
        .collect();
    ::store::insert_many!(
        tx,
        "INSERT INTO sales_lines (order_id, line_no, store_id, business_date, item_sku, item_name,
                                  product_key, product_name, category, quantity, net_amount)",
        lines,
        |(order, line)| [
            order.order_id,
            i64::from(line.line_no),
            order.store_id,
            order.business_date,
            &line.item_sku,
            &line.item_name,
            &line.product_key,
            &line.product_name,
            &line.category,
            line.quantity,
            line.net_amount
        ]
    )?;
    Ok(())
}

/// Removes orders that do not count any more.
pub(crate) async fn delete_orders(tx: &mut Tx, orders: &[OrderId]) -> Result<(), StoreError> {
    ::store::execute_in!(tx, "DELETE FROM sales_lines WHERE order_id IN", orders)?;
    ::store::execute_in!(tx, "DELETE FROM sales_orders WHERE order_id IN", orders)?;
    Ok(())
}

/// Remembers that orders do not count.
pub(crate) async fn insert_cancelled(tx: &mut Tx, orders: &[OrderId]) -> Result<(), StoreError> {
    ::store::insert_many!(
        tx,
        "INSERT INTO cancelled_orders (order_id)",
        orders,
        |order| [*order],
        "ON CONFLICT DO NOTHING"
    )?;
    Ok(())
}

/// Those of the orders that do not count.
pub(crate) async fn list_cancelled(
    tx: &mut Tx,
    orders: &[OrderId],
) -> Result<HashSet<OrderId>, StoreError> {
    let rows = ::store::fetch_in!(
        tx,
        (OrderId,),
        "SELECT order_id FROM cancelled_orders WHERE order_id IN",
        orders
    )?;
    Ok(rows.into_iter().map(|(order,)| order).collect())
}

/// Remembers money that went back. The end of a cancellation, after which nothing went back any more, is told
/// with an amount of 0 and the total of the refund before it: it must not take that one's place.
pub(crate) async fn insert_refunds(
    tx: &mut Tx,
    refunds: &[PaymentRefunded],
) -> Result<(), StoreError> {
    let refunds: Vec<&PaymentRefunded> =
        refunds.iter().filter(|refund| refund.amount != 0).collect();
    ::store::insert_many!(
        tx,
        "INSERT INTO refunds (intent_id, refunded_total, order_id, amount)",
        refunds,
        |refund| [
            refund.intent_id,
            refund.refunded_total,
            refund.order_id,
            refund.amount
        ],
        "ON CONFLICT DO NOTHING"
    )?;
    Ok(())
}

/// Empties the read model.
pub(crate) async fn delete_all(tx: &mut Tx) -> Result<(), StoreError> {
    ::store::execute!(tx, "DELETE FROM sales_lines")?;
    ::store::execute!(tx, "DELETE FROM sales_orders")?;
    ::store::execute!(tx, "DELETE FROM cancelled_orders")?;
    ::store::execute!(tx, "DELETE FROM refunds")?;
    Ok(())
}

/// Sums of a period.
#[derive(Clone, Copy, Debug, sqlx::FromRow)]
pub(crate) struct Totals {
    pub(crate) orders: i64,
    pub(crate) items: i64,
    pub(crate) net_amount: i64,
    pub(crate) days: i64,
}

/// The sums of a period.
pub(crate) async fn totals(tx: &mut Tx, period: Period) -> Result<Totals, StoreError> {
    ::store::fetch_one!(
        tx,
        Totals,
        "SELECT COUNT(*) AS orders,
                CAST(COALESCE(SUM(items), 0) AS bigint) AS items,
                CAST(COALESCE(SUM(net_amount), 0) AS bigint) AS net_amount,
                COUNT(DISTINCT business_date) AS days
         FROM sales_orders
         WHERE business_date >= $1 AND business_date <= $2 AND ($3 IS NULL OR store_id = $3)",
        period.from,
        period.to,
        period.store
    )
}

/// What was refunded of orders of a period that still count.
pub(crate) async fn refunded(tx: &mut Tx, period: Period) -> Result<i64, StoreError> {
    let (sum,) = ::store::fetch_one!(
        tx,
        (i64,),
        "SELECT CAST(COALESCE(SUM(r.amount), 0) AS bigint)
         FROM refunds r JOIN sales_orders o ON o.order_id = r.order_id
         WHERE o.business_date >= $1 AND o.business_date <= $2
           AND ($3 IS NULL OR o.store_id = $3)",
        period.from,
        period.to,
        period.store
    )?;
    Ok(sum)
}

/// The first and the last currency of a period, by name; equal when there is one.
pub(crate) async fn currencies(
    tx: &mut Tx,
    period: Period,
) -> Result<(Option<Currency>, Option<Currency>), StoreError> {
    ::store::fetch_one!(
        tx,
        (Option<Currency>, Option<Currency>),
        "SELECT MIN(currency), MAX(currency) FROM sales_orders
         WHERE business_date >= $1 AND business_date <= $2 AND ($3 IS NULL OR store_id = $3)",
        period.from,
        period.to,
        period.store
    )
}

/// The currency of the latest sale, for a period without any.
pub(crate) async fn last_currency(
    tx: &mut Tx,
    store: Option<StoreId>,
) -> Result<Option<Currency>, StoreError> {
    let row = ::store::fetch_optional!(
        tx,
        (Currency,),
        "SELECT currency FROM sales_orders WHERE $1 IS NULL OR store_id = $1
         ORDER BY business_date DESC LIMIT 1",
        store
    )?;
    Ok(row.map(|(currency,)| currency))
}

/// One row of a breakdown.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct GroupRow {
    pub(crate) key: String,
    pub(crate) name: String,
    pub(crate) orders: i64,
    pub(crate) quantity: i64,
    pub(crate) net_amount: i64,
}

/// A breakdown of lines: the key and the name are columns, the largest sales come first.
macro_rules! lines_by {
    ($tx:expr, $period:expr, $limit:expr, $key:literal, $name:literal) => {
        ::store::fetch_all!(
            $tx,
            GroupRow,
            concat!(
                "SELECT ",
                $key,
                " AS key, MAX(",
                $name,
                ") AS name,
                        COUNT(DISTINCT order_id) AS orders,
                        CAST(SUM(quantity) AS bigint) AS quantity,
                        CAST(SUM(net_amount) AS bigint) AS net_amount
                 FROM sales_lines
                 WHERE business_date >= $1 AND business_date <= $2
                   AND ($3 IS NULL OR store_id = $3)
                 GROUP BY ",
                $key,
                " ORDER BY 5 DESC, 1 LIMIT $4"
            ),
            $period.from,
            $period.to,
            $period.store,
            $limit
        )
    };
}

/// A breakdown of orders by a column of time, in the order of time.
macro_rules! orders_by {
    ($tx:expr, $period:expr, $limit:expr, $column:literal) => {
        ::store::fetch_all!(
            $tx,
            GroupRow,
            concat!(
                "SELECT CAST(",
                $column,
                " AS text) AS key, CAST(",
                $column,
                " AS text) AS name,
                        COUNT(*) AS orders,
                        CAST(SUM(items) AS bigint) AS quantity,
                        CAST(SUM(net_amount) AS bigint) AS net_amount
                 FROM sales_orders
                 WHERE business_date >= $1 AND business_date <= $2
                   AND ($3 IS NULL OR store_id = $3)
                 GROUP BY ",
                $column,
                " ORDER BY ",
                $column,
                " LIMIT $4"
            ),
            $period.from,
            $period.to,
            $period.store,
            $limit
        )
    };
}

/// The sales of a period by a dimension.
pub(crate) async fn list_groups(
    tx: &mut Tx,
    dimension: Dimension,
    period: Period,
    limit: i64,
) -> Result<Vec<GroupRow>, StoreError> {
    match dimension {
        Dimension::Item => lines_by!(tx, period, limit, "item_sku", "item_name"),
        Dimension::Product => lines_by!(tx, period, limit, "product_key", "product_name"),
        Dimension::Category => lines_by!(tx, period, limit, "category", "category"),
        Dimension::Hour => orders_by!(tx, period, limit, "hour"),
        Dimension::Weekday => orders_by!(tx, period, limit, "weekday"),
        Dimension::Day => orders_by!(tx, period, limit, "business_date"),
        Dimension::Month => orders_by!(tx, period, limit, "month"),
    }
}
