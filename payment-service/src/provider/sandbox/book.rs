//! SQL of the sandbox's book.

use std::collections::{BTreeMap, BTreeSet, HashMap};

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
#[derive(Debug, sqlx::FromRow)]
pub(super) struct PaymentRow {
    pub(super) reference: String,
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
    Ok(find_lines(tx, &[key]).await?.remove(&key))
}

/// The lines of those keys that are in the book.
pub(super) async fn find_lines(
    tx: &mut Tx,
    keys: &[OperationId],
) -> Result<HashMap<OperationId, Line>, StoreError> {
    let rows = ::store::fetch_in!(
        tx,
        LineRow,
        "SELECT key, kind, reference, amount, currency, decline, done_at
         FROM sandbox_operations WHERE key IN",
        keys
    )?;
    Ok(rows.into_iter().map(|row| (row.key, row.into())).collect())
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

/// Records requests. Fails with a conflict when another process records one of their keys at the
/// same time. Give them in the order of keys, so that two such transactions do not wait for each
/// other.
pub(super) async fn insert_lines(
    tx: &mut Tx,
    lines: &[&Line],
    now: Timestamp,
) -> Result<(), StoreError> {
    ::store::insert_many!(
        tx,
        "INSERT INTO sandbox_operations
             (key, kind, reference, amount, currency, decline, done_at, recorded_at)",
        lines,
        |line| [
            line.key,
            line.kind.as_str(),
            &line.reference,
            line.amount.amount,
            line.amount.currency,
            &line.decline,
            line.done_at,
            now
        ]
    )?;
    Ok(())
}

/// Stores payments, new ones and those that are locked.
pub(super) async fn store_payments(
    tx: &mut Tx,
    payments: &[&PaymentRow],
    now: Timestamp,
) -> Result<(), StoreError> {
    ::store::insert_many!(
        tx,
        "INSERT INTO sandbox_payments
             (reference, amount, currency, script, captured, refunded, voided, created_at)",
        payments,
        |payment| [
            &payment.reference,
            payment.amount,
            payment.currency,
            payment.script.as_str(),
            payment.captured,
            payment.refunded,
            payment.voided,
            now
        ],
        "ON CONFLICT (reference) DO UPDATE SET captured = excluded.captured,
             refunded = excluded.refunded, voided = excluded.voided"
    )?;
    Ok(())
}

/// Locks those payments that there are, in the order of references.
pub(super) async fn lock_payments(
    tx: &mut Tx,
    references: &BTreeSet<&str>,
) -> Result<BTreeMap<String, PaymentRow>, StoreError> {
    let references: Vec<_> = references.iter().collect();
    let rows = ::store::fetch_in_locked!(
        tx,
        PaymentRow,
        "SELECT reference, amount, currency, script, captured, refunded, voided
         FROM sandbox_payments WHERE reference IN",
        references,
        "ORDER BY reference"
    )?;
    let named = rows.into_iter().map(|row| (row.reference.clone(), row));
    Ok(named.collect())
}
