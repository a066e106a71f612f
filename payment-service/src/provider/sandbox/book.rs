//! SQL of the sandbox's book.

use ::store::{StoreError, Tx};
use common::money::{Currency, Money};
use common::time::Timestamp;

use super::script::Script;
use crate::domain::operation::{Kind, OperationId, Settlement};
use crate::provider::BookEntry;

/// One request that the sandbox took.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) key: OperationId,
    pub(super) kind: Kind,
    pub(super) reference: Option<String>,
    pub(super) amount: Money,
    /// The code with which it was declined.
    pub(super) decline: Option<String>,
    /// Until then it is being processed.
    pub(super) done_at: Timestamp,
}

impl Line {
    pub(super) fn settlement(&self) -> Settlement {
        match &self.decline {
            Some(code) => Settlement::Declined { code: code.clone() },
            None => Settlement::Succeeded {
                reference: self.reference.clone(),
            },
        }
    }

    pub(super) fn into_entry(self) -> BookEntry {
        BookEntry {
            key: self.key,
            kind: self.kind,
            amount: self.amount,
            done: self.decline.is_none(),
        }
    }
}

/// A payment that the sandbox authorized.
#[derive(sqlx::FromRow)]
pub(super) struct PaymentRow {
    pub(super) amount: i64,
    pub(super) currency: Currency,
    #[sqlx(try_from = "String")]
    pub(super) script: Script,
    pub(super) captured: i64,
    pub(super) refunded: i64,
    pub(super) voided: bool,
}

#[derive(sqlx::FromRow)]
struct LineRow {
    key: OperationId,
    #[sqlx(try_from = "String")]
    kind: Kind,
    reference: Option<String>,
    amount: i64,
    currency: Currency,
    decline: Option<String>,
    done_at: Timestamp,
}

impl From<LineRow> for Line {
    fn from(row: LineRow) -> Self {
        Self {
            key: row.key,
            kind: row.kind,
            reference: row.reference,
            amount: Money::new(row.amount, row.currency),
            decline: row.decline,
            done_at: row.done_at,
        }
    }
}

pub(super) async fn find_line(tx: &mut Tx, key: OperationId) -> Result<Option<Line>, StoreError> {
    let row = ::store::fetch_optional!(
        tx,
        LineRow,
        "SELECT key, kind, reference, amount, currency, decline, done_at
         FROM sandbox_operations WHERE key = $1",
        key
    )?;
    Ok(row.map(Line::from))
}

pub(super) async fn list_lines(
    tx: &mut Tx,
    after: Option<OperationId>,
    done_by: Timestamp,
    limit: u32,
) -> Result<Vec<Line>, StoreError> {
    let rows = ::store::fetch_all!(
        tx,
        LineRow,
        "SELECT key, kind, reference, amount, currency, decline, done_at
         FROM sandbox_operations
         WHERE ($1 IS NULL OR key > $1) AND done_at <= $2
         ORDER BY key LIMIT $3",
        after,
        done_by,
        i64::from(limit)
    )?;
    Ok(rows.into_iter().map(Line::from).collect())
}

/// Records a request, unless its key is in the book already; says which.
pub(super) async fn insert_line(
    tx: &mut Tx,
    line: &Line,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let inserted = ::store::execute!(
        tx,
        "INSERT INTO sandbox_operations
             (key, kind, reference, amount, currency, decline, done_at, recorded_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING",
        line.key,
        line.kind.as_str(),
        &line.reference,
        line.amount.amount,
        line.amount.currency,
        &line.decline,
        line.done_at,
        now
    )?;
    Ok(inserted == 1)
}

pub(super) async fn insert_payment(
    tx: &mut Tx,
    (reference, amount): (&str, Money),
    script: Script,
    now: Timestamp,
) -> Result<(), StoreError> {
    ::store::execute!(
        tx,
        "INSERT INTO sandbox_payments
             (reference, amount, currency, script, captured, refunded, voided, created_at)
         VALUES ($1, $2, $3, $4, 0, 0, FALSE, $5)",
        reference,
        amount.amount,
        amount.currency,
        script.as_str(),
        now
    )?;
    Ok(())
}

pub(super) async fn lock_payment(
    tx: &mut Tx,
    reference: &str,
) -> Result<Option<PaymentRow>, StoreError> {
    ::store::fetch_optional_locked!(
        tx,
        PaymentRow,
        "SELECT amount, currency, script, captured, refunded, voided
         FROM sandbox_payments WHERE reference = $1",
        reference
    )
}

pub(super) async fn apply(
    tx: &mut Tx,
    reference: &str,
    kind: Kind,
    amount: i64,
) -> Result<(), StoreError> {
    let captured = if kind == Kind::Capture { amount } else { 0 };
    let refunded = if kind == Kind::Refund { amount } else { 0 };
    ::store::execute!(
        tx,
        "UPDATE sandbox_payments
         SET captured = captured + $1, refunded = refunded + $2, voided = voided OR $3
         WHERE reference = $4",
        captured,
        refunded,
        kind == Kind::Void,
        reference
    )?;
    Ok(())
}
