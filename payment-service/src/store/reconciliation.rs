//! What the reconciliation with a provider compares.

use ::store::{StoreError, Tx};
use common::money::{Currency, Money};

use crate::domain::intent::Method;
use crate::domain::operation::{Kind, OperationId, OperationState};
use crate::provider::BookEntry;

#[derive(sqlx::FromRow)]
struct Row {
    id: OperationId,
    #[sqlx(try_from = "String")]
    kind: Kind,
    amount: i64,
    currency: Currency,
    #[sqlx(try_from = "String")]
    state: OperationState,
}

/// One of our operations as the provider's book should show it; `None` if it should not be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OurEntry {
    /// Its key.
    pub(crate) key: OperationId,
    /// How the book should show it.
    pub(crate) expected: Expected,
}

/// How a provider's book should show an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    /// Like this.
    Line(BookEntry),
    /// Not at all: it never got there.
    Nothing,
    /// Nobody knows yet.
    Unsettled,
}

impl From<Row> for OurEntry {
    fn from(row: Row) -> Self {
        let line = |done| {
            Expected::Line(BookEntry {
                key: row.id,
                kind: row.kind,
                amount: Money::new(row.amount, row.currency),
                done,
            })
        };
        let expected = match row.state {
            OperationState::Succeeded => line(true),
            OperationState::Declined => line(false),
            OperationState::Abandoned => Expected::Nothing,
            OperationState::Pending | OperationState::Unknown => Expected::Unsettled,
        };
        Self {
            key: row.id,
            expected,
        }
    }
}

/// The operations that went to a provider, with keys after `after`, in the order of keys. An
/// authorization that was declined for want of a provider never got there.
pub(crate) async fn list_operations(
    tx: &mut Tx,
    after: Option<OperationId>,
    limit: u32,
) -> Result<Vec<OurEntry>, StoreError> {
    let rows = ::store::fetch_all!(
        tx,
        Row,
        "SELECT o.id, o.kind, o.amount, o.currency,
                CASE WHEN o.state = 'declined' AND o.code = 'provider_unavailable'
                     THEN 'abandoned' ELSE o.state END AS state
         FROM operations o JOIN intents i ON i.id = o.intent_id
         WHERE i.method = $1 AND ($2 IS NULL OR o.id > $2)
         ORDER BY o.id LIMIT $3",
        Method::Card.as_str(),
        after,
        i64::from(limit)
    )?;
    Ok(rows.into_iter().map(OurEntry::from).collect())
}

/// One of our operations as the provider's book should show it.
pub(crate) async fn find_operation(
    tx: &mut Tx,
    key: OperationId,
) -> Result<Option<OurEntry>, StoreError> {
    let row = ::store::fetch_optional!(
        tx,
        Row,
        "SELECT id, kind, amount, currency,
                CASE WHEN state = 'declined' AND code = 'provider_unavailable'
                     THEN 'abandoned' ELSE state END AS state
         FROM operations WHERE id = $1",
        key
    )?;
    Ok(row.map(OurEntry::from))
}

/// The fold of all card intents in one currency.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub(crate) struct IntentTotals {
    /// The currency.
    pub(crate) currency: Currency,
    /// Minor units captured.
    pub(crate) captured: i64,
    /// Minor units refunded.
    pub(crate) refunded: i64,
}

/// What all intents of a method captured and refunded.
pub(crate) async fn list_totals(
    tx: &mut Tx,
    method: Method,
) -> Result<Vec<IntentTotals>, StoreError> {
    ::store::fetch_all!(
        tx,
        IntentTotals,
        "SELECT currency, CAST(SUM(captured) AS bigint) AS captured,
                CAST(SUM(refunded) AS bigint) AS refunded
         FROM intents WHERE method = $1 GROUP BY currency ORDER BY currency",
        method.as_str()
    )
}
