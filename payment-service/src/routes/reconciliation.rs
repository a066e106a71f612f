//! Whether the provider's book, our payments and the ledger agree.

use actix_web::{HttpResponse, get, web};
use common::auth::{Operator, access};
use common::error::{ApiError, Problem};
use common::money::Money;
use common::time::Timestamp;
use serde::Serialize;

use crate::app::AppState;
use crate::app::reconcile::{AccountCheck, Difference, Reconciliation, reconcile};
use crate::domain::operation::OperationId;
use crate::provider::BookEntry;

/// What a comparison found.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct ReconciliationOut {
    checked_at: Timestamp,
    provider: &'static str,
    /// Whether everything agrees.
    agrees: bool,
    /// Our operations that went to the provider.
    operations: u64,
    /// Lines in the provider's book.
    book_entries: u64,
    /// Operations whose outcome is not known yet.
    unsettled: u64,
    difference_count: u64,
    /// The first thousand.
    differences: Vec<DifferenceOut>,
    /// Ledger transactions that do not sum to zero.
    unbalanced_transactions: i64,
    accounts: Vec<AccountOut>,
}

/// An operation that is not the same in both books.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct DifferenceOut {
    operation_id: OperationId,
    /// `missing_here`, `missing_there` or `differs`.
    kind: &'static str,
    ours: Option<LineOut>,
    theirs: Option<LineOut>,
}

/// A line of a book.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct LineOut {
    kind: &'static str,
    amount: Money,
    done: bool,
}

/// An account of money beside what the payments say that it holds.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct AccountOut {
    account: &'static str,
    ledger: Money,
    payments: Money,
}

/// Compares the provider's book with ours and the ledger with the payments. Services and system
/// operators. Changes nothing.
#[access(chain)]
#[utoipa::path(
    tag = "internal",
    responses((status = 200, body = ReconciliationOut), (status = 503, body = Problem))
)]
#[get("/internal/reconciliation")]
pub(super) async fn read(
    _caller: Operator,
    state: web::Data<AppState>,
) -> Result<HttpResponse, ApiError> {
    let found = reconcile(&state).await?;
    Ok(HttpResponse::Ok().json(ReconciliationOut::from(found)))
}

impl From<Reconciliation> for ReconciliationOut {
    fn from(found: Reconciliation) -> Self {
        let accounts_agree = found
            .accounts
            .iter()
            .all(|check| check.ledger == check.payments);
        Self {
            checked_at: found.checked_at,
            provider: found.provider,
            agrees: found.difference_count == 0
                && found.unbalanced_transactions == 0
                && accounts_agree,
            operations: found.operations,
            book_entries: found.book_entries,
            unsettled: found.unsettled,
            difference_count: found.difference_count,
            differences: found
                .differences
                .into_iter()
                .map(DifferenceOut::from)
                .collect(),
            unbalanced_transactions: found.unbalanced_transactions,
            accounts: found.accounts.into_iter().map(AccountOut::from).collect(),
        }
    }
}

impl From<Difference> for DifferenceOut {
    fn from(difference: Difference) -> Self {
        let kind = match (&difference.ours, &difference.theirs) {
            (None, _) => "missing_here",
            (_, None) => "missing_there",
            (Some(_), Some(_)) => "differs",
        };
        Self {
            operation_id: difference.key,
            kind,
            ours: difference.ours.map(LineOut::from),
            theirs: difference.theirs.map(LineOut::from),
        }
    }
}

impl From<BookEntry> for LineOut {
    fn from(line: BookEntry) -> Self {
        Self {
            kind: line.kind.as_str(),
            amount: line.amount,
            done: line.done,
        }
    }
}

impl From<AccountCheck> for AccountOut {
    fn from(check: AccountCheck) -> Self {
        Self {
            account: check.account.as_str(),
            ledger: check.ledger,
            payments: check.payments,
        }
    }
}
