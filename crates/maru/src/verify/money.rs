//! Invariant 2: every ledger transaction sums to zero, nothing is refunded that was not captured, and
//! the provider's book equals ours.

use anyhow::Result;
use contracts::services::ServiceName;
use sqlx::FromRow;
use store::Tx;
use uuid::Uuid;

use super::databases::Databases;
use super::verdict::Verdict;

/// Judges the money.
///
/// # Errors
/// When the payment database cannot be read.
pub(super) async fn check(databases: &Databases) -> Result<Verdict> {
    let mut verdict = Verdict::new(
        2,
        "Money: the ledger balances and the provider's book is ours",
    );
    let mut tx = databases.read(ServiceName::Payment).await?;
    totals(&mut tx, &mut verdict).await?;
    ledger_balances(&mut tx, &mut verdict).await?;
    ledger_is_what_intents_say(&mut tx, &mut verdict).await?;
    refunds_within_captures(&mut tx, &mut verdict).await?;
    provider_knows_what_we_know(&mut tx, &mut verdict).await?;
    we_know_what_provider_knows(&mut tx, &mut verdict).await?;
    Ok(verdict)
}

async fn totals(tx: &mut Tx, verdict: &mut Verdict) -> Result<()> {
    let (intents, captured, refunded) = store::fetch_one!(
        tx,
        (i64, i64, i64),
        "SELECT CAST(COUNT(*) AS bigint), CAST(COALESCE(SUM(captured), 0) AS bigint), \
                CAST(COALESCE(SUM(refunded), 0) AS bigint) FROM intents"
    )?;
    verdict.figure("intents", intents);
    verdict.figure("captured", captured);
    verdict.figure("refunded", refunded);
    let (book_captured, book_refunded) = store::fetch_one!(
        tx,
        (i64, i64),
        "SELECT CAST(COALESCE(SUM(captured), 0) AS bigint), \
                CAST(COALESCE(SUM(refunded), 0) AS bigint) FROM sandbox_payments"
    )?;
    verdict.figure("captured by the provider", book_captured);
    verdict.figure("refunded by the provider", book_refunded);
    Ok(())
}

async fn ledger_balances(tx: &mut Tx, verdict: &mut Verdict) -> Result<()> {
    let (transactions, entries) = store::fetch_one!(
        tx,
        (i64, i64),
        "SELECT CAST((SELECT COUNT(*) FROM ledger_transactions) AS bigint), \
                CAST((SELECT COUNT(*) FROM ledger_entries) AS bigint)"
    )?;
    verdict.figure("ledger transactions", transactions);
    verdict.figure("ledger entries", entries);
    let unbalanced = store::fetch_all!(
        tx,
        (Uuid, String, i64),
        "SELECT transaction_id, currency, CAST(SUM(amount) AS bigint) FROM ledger_entries \
         GROUP BY transaction_id, currency HAVING SUM(amount) <> 0"
    )?;
    for (transaction, currency, sum) in unbalanced {
        verdict.fault(format!(
            "ledger transaction {transaction} sums to {sum} {currency}"
        ));
    }
    let empty = store::fetch_all!(
        tx,
        (Uuid,),
        "SELECT t.id FROM ledger_transactions t \
         LEFT JOIN ledger_entries e ON e.transaction_id = t.id WHERE e.transaction_id IS NULL"
    )?;
    for (transaction,) in empty {
        verdict.fault(format!("ledger transaction {transaction} has no entries"));
    }
    Ok(())
}

async fn refunds_within_captures(tx: &mut Tx, verdict: &mut Verdict) -> Result<()> {
    let beyond = store::fetch_all!(
        tx,
        (Uuid, i64, i64, i64),
        "SELECT id, amount, captured, refunded FROM intents \
         WHERE refunded > captured OR captured > amount"
    )?;
    for (intent, amount, captured, refunded) in beyond {
        verdict.fault(format!(
            "intent {intent} over {amount} captured {captured} and refunded {refunded}"
        ));
    }
    Ok(())
}

/// The ledger books what the intents say was taken and given back.
async fn ledger_is_what_intents_say(tx: &mut Tx, verdict: &mut Verdict) -> Result<()> {
    let differing = store::fetch_all!(
        tx,
        BookedRow,
        "SELECT i.id, i.captured, i.refunded, \
                CAST(COALESCE(SUM(CASE WHEN e.account = 'sales_revenue' THEN -e.amount END), 0) \
                     AS bigint) AS booked_sales, \
                CAST(COALESCE(SUM(CASE WHEN e.account = 'refunds' THEN e.amount END), 0) \
                     AS bigint) AS booked_refunds \
         FROM intents i \
         LEFT JOIN ledger_transactions t ON t.intent_id = i.id \
         LEFT JOIN ledger_entries e ON e.transaction_id = t.id \
         GROUP BY i.id, i.captured, i.refunded \
         HAVING i.captured <> COALESCE(SUM(CASE WHEN e.account = 'sales_revenue' THEN -e.amount END), 0) \
             OR i.refunded <> COALESCE(SUM(CASE WHEN e.account = 'refunds' THEN e.amount END), 0)"
    )?;
    for row in differing {
        verdict.fault(format!(
            "intent {} captured {} and refunded {}, but the ledger has {} and {}",
            row.id, row.captured, row.refunded, row.booked_sales, row.booked_refunds
        ));
    }
    Ok(())
}

#[derive(FromRow)]
struct BookedRow {
    id: Uuid,
    captured: i64,
    refunded: i64,
    booked_sales: i64,
    booked_refunds: i64,
}

/// Every card payment of ours stands in the provider's book, over the same amounts.
async fn provider_knows_what_we_know(tx: &mut Tx, verdict: &mut Verdict) -> Result<()> {
    let differing = store::fetch_all!(
        tx,
        ProviderRow,
        "SELECT i.id, i.state, i.captured, i.refunded, i.currency, \
                p.captured AS book_captured, p.refunded AS book_refunded, \
                p.currency AS book_currency, p.voided AS book_voided \
         FROM intents i LEFT JOIN sandbox_payments p ON p.reference = i.provider_reference \
         WHERE i.method = 'card' AND (i.captured > 0 OR i.provider_reference IS NOT NULL) \
           AND (p.reference IS NULL OR p.captured <> i.captured OR p.refunded <> i.refunded \
                OR p.currency <> i.currency OR p.voided <> (i.state = 'voided'))"
    )?;
    for row in differing {
        let ours = format!(
            "{}, captured {} and refunded {} {}",
            row.state, row.captured, row.refunded, row.currency
        );
        let book = match (row.book_captured, row.book_refunded) {
            (Some(captured), Some(refunded)) => format!(
                "captured {captured} and refunded {refunded} {}{}",
                row.book_currency.unwrap_or_default(),
                if row.book_voided == Some(true) {
                    ", voided"
                } else {
                    ""
                }
            ),
            _ => "nothing".to_owned(),
        };
        verdict.fault(format!(
            "intent {} is {ours}; the provider has {book}",
            row.id
        ));
    }
    Ok(())
}

#[derive(FromRow)]
struct ProviderRow {
    id: Uuid,
    state: String,
    captured: i64,
    refunded: i64,
    currency: String,
    book_captured: Option<i64>,
    book_refunded: Option<i64>,
    book_currency: Option<String>,
    book_voided: Option<bool>,
}

/// The provider holds nobody's money that we do not know of.
async fn we_know_what_provider_knows(tx: &mut Tx, verdict: &mut Verdict) -> Result<()> {
    let unknown = store::fetch_all!(
        tx,
        (String, i64, String, i64, i64),
        "SELECT p.reference, p.amount, p.currency, p.captured, p.refunded FROM sandbox_payments p \
         WHERE NOT p.voided \
           AND NOT EXISTS (SELECT 1 FROM intents i WHERE i.provider_reference = p.reference)"
    )?;
    for (reference, amount, currency, captured, refunded) in unknown {
        verdict.fault(format!(
            "the provider's payment {reference} over {amount} {currency} (captured {captured}, \
             refunded {refunded}) belongs to no intent"
        ));
    }
    Ok(())
}
