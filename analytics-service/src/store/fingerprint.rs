//! What the read model holds, as a digest: equal digests mean equal rows.

use ::store::{StoreError, Tx};
use common::ids::OrderId;
use ring::digest::{Context, SHA256};
use serde::Serialize;
use uuid::Uuid;

/// Rows read at a time, so that a large read model needs little memory.
const PAGE: i64 = 2_000;

/// The rows of the read model, counted and digested.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub(crate) struct Fingerprint {
    /// Orders that count.
    orders: u64,
    /// Their lines.
    lines: u64,
    /// Orders that do not count.
    cancelled: u64,
    /// Refunds.
    refunds: u64,
    /// SHA-256 over every column of every row, in the order of their keys; hex.
    sha256: String,
}

struct Digest {
    context: Context,
    rows: u64,
}

impl Digest {
    fn row(&mut self, row: &impl Serialize) {
        self.rows += 1;
        let bytes = serde_json::to_vec(row).expect("a row of plain columns is JSON");
        self.context.update(&bytes);
    }
}

#[derive(Serialize, sqlx::FromRow)]
struct OrderRow {
    order_id: OrderId,
    store_id: common::ids::StoreId,
    currency: String,
    channel: String,
    origin: String,
    business_date: common::time::CivilDate,
    month: String,
    hour: i64,
    weekday: i64,
    items: i64,
    net_amount: i64,
}

#[derive(Serialize, sqlx::FromRow)]
struct LineRow {
    order_id: OrderId,
    line_no: i64,
    store_id: common::ids::StoreId,
    business_date: common::time::CivilDate,
    item_sku: String,
    item_name: String,
    product_key: String,
    product_name: String,
    category: String,
    quantity: i64,
    net_amount: i64,
}

#[derive(Serialize, sqlx::FromRow)]
struct RefundRow {
    intent_id: uuid::Uuid,
    refunded_total: i64,
    order_id: OrderId,
    amount: i64,
}

/// Digests the whole read model.
pub(crate) async fn fingerprint(tx: &mut Tx) -> Result<Fingerprint, StoreError> {
    let mut digest = Digest {
        context: Context::new(&SHA256),
        rows: 0,
    };
    let orders = digest_orders(tx, &mut digest).await?;
    let lines = digest_lines(tx, &mut digest).await?;
    let cancelled = ::store::fetch_all!(
        tx,
        (OrderId,),
        "SELECT order_id FROM cancelled_orders ORDER BY order_id"
    )?;
    cancelled.iter().for_each(|row| digest.row(row));
    let refunds = ::store::fetch_all!(
        tx,
        RefundRow,
        "SELECT intent_id, refunded_total, order_id, amount FROM refunds
         ORDER BY order_id, intent_id, refunded_total"
    )?;
    refunds.iter().for_each(|row| digest.row(row));
    let hash = digest.context.finish();
    Ok(Fingerprint {
        orders,
        lines,
        cancelled: cancelled.len() as u64,
        refunds: refunds.len() as u64,
        sha256: hash
            .as_ref()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect(),
    })
}

async fn digest_orders(tx: &mut Tx, digest: &mut Digest) -> Result<u64, StoreError> {
    let start = digest.rows;
    let mut after = OrderId::from_uuid(Uuid::nil());
    loop {
        let rows = ::store::fetch_all!(
            tx,
            OrderRow,
            "SELECT order_id, store_id, currency, channel, origin, business_date, month, hour,
                    weekday, items, net_amount
             FROM sales_orders WHERE order_id > $1 ORDER BY order_id LIMIT $2",
            after,
            PAGE
        )?;
        let Some(last) = rows.last() else {
            return Ok(digest.rows - start);
        };
        after = last.order_id;
        rows.iter().for_each(|row| digest.row(row));
    }
}

async fn digest_lines(tx: &mut Tx, digest: &mut Digest) -> Result<u64, StoreError> {
    let start = digest.rows;
    let mut after = (OrderId::from_uuid(Uuid::nil()), 0);
    loop {
        let rows = ::store::fetch_all!(
            tx,
            LineRow,
            "SELECT order_id, line_no, store_id, business_date, item_sku, item_name, product_key,
                    product_name, category, quantity, net_amount
             FROM sales_lines WHERE (order_id, line_no) > ($1, $2)
             ORDER BY order_id, line_no LIMIT $3",
            after.0,
            after.1,
            PAGE
        )?;
        let Some(last) = rows.last() else {
            return Ok(digest.rows - start);
        };
        after = (last.order_id, last.line_no);
        rows.iter().for_each(|row| digest.row(row));
    }
}
