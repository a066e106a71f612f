//! Intents as people look at them.

use ::store::{StoreError, Tx};
use common::ids::{IntentId, OrderId, StoreId};

use super::payments::IntentRow;
use crate::domain::intent::Intent;

/// An intent, and whether an operation of it has an outcome that is not known.
#[derive(Clone, Debug)]
pub(crate) struct Listed {
    /// The intent.
    pub(crate) intent: Intent,
    /// Whether only the provider can tell where it stands.
    pub(crate) is_unknown: bool,
}

#[derive(sqlx::FromRow)]
struct ListedRow {
    is_unknown: bool,
    #[sqlx(flatten)]
    intent: IntentRow,
}

impl From<ListedRow> for Listed {
    fn from(row: ListedRow) -> Self {
        Self {
            intent: row.intent.into(),
            is_unknown: row.is_unknown,
        }
    }
}

/// The text of a listing: only the filter differs, so that each one can use its index.
macro_rules! select_listed {
    ($filter:literal) => {
        concat!(
            "SELECT EXISTS (
                        SELECT 1 FROM operations o
                        WHERE o.intent_id = i.id AND o.state = 'unknown' AND o.kind <> 'refund'
                    ) AS is_unknown,
                    i.id, i.order_id, i.store_id, i.attempt, i.command_id, i.method, i.amount,
                    i.currency, i.state, i.captured, i.refunded, i.decline_code, i.token,
                    i.provider_reference, i.created_at, i.updated_at
             FROM intents i WHERE ",
            $filter
        )
    };
}

/// One intent.
pub(crate) async fn find(tx: &mut Tx, id: IntentId) -> Result<Option<Listed>, StoreError> {
    let row = ::store::fetch_optional!(tx, ListedRow, select_listed!("i.id = $1"), id)?;
    Ok(row.map(Listed::from))
}

/// The intents of one order, newest first.
pub(crate) async fn list_of_order(
    tx: &mut Tx,
    order: OrderId,
    before: Option<IntentId>,
    limit: i64,
) -> Result<Vec<Listed>, StoreError> {
    let rows = ::store::fetch_all!(
        tx,
        ListedRow,
        select_listed!("i.order_id = $1 AND ($2 IS NULL OR i.id < $2) ORDER BY i.id DESC LIMIT $3"),
        order,
        before,
        limit
    )?;
    Ok(rows.into_iter().map(Listed::from).collect())
}

/// The intents of one store, newest first.
pub(crate) async fn list_of_store(
    tx: &mut Tx,
    store: StoreId,
    before: Option<IntentId>,
    limit: i64,
) -> Result<Vec<Listed>, StoreError> {
    let rows = ::store::fetch_all!(
        tx,
        ListedRow,
        select_listed!("i.store_id = $1 AND ($2 IS NULL OR i.id < $2) ORDER BY i.id DESC LIMIT $3"),
        store,
        before,
        limit
    )?;
    Ok(rows.into_iter().map(Listed::from).collect())
}

/// All intents, newest first.
pub(crate) async fn list_all(
    tx: &mut Tx,
    before: Option<IntentId>,
    limit: i64,
) -> Result<Vec<Listed>, StoreError> {
    let rows = ::store::fetch_all!(
        tx,
        ListedRow,
        select_listed!("($1 IS NULL OR i.id < $1) ORDER BY i.id DESC LIMIT $2"),
        before,
        limit
    )?;
    Ok(rows.into_iter().map(Listed::from).collect())
}
