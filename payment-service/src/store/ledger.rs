//! The money ledger: rows are only ever added.

use ::store::{StoreError, Tx};
use common::ids::StoreId;
use common::money::{Currency, Money};
use common::time::Timestamp;

use crate::domain::intent::Intent;
use crate::domain::ledger::{Account, Booking};
use crate::domain::operation::OperationId;

/// What an operation of an intent moved.
pub(crate) type Booked<'a> = (OperationId, &'a Intent, &'a Booking);

/// Books what operations moved.
pub(crate) async fn insert_bookings(
    tx: &mut Tx,
    booked: &[Booked<'_>],
    now: Timestamp,
) -> Result<(), StoreError> {
    ::store::insert_many!(
        tx,
        "INSERT INTO ledger_transactions (id, intent_id, store_id, booked_at)",
        booked,
        |(operation, intent, _)| [operation, intent.id, intent.store_id, now]
    )?;
    let entries_of = |(operation, intent, booking): &Booked<'_>| {
        let (operation, store) = (*operation, intent.store_id);
        let entries = (1_i64..).zip(booking.entries().to_vec());
        entries.map(move |(number, entry)| (operation, number, store, entry))
    };
    let rows: Vec<_> = booked.iter().flat_map(entries_of).collect();
    ::store::insert_many!(
        tx,
        "INSERT INTO ledger_entries
             (transaction_id, entry_no, store_id, account, amount, currency)",
        rows,
        |(operation, number, store, entry)| [
            operation,
            number,
            store,
            entry.account.as_str(),
            entry.amount.amount,
            entry.amount.currency
        ]
    )?;
    Ok(())
}

/// The balance of an account in one currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Balance {
    /// The account.
    pub(crate) account: Account,
    /// Debits less credits.
    pub(crate) balance: Money,
}

#[derive(sqlx::FromRow)]
struct BalanceRow {
    #[sqlx(try_from = "String")]
    account: Account,
    currency: Currency,
    balance: i64,
}

/// The balances of one store, or of all of them together.
pub(crate) async fn list_balances(
    tx: &mut Tx,
    store: Option<StoreId>,
) -> Result<Vec<Balance>, StoreError> {
    let rows = match store {
        Some(store) => ::store::fetch_all!(
            tx,
            BalanceRow,
            "SELECT account, currency, CAST(SUM(amount) AS bigint) AS balance
             FROM ledger_entries WHERE store_id = $1
             GROUP BY account, currency ORDER BY account, currency",
            store
        )?,
        None => ::store::fetch_all!(
            tx,
            BalanceRow,
            "SELECT account, currency, CAST(SUM(amount) AS bigint) AS balance
             FROM ledger_entries GROUP BY account, currency ORDER BY account, currency"
        )?,
    };
    let balances = rows.into_iter().map(|row| Balance {
        account: row.account,
        balance: Money::new(row.balance, row.currency),
    });
    Ok(balances.collect())
}

/// How many transactions do not sum to zero. There is none.
pub(crate) async fn count_unbalanced(tx: &mut Tx) -> Result<i64, StoreError> {
    let (unbalanced,) = ::store::fetch_one!(
        tx,
        (i64,),
        "SELECT COUNT(*) FROM (
             SELECT transaction_id FROM ledger_entries
             GROUP BY transaction_id, currency HAVING SUM(amount) <> 0
         ) AS unbalanced"
    )?;
    Ok(unbalanced)
}
