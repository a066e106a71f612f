//! Sagas, who works on them, and what they did.

use std::collections::HashSet;

use ::store::{Json, StoreError, Tx};
use common::ids::{IntentId, OrderId};
use common::time::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};

use crate::domain::order::Order;
use crate::domain::saga::{Action, CancelReason, Position, Saga, Undo, UndoTask};
use crate::error::UseCaseError;

mod steps;

pub(crate) use steps::{StepRow, insert_steps, list_steps};

/// A saga with what its driver has to know besides.
#[derive(Clone, Debug)]
pub(crate) struct StoredSaga {
    pub(crate) saga: Saga,
    /// Of the row, as it was last read or written.
    pub(crate) version: i64,
    pub(crate) steps_logged: i64,
    /// `None` once it has ended.
    pub(crate) next_attempt_at: Option<Timestamp>,
    pub(crate) leased_until: Option<Timestamp>,
    pub(crate) parked_at: Option<Timestamp>,
    /// Never read again once the payment is authorized: it is erased then.
    pub(crate) token: Option<SecretString>,
    pub(crate) origin: RequestOrigin,
}

/// The request that placed the order.
#[derive(Clone, Debug)]
pub(crate) struct RequestOrigin {
    pub(crate) caller: String,
    pub(crate) idempotency_key: String,
    pub(crate) request_id: String,
    pub(crate) traceparent: String,
}

#[derive(sqlx::FromRow)]
struct SagaRow {
    position: String,
    failed: i64,
    undo: Json<Vec<(String, u32)>>,
    cancel_reason: Option<String>,
    intent_id: Option<IntentId>,
    deadline: Timestamp,
    payment_token: Option<String>,
    version: i64,
    next_attempt_at: Option<Timestamp>,
    leased_until: Option<Timestamp>,
    parked_at: Option<Timestamp>,
    steps_logged: i64,
    caller: String,
    idempotency_key: String,
    request_id: String,
    traceparent: String,
}

impl SagaRow {
    fn into_saga(self, order: &Order) -> Result<StoredSaga, UseCaseError> {
        let corrupt = || UseCaseError::corrupt("the saga", order.id);
        let reason = self.cancel_reason.as_deref().map(CancelReason::parse);
        let saga = Saga {
            position: parse_position(&self).ok_or_else(corrupt)?,
            reason: match reason {
                None => None,
                Some(reason) => Some(reason.ok_or_else(corrupt)?),
            },
            intent_id: self.intent_id,
            deadline: self.deadline,
            free: order.is_free(),
            resumed: true,
        };
        Ok(StoredSaga {
            saga,
            version: self.version,
            steps_logged: self.steps_logged,
            next_attempt_at: self.next_attempt_at,
            leased_until: self.leased_until,
            parked_at: self.parked_at,
            token: self.payment_token.map(SecretString::from),
            origin: RequestOrigin {
                caller: self.caller,
                idempotency_key: self.idempotency_key,
                request_id: self.request_id,
                traceparent: self.traceparent,
            },
        })
    }
}

const UNDO: &str = "undo";
const CONFIRMED: &str = "confirmed";
const CANCELLED: &str = "cancelled";

fn parse_position(row: &SagaRow) -> Option<Position> {
    match row.position.as_str() {
        CONFIRMED => Some(Position::Confirmed),
        CANCELLED => Some(Position::Cancelled),
        UNDO => {
            let task = |(name, failed): &(String, u32)| {
                Some(UndoTask {
                    undo: Undo::parse(name)?,
                    failed: *failed,
                })
            };
            let tasks: Option<Vec<UndoTask>> = row.undo.0.iter().map(task).collect();
            tasks
                .filter(|tasks| !tasks.is_empty())
                .map(Position::Backward)
        }
        action => Some(Position::Forward {
            action: Action::parse(action)?,
            failed: u32::try_from(row.failed).ok()?,
        }),
    }
}

/// The columns that a position is kept in.
struct PositionColumns {
    position: &'static str,
    failed: i64,
    undo: Json<Vec<(&'static str, u32)>>,
}

impl From<&Position> for PositionColumns {
    fn from(position: &Position) -> Self {
        let (position, failed, undo) = match position {
            Position::Forward { action, failed } => (action.as_str(), *failed, Vec::new()),
            Position::Backward(tasks) => {
                let tasks = tasks.iter().map(|task| (task.undo.as_str(), task.failed));
                (UNDO, 0, tasks.collect())
            }
            Position::Confirmed => (CONFIRMED, 0, Vec::new()),
            Position::Cancelled => (CANCELLED, 0, Vec::new()),
        };
        Self {
            position,
            failed: i64::from(failed),
            undo: Json(undo),
        }
    }
}

/// Inserts the sagas of new orders, with the intent of their first run.
pub(crate) async fn insert_sagas(
    tx: &mut Tx,
    sagas: &[(OrderId, &StoredSaga)],
    now: Timestamp,
) -> Result<(), StoreError> {
    let rows = rows(sagas);
    ::store::insert_many!(
        tx,
        "INSERT INTO sagas (order_id, position, failed, undo, deadline, payment_token, version,
             next_attempt_at, leased_until, steps_logged, caller, idempotency_key, request_id,
             traceparent, updated_at)",
        rows,
        |(order, stored, columns)| [
            *order,
            columns.position,
            columns.failed,
            &columns.undo,
            stored.saga.deadline,
            stored.token.as_ref().map(SecretString::expose_secret),
            stored.version,
            stored.next_attempt_at,
            stored.leased_until,
            stored.steps_logged,
            &stored.origin.caller,
            &stored.origin.idempotency_key,
            &stored.origin.request_id,
            &stored.origin.traceparent,
            now,
        ]
    )?;
    Ok(())
}

/// Writes the sagas that nobody else wrote since they were read, and returns which those are.
/// Erases payment tokens that are not needed any more.
pub(crate) async fn update_sagas(
    tx: &mut Tx,
    sagas: &[(OrderId, &StoredSaga)],
    now: Timestamp,
) -> Result<HashSet<OrderId>, StoreError> {
    let rows = rows(sagas);
    let needed_token = |stored: &'_ StoredSaga| {
        let token = stored.token.as_ref().filter(|_| stored.saga.needs_token());
        token.map(|token| token.expose_secret().to_owned())
    };
    let updated: Vec<(OrderId,)> = ::store::update_many_returning!(
        tx,
        (OrderId,),
        "UPDATE sagas SET position = new.column3, failed = new.column4, undo = new.column5,
             cancel_reason = new.column6, intent_id = new.column7, payment_token = new.column8,
             next_attempt_at = new.column9, leased_until = new.column10, parked_at = new.column11,
             steps_logged = new.column12, updated_at = new.column13, version = sagas.version + 1",
        rows,
        |(order, stored, columns)| [
            *order,
            stored.version,
            columns.position,
            columns.failed,
            &columns.undo,
            stored.saga.reason.map(CancelReason::as_str),
            stored.saga.intent_id,
            needed_token(stored),
            stored.next_attempt_at,
            stored.leased_until,
            stored.parked_at,
            stored.steps_logged,
            now,
        ],
        "WHERE sagas.order_id = new.column1 AND sagas.version = new.column2
         RETURNING sagas.order_id"
    )?;
    Ok(updated.into_iter().map(|(order,)| order).collect())
}

fn rows<'a>(
    sagas: &[(OrderId, &'a StoredSaga)],
) -> Vec<(OrderId, &'a StoredSaga, PositionColumns)> {
    let columns = |stored: &StoredSaga| PositionColumns::from(&stored.saga.position);
    let sagas = sagas.iter();
    sagas
        .map(|(order, stored)| (*order, *stored, columns(stored)))
        .collect()
}

/// The saga of an order; imported orders have none.
pub(crate) async fn find_saga(
    tx: &mut Tx,
    order: &Order,
) -> Result<Option<StoredSaga>, UseCaseError> {
    let row = ::store::fetch_optional!(
        tx,
        SagaRow,
        "SELECT position, failed, undo, cancel_reason, intent_id, deadline, payment_token, version,
                next_attempt_at, leased_until, parked_at, steps_logged, caller, idempotency_key,
                request_id, traceparent
         FROM sagas WHERE order_id = $1",
        order.id
    )?;
    row.map(|row| row.into_saga(order)).transpose()
}

/// The newest order that a caller placed with an idempotency key.
pub(crate) async fn find_by_request(
    tx: &mut Tx,
    caller: &str,
    idempotency_key: &str,
) -> Result<Option<OrderId>, StoreError> {
    let row = ::store::fetch_optional!(
        tx,
        (OrderId,),
        "SELECT order_id FROM sagas WHERE caller = $1 AND idempotency_key = $2
         ORDER BY order_id DESC LIMIT 1",
        caller,
        idempotency_key
    )?;
    Ok(row.map(|(id,)| id))
}

/// Whether a saga is due that nobody works on.
pub(crate) async fn is_any_due(tx: &mut Tx, now: Timestamp) -> Result<bool, StoreError> {
    let due = ::store::fetch_optional!(
        tx,
        (OrderId,),
        "SELECT order_id FROM sagas
         WHERE next_attempt_at <= $1 AND (leased_until IS NULL OR leased_until <= $1) LIMIT 1",
        now
    )?;
    Ok(due.is_some())
}

/// Takes up to `limit` due sagas that nobody works on, longest due first, and leases them until
/// `leased_until`. Several replicas may do so at once.
pub(crate) async fn claim_due(
    tx: &mut Tx,
    now: Timestamp,
    leased_until: Timestamp,
    limit: i64,
) -> Result<Vec<OrderId>, StoreError> {
    let due = ::store::fetch_all_skip_locked!(
        tx,
        (OrderId,),
        "SELECT order_id FROM sagas
         WHERE next_attempt_at <= $1 AND (leased_until IS NULL OR leased_until <= $1)
         ORDER BY next_attempt_at LIMIT $2",
        now,
        limit
    )?;
    for (order,) in &due {
        ::store::execute!(
            tx,
            "UPDATE sagas SET leased_until = $1, version = version + 1 WHERE order_id = $2",
            leased_until,
            *order
        )?;
    }
    Ok(due.into_iter().map(|(order,)| order).collect())
}

/// Orders whose saga is parked, longest parked first.
pub(crate) async fn list_parked(
    tx: &mut Tx,
    after: (Timestamp, OrderId),
    limit: i64,
) -> Result<Vec<(Timestamp, OrderId)>, StoreError> {
    ::store::fetch_all!(
        tx,
        (Timestamp, OrderId),
        "SELECT parked_at, order_id FROM sagas
         WHERE parked_at IS NOT NULL AND (parked_at, order_id) > ($1, $2)
         ORDER BY parked_at, order_id LIMIT $3",
        after.0,
        after.1,
        limit
    )
}

/// How many sagas are parked.
pub(crate) async fn count_parked(tx: &mut Tx) -> Result<i64, StoreError> {
    let (count,) = ::store::fetch_one!(
        tx,
        (i64,),
        "SELECT COUNT(*) FROM sagas WHERE parked_at IS NOT NULL"
    )?;
    Ok(count)
}
