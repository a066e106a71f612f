//! Orders and their intents.

use ::store::{StoreError, Tx};
use common::ids::{IntentId, OrderId, StoreId};
use common::money::{Currency, Money};
use common::time::Timestamp;

use super::operations;
use crate::domain::intent::{Intent, IntentState, Method};
use crate::domain::payment::{Order, Payment, Step};

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

/// Locks an order, which is remembered from now on even if it has no intent yet.
pub(crate) async fn lock_order(
    tx: &mut Tx,
    order: OrderId,
    now: Timestamp,
) -> Result<Order, StoreError> {
    // The update changes nothing; it is what locks a row that is there already.
    let row = ::store::fetch_one!(
        tx,
        OrderRow,
        "INSERT INTO payment_orders (order_id, created_at) VALUES ($1, $2)
         ON CONFLICT (order_id) DO UPDATE SET created_at = payment_orders.created_at
         RETURNING order_id, voided_at, cancelled_at, closed_at",
        order,
        now
    )?;
    Ok(row.into())
}

/// An order's latest intent.
pub(crate) async fn find_intent_of_order(
    tx: &mut Tx,
    order: OrderId,
) -> Result<Option<Intent>, StoreError> {
    let row = ::store::fetch_optional!(
        tx,
        IntentRow,
        "SELECT id, order_id, store_id, attempt, command_id, method, amount, currency, state,
                captured, refunded, decline_code, token, provider_reference, created_at, updated_at
         FROM intents WHERE order_id = $1 ORDER BY attempt DESC LIMIT 1",
        order
    )?;
    Ok(row.map(Intent::from))
}

/// Completes a locked order's payment.
pub(crate) async fn get_payment(
    tx: &mut Tx,
    order: Order,
    intent: Intent,
) -> Result<Payment, StoreError> {
    let operations = operations::list_of_intent(tx, intent.id).await?;
    Ok(Payment {
        order,
        intent,
        operations,
    })
}

/// Locks the order of an intent and reads its payment.
pub(crate) async fn lock_payment(
    tx: &mut Tx,
    intent: IntentId,
) -> Result<Option<Payment>, StoreError> {
    let row = ::store::fetch_optional_locked!(
        tx,
        LockedRow,
        "SELECT o.voided_at, o.cancelled_at, o.closed_at,
                i.id, i.order_id, i.store_id, i.attempt, i.command_id, i.method, i.amount,
                i.currency, i.state, i.captured, i.refunded, i.decline_code, i.token,
                i.provider_reference, i.created_at, i.updated_at
         FROM payment_orders o JOIN intents i ON i.order_id = o.order_id
         WHERE i.id = $1",
        intent
    )?;
    match row {
        None => Ok(None),
        Some(row) => {
            let order = OrderRow {
                order_id: row.intent.order_id,
                voided_at: row.voided_at,
                cancelled_at: row.cancelled_at,
                closed_at: row.closed_at,
            };
            get_payment(tx, order.into(), row.intent.into())
                .await
                .map(Some)
        }
    }
}

/// Stores a new intent.
pub(crate) async fn insert_intent(tx: &mut Tx, intent: &Intent) -> Result<(), StoreError> {
    ::store::execute!(
        tx,
        "INSERT INTO intents
             (id, order_id, store_id, attempt, command_id, method, amount, currency, state,
              captured, refunded, decline_code, token, provider_reference, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)",
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
    )?;
    Ok(())
}

/// Stores what a step changed in a payment.
pub(crate) async fn update_payment(
    tx: &mut Tx,
    payment: &Payment,
    step: &Step,
) -> Result<(), StoreError> {
    let changed = |ids: &[_]| {
        let operations = payment.operations.iter();
        operations
            .filter(|operation| ids.contains(&operation.id))
            .cloned()
            .collect::<Vec<_>>()
    };
    operations::insert(tx, &changed(&step.inserted)).await?;
    for operation in changed(&step.updated) {
        operations::update(tx, &operation).await?;
    }
    if step.intent_changed {
        update_intent(tx, &payment.intent).await?;
    }
    Ok(())
}

async fn update_intent(tx: &mut Tx, intent: &Intent) -> Result<(), StoreError> {
    let updated = ::store::execute!(
        tx,
        "UPDATE intents
         SET state = $1, captured = $2, refunded = $3, decline_code = $4, token = $5,
             provider_reference = $6, updated_at = $7
         WHERE id = $8",
        intent.state.as_str(),
        intent.captured,
        intent.refunded,
        &intent.decline_code,
        intent.token.as_ref().map(|token| token.expose()),
        &intent.provider_reference,
        intent.updated_at,
        intent.id
    )?;
    debug_assert_eq!(updated, 1, "a locked intent is there");
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

/// The order was confirmed and is cancelled; its money goes back.
pub(crate) async fn update_order_cancelled(
    tx: &mut Tx,
    order: OrderId,
    now: Timestamp,
) -> Result<(), StoreError> {
    ::store::execute!(
        tx,
        "UPDATE payment_orders
         SET cancelled_at = COALESCE(cancelled_at, $1), voided_at = COALESCE(voided_at, $1)
         WHERE order_id = $2",
        now,
        order
    )?;
    Ok(())
}

/// The cancelled order was told that it holds no money.
pub(crate) async fn update_order_closed(
    tx: &mut Tx,
    order: OrderId,
    now: Timestamp,
) -> Result<(), StoreError> {
    ::store::execute!(
        tx,
        "UPDATE payment_orders SET closed_at = $1 WHERE order_id = $2 AND closed_at IS NULL",
        now,
        order
    )?;
    Ok(())
}
