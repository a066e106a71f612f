//! Orders and their intents.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use ::store::{StoreError, Tx};
use common::ids::{IntentId, OrderId, StoreId};
use common::money::{Currency, Money};
use common::time::Timestamp;

use super::operations;
use crate::domain::intent::{Intent, IntentState, Method};
use crate::domain::payment::{Order, Payment};

#[derive(sqlx::FromRow)]
struct OrderRow {
    order_id: OrderId,
    voided_at: Option<Timestamp>,
    cancelled_at: Option<Timestamp>,
    closed_at: Option<Timestamp>,
}

impl From<OrderRow> for Order {
    fn from(row: OrderRow) -> Self {
        Self {
            id: row.order_id,
            voided: row.voided_at.is_some(),
            cancelled: row.cancelled_at.is_some(),
            closed: row.closed_at.is_some(),
        }
    }
}

#[derive(sqlx::FromRow)]
pub(super) struct IntentRow {
    id: IntentId,
    order_id: OrderId,
    store_id: StoreId,
    attempt: i64,
    command_id: String,
    #[sqlx(try_from = "String")]
    method: Method,
    amount: i64,
    currency: Currency,
    #[sqlx(try_from = "String")]
    state: IntentState,
    captured: i64,
    refunded: i64,
    decline_code: Option<String>,
    token: Option<String>,
    provider_reference: Option<String>,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl From<IntentRow> for Intent {
    fn from(row: IntentRow) -> Self {
        Self {
            id: row.id,
            order_id: row.order_id,
            store_id: row.store_id,
            attempt: row.attempt,
            command_id: row.command_id,
            method: row.method,
            amount: Money::new(row.amount, row.currency),
            state: row.state,
            captured: row.captured,
            refunded: row.refunded,
            decline_code: row.decline_code,
            // Only tokens are ever stored.
            token: row.token.and_then(|token| token.parse().ok()),
            provider_reference: row.provider_reference,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

#[derive(sqlx::FromRow)]
struct LockedRow {
    voided_at: Option<Timestamp>,
    cancelled_at: Option<Timestamp>,
    closed_at: Option<Timestamp>,
    #[sqlx(flatten)]
    intent: IntentRow,
}

impl LockedRow {
    fn split(self) -> (Order, Intent) {
        let order = OrderRow {
            order_id: self.intent.order_id,
            voided_at: self.voided_at,
            cancelled_at: self.cancelled_at,
            closed_at: self.closed_at,
        };
        (order.into(), self.intent.into())
    }
}

/// An order that is locked, and its latest payment.
#[derive(Debug)]
pub(crate) struct Held {
    /// The order.
    pub(crate) order: Order,
    /// Whether it was remembered before.
    pub(crate) is_known: bool,
    /// Its latest intent, with everything that was asked for it.
    pub(crate) latest: Option<Payment>,
}

/// Locks orders, which are remembered from now on even if they have no intent yet, and reads their
/// latest payments.
///
/// No two transactions wait for each other: each adds its new rows before it locks known ones, both
/// in the order of ids, and only another's insert can wait for a new row.
pub(crate) async fn lock_orders(
    tx: &mut Tx,
    orders: &BTreeSet<OrderId>,
    now: Timestamp,
) -> Result<BTreeMap<OrderId, Held>, StoreError> {
    let wanted: Vec<_> = orders.iter().collect();
    let new = ::store::insert_many_returning!(
        tx,
        (OrderId,),
        "INSERT INTO payment_orders (order_id, created_at)",
        wanted,
        |id| [id, now],
        "ON CONFLICT DO NOTHING RETURNING order_id"
    )?;
    let new: BTreeSet<_> = new.into_iter().map(|(id,)| id).collect();
    let known: Vec<_> = orders.difference(&new).collect();
    let rows = ::store::fetch_in_locked!(
        tx,
        OrderRow,
        "SELECT order_id, voided_at, cancelled_at, closed_at
         FROM payment_orders WHERE order_id IN",
        known,
        "ORDER BY order_id"
    )?;
    let locked = rows.into_iter().map(|row| (Order::from(row), true));
    let all = new.iter().map(|id| (Order::new(*id), false)).chain(locked);
    let hold = |(order, is_known): (Order, bool)| Held {
        order,
        is_known,
        latest: None,
    };
    let mut held: BTreeMap<_, _> = all.map(|locked| (locked.0.id, hold(locked))).collect();
    let intents = list_latest_intents(tx, &known).await?;
    let with_orders = intents.into_iter().filter_map(|intent| {
        let order = held.get(&intent.order_id)?.order;
        Some((order, intent))
    });
    for payment in complete(tx, with_orders.collect()).await? {
        if let Some(held) = held.get_mut(&payment.order.id) {
            held.latest = Some(payment);
        }
    }
    Ok(held)
}

/// The orders' latest intents.
async fn list_latest_intents(tx: &mut Tx, orders: &[&OrderId]) -> Result<Vec<Intent>, StoreError> {
    let rows = ::store::fetch_in!(
        tx,
        IntentRow,
        "SELECT id, order_id, store_id, attempt, command_id, method, amount, currency, state,
                captured, refunded, decline_code, token, provider_reference, created_at, updated_at
         FROM intents i
         WHERE attempt = (SELECT MAX(attempt) FROM intents l WHERE l.order_id = i.order_id)
           AND order_id IN",
        orders
    )?;
    Ok(rows.into_iter().map(Intent::from).collect())
}

/// An order's latest intent.
pub(crate) async fn find_intent_of_order(
    tx: &mut Tx,
    order: OrderId,
) -> Result<Option<Intent>, StoreError> {
    Ok(list_latest_intents(tx, &[&order]).await?.pop())
}

/// Locks the orders of intents and reads their payments, in no order. Intents that are not there
/// are left out.
///
/// As many as a batch has at most, because one statement must lock all orders in the order of their
/// ids, as every transaction does that locks several.
pub(crate) async fn lock_payments(
    tx: &mut Tx,
    intents: &[IntentId],
) -> Result<Vec<Payment>, StoreError> {
    debug_assert!(intents.len() <= ::store::MAX_BATCH, "one statement");
    let rows = ::store::fetch_in_locked!(
        tx,
        LockedRow,
        "SELECT o.voided_at, o.cancelled_at, o.closed_at,
                i.id, i.order_id, i.store_id, i.attempt, i.command_id, i.method, i.amount,
                i.currency, i.state, i.captured, i.refunded, i.decline_code, i.token,
                i.provider_reference, i.created_at, i.updated_at
         FROM payment_orders o JOIN intents i ON i.order_id = o.order_id
         WHERE i.id IN",
        intents,
        "ORDER BY o.order_id"
    )?;
    complete(tx, rows.into_iter().map(LockedRow::split).collect()).await
}

/// Completes the payments of locked orders.
async fn complete(tx: &mut Tx, intents: Vec<(Order, Intent)>) -> Result<Vec<Payment>, StoreError> {
    let ids: Vec<_> = intents.iter().map(|(_, intent)| intent.id).collect();
    let mut operations: HashMap<_, Vec<_>> = HashMap::with_capacity(ids.len());
    for operation in operations::list_of_intents(tx, &ids).await? {
        let of_intent = operations.entry(operation.intent_id).or_default();
        of_intent.push(operation);
    }
    let payments = intents.into_iter().map(|(order, intent)| Payment {
        operations: operations.remove(&intent.id).unwrap_or_default(),
        order,
        intent,
    });
    Ok(payments.collect())
}

/// Stores new intents.
pub(crate) async fn insert_intents(tx: &mut Tx, intents: &[&Intent]) -> Result<(), StoreError> {
    ::store::insert_many!(
        tx,
        "INSERT INTO intents
             (id, order_id, store_id, attempt, command_id, method, amount, currency, state,
              captured, refunded, decline_code, token, provider_reference, created_at, updated_at)",
        intents,
        |intent| [
            intent.id,
            intent.order_id,
            intent.store_id,
            intent.attempt,
            &intent.command_id,
            intent.method.as_str(),
            intent.amount.amount,
            intent.amount.currency,
            intent.state.as_str(),
            intent.captured,
            intent.refunded,
            &intent.decline_code,
            intent.token.as_ref().map(|token| token.expose()),
            &intent.provider_reference,
            intent.created_at,
            intent.updated_at
        ]
    )?;
    Ok(())
}

/// Stores what changed in intents.
pub(crate) async fn update_intents(tx: &mut Tx, intents: &[&Intent]) -> Result<(), StoreError> {
    let updated = ::store::update_many!(
        tx,
        "UPDATE intents
         SET state = new.column2, captured = new.column3, refunded = new.column4,
             decline_code = new.column5, token = new.column6, provider_reference = new.column7,
             updated_at = new.column8",
        intents,
        |intent| [
            intent.id,
            intent.state.as_str(),
            intent.captured,
            intent.refunded,
            &intent.decline_code,
            intent.token.as_ref().map(|token| token.expose()),
            &intent.provider_reference,
            intent.updated_at
        ],
        "WHERE intents.id = new.column1"
    )?;
    debug_assert_eq!(updated, intents.len() as u64, "locked intents are there");
    Ok(())
}

/// The order must not hold money any more.
pub(crate) async fn update_order_voided(
    tx: &mut Tx,
    order: OrderId,
    now: Timestamp,
) -> Result<(), StoreError> {
    ::store::execute!(
        tx,
        "UPDATE payment_orders SET voided_at = $1 WHERE order_id = $2 AND voided_at IS NULL",
        now,
        order
    )?;
    Ok(())
}

/// The orders were confirmed and are cancelled; their money goes back.
pub(crate) async fn update_orders_cancelled(
    tx: &mut Tx,
    orders: &[OrderId],
    now: Timestamp,
) -> Result<(), StoreError> {
    ::store::execute_in!(
        tx,
        "UPDATE payment_orders
         SET cancelled_at = COALESCE(cancelled_at, $1), voided_at = COALESCE(voided_at, $1)
         WHERE order_id IN",
        orders,
        now
    )?;
    Ok(())
}

/// The cancelled orders were told that they hold no money.
pub(crate) async fn update_orders_closed(
    tx: &mut Tx,
    orders: &[OrderId],
    now: Timestamp,
) -> Result<(), StoreError> {
    ::store::execute_in!(
        tx,
        "UPDATE payment_orders SET closed_at = $1 WHERE closed_at IS NULL AND order_id IN",
        orders,
        now
    )?;
    Ok(())
}
