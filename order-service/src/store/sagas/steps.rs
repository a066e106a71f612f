//! Every attempt at every step of a saga.

use ::store::{StoreError, Tx};
use common::ids::OrderId;
use common::time::Timestamp;

/// One attempt at a step.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct StepRow {
    /// From 1, without gaps.
    pub(crate) seq: i64,
    pub(crate) step: String,
    pub(crate) attempt: i64,
    pub(crate) started_at: Timestamp,
    pub(crate) ended_at: Timestamp,
    pub(crate) outcome: String,
    /// A code or a few words.
    pub(crate) detail: Option<String>,
}

pub(crate) async fn insert_steps(
    tx: &mut Tx,
    steps: &[(OrderId, &StepRow)],
) -> Result<(), StoreError> {
    ::store::insert_many!(
        tx,
        "INSERT INTO saga_steps (order_id, seq, step, attempt, started_at, ended_at, outcome,
                                 detail)",
        steps,
        |(order, step)| [
            *order,
            step.seq,
            &step.step,
            step.attempt,
            step.started_at,
            step.ended_at,
            &step.outcome,
            step.detail.as_deref(),
        ]
    )?;
    Ok(())
}

pub(crate) async fn list_steps(tx: &mut Tx, order: OrderId) -> Result<Vec<StepRow>, StoreError> {
    ::store::fetch_all!(
        tx,
        StepRow,
        "SELECT seq, step, attempt, started_at, ended_at, outcome, detail
         FROM saga_steps WHERE order_id = $1 ORDER BY seq",
        order
    )
}
