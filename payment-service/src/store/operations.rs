//! What providers were asked.

use ::store::{StoreError, Tx};
use common::ids::IntentId;
use common::money::{Currency, Money};
use common::time::Timestamp;

use crate::domain::operation::{Kind, Operation, OperationId, OperationState, Request};

#[derive(sqlx::FromRow)]
struct Row {
    id: OperationId,
    intent_id: IntentId,
    #[sqlx(try_from = "String")]
    kind: Kind,
    attempt: i64,
    amount: i64,
    currency: Currency,
    #[sqlx(try_from = "String")]
    state: OperationState,
    code: Option<String>,
    reason: Option<String>,
    requested_by: Option<String>,
    request_key: Option<String>,
    traceparent: Option<String>,
    uncertain: bool,
    sends: i64,
    asks: i64,
    sent_at: Option<Timestamp>,
    next_ask_at: Timestamp,
    created_at: Timestamp,
    settled_at: Option<Timestamp>,
}

impl From<Row> for Operation {
    fn from(row: Row) -> Self {
        let request = row.requested_by.zip(row.request_key);
        Self {
            id: row.id,
            intent_id: row.intent_id,
            kind: row.kind,
            attempt: row.attempt,
            amount: Money::new(row.amount, row.currency),
            state: row.state,
            code: row.code,
            reason: row.reason,
            request: request.map(|(caller, key)| Request { caller, key }),
            traceparent: row.traceparent,
            uncertain: row.uncertain,
            sends: row.sends,
            asks: row.asks,
            sent_at: row.sent_at,
            next_ask_at: row.next_ask_at,
            created_at: row.created_at,
            settled_at: row.settled_at,
        }
    }
}

/// An intent's operations, oldest first.
pub(crate) async fn list_of_intent(
    tx: &mut Tx,
    intent: IntentId,
) -> Result<Vec<Operation>, StoreError> {
    list_of_intents(tx, &[intent]).await
}

/// The operations of several intents, each intent's oldest first.
pub(crate) async fn list_of_intents(
    tx: &mut Tx,
    intents: &[IntentId],
) -> Result<Vec<Operation>, StoreError> {
    let rows = ::store::fetch_in!(
        tx,
        Row,
        "SELECT id, intent_id, kind, attempt, amount, currency, state, code, reason,
                requested_by, request_key, traceparent, uncertain, sends, asks, sent_at,
                next_ask_at, created_at, settled_at
         FROM operations WHERE intent_id IN",
        intents
    )?;
    let mut operations: Vec<_> = rows.into_iter().map(Operation::from).collect();
    operations.sort_by_key(|row| (row.created_at, row.kind.as_str(), row.attempt));
    Ok(operations)
}

/// Stores new operations.
pub(crate) async fn insert(tx: &mut Tx, operations: &[&Operation]) -> Result<(), StoreError> {
    ::store::insert_many!(
        tx,
        "INSERT INTO operations
             (id, intent_id, kind, attempt, amount, currency, state, code, reason, requested_by,
              request_key, traceparent, uncertain, sends, asks, sent_at, next_ask_at, created_at,
              settled_at)",
        operations,
        |row| [
            row.id,
            row.intent_id,
            row.kind.as_str(),
            row.attempt,
            row.amount.amount,
            row.amount.currency,
            row.state.as_str(),
            &row.code,
            &row.reason,
            row.request.as_ref().map(|request| request.caller.as_str()),
            row.request.as_ref().map(|request| request.key.as_str()),
            &row.traceparent,
            row.uncertain,
            row.sends,
            row.asks,
            row.sent_at,
            row.next_ask_at,
            row.created_at,
            row.settled_at
        ]
    )?;
    Ok(())
}

/// Stores what changed in operations.
pub(crate) async fn update(tx: &mut Tx, operations: &[&Operation]) -> Result<(), StoreError> {
    let updated = ::store::update_many!(
        tx,
        "UPDATE operations
         SET state = new.column2, code = new.column3, uncertain = new.column4,
             sends = new.column5, asks = new.column6, sent_at = new.column7,
             next_ask_at = new.column8, settled_at = new.column9",
        operations,
        |row| [
            row.id,
            row.state.as_str(),
            &row.code,
            row.uncertain,
            row.sends,
            row.asks,
            row.sent_at,
            row.next_ask_at,
            row.settled_at
        ],
        "WHERE operations.id = new.column1"
    )?;
    debug_assert_eq!(updated, operations.len() as u64, "they were read before");
    Ok(())
}

/// An operation that somebody has to look after, and whose it is.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct Due {
    /// The operation.
    pub(crate) id: OperationId,
    /// Its intent.
    pub(crate) intent_id: IntentId,
    /// In which trace it was asked for.
    pub(crate) traceparent: Option<String>,
}

/// Operations that are due, the longest overdue first.
pub(crate) async fn list_due(
    tx: &mut Tx,
    now: Timestamp,
    limit: u32,
) -> Result<Vec<Due>, StoreError> {
    ::store::fetch_all!(
        tx,
        Due,
        "SELECT id, intent_id, traceparent FROM operations
         WHERE settled_at IS NULL AND next_ask_at <= $1
         ORDER BY next_ask_at LIMIT $2",
        now,
        i64::from(limit)
    )
}

/// Puts off an operation that could not be taken up, so that it does not hold up the others.
pub(crate) async fn postpone(
    tx: &mut Tx,
    id: OperationId,
    until: Timestamp,
) -> Result<(), StoreError> {
    ::store::execute!(
        tx,
        "UPDATE operations SET next_ask_at = $1 WHERE id = $2 AND settled_at IS NULL",
        until,
        id
    )?;
    Ok(())
}

/// How many operations stay unsettled that were stored before `cutoff`, or were refused again and
/// again.
pub(crate) async fn count_stuck(tx: &mut Tx, cutoff: Timestamp) -> Result<i64, StoreError> {
    let (stuck,) = ::store::fetch_one!(
        tx,
        (i64,),
        "SELECT COUNT(*) FROM operations
         WHERE settled_at IS NULL AND (created_at < $1 OR (kind <> 'refund' AND attempt > 9))",
        cutoff
    )?;
    Ok(stuck)
}
