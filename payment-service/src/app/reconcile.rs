//! Compares the provider's book with ours, line by line, and the ledger with the payments.

use std::cmp::Ordering;

use common::money::Money;
use common::time::Timestamp;
use uuid::Uuid;

use super::AppState;
use crate::domain::intent::Method;
use crate::domain::ledger::Account;
use crate::domain::operation::OperationId;
use crate::error::UseCaseError;
use crate::provider::BookEntry;
use crate::store::reconciliation::{Expected, OurEntry};
use crate::store::{ledger, reconciliation};

/// Lines read at a time.
const PAGE: u32 = 500;
/// Differences listed at most; they are all counted.
const MAX_LISTED: usize = 1_000;

/// What a comparison found.
#[derive(Debug)]
pub(crate) struct Reconciliation {
    /// When it was made.
    pub(crate) checked_at: Timestamp,
    /// With whom.
    pub(crate) provider: &'static str,
    /// Our operations that went to the provider.
    pub(crate) operations: u64,
    /// Lines in the provider's book.
    pub(crate) book_entries: u64,
    /// Operations of ours whose outcome is not known yet; they are no differences.
    pub(crate) unsettled: u64,
    /// How many differences there are.
    pub(crate) difference_count: u64,
    /// The first of them.
    pub(crate) differences: Vec<Difference>,
    /// Ledger transactions that do not sum to zero.
    pub(crate) unbalanced_transactions: i64,
    /// Accounts whose balance is not what the payments say.
    pub(crate) accounts: Vec<AccountCheck>,
}

/// A line that is not the same in both books.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Difference {
    /// Our key.
    pub(crate) key: OperationId,
    /// As we know it.
    pub(crate) ours: Option<BookEntry>,
    /// As the provider knows it.
    pub(crate) theirs: Option<BookEntry>,
}

/// An account of money beside what the payments say that it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AccountCheck {
    /// The account.
    pub(crate) account: Account,
    /// Its balance in the ledger.
    pub(crate) ledger: Money,
    /// Captured less refunded.
    pub(crate) payments: Money,
}

/// Compares the books. Both go on meanwhile, so what seems to differ is looked at once more.
pub(crate) async fn reconcile(app: &AppState) -> Result<Reconciliation, UseCaseError> {
    let mut found = Reconciliation {
        checked_at: app.clock.now(),
        provider: app.provider.name(),
        operations: 0,
        book_entries: 0,
        unsettled: 0,
        difference_count: 0,
        differences: Vec::new(),
        unbalanced_transactions: 0,
        accounts: Vec::new(),
    };
    let mut theirs = Theirs::default();
    let mut ours = Ours::default();
    loop {
        theirs.fill(app).await?;
        ours.fill(app).await?;
        let (their, our) = (theirs.lines.last(), ours.lines.last());
        let order = match (their, our) {
            (None, None) => break,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(their), Some(our)) => their.key.cmp(&our.key),
        };
        let their = if order == Ordering::Greater {
            None
        } else {
            theirs.lines.pop()
        };
        let our = if order == Ordering::Less {
            None
        } else {
            ours.lines.pop()
        };
        found.book_entries += u64::from(their.is_some());
        found.operations += u64::from(our.is_some());
        compare(app, &mut found, their, our).await?;
    }
    check_ledger(app, &mut found).await?;
    Ok(found)
}

async fn compare(
    app: &AppState,
    found: &mut Reconciliation,
    their: Option<BookEntry>,
    our: Option<OurEntry>,
) -> Result<(), UseCaseError> {
    if our
        .as_ref()
        .is_some_and(|our| our.expected == Expected::Unsettled)
    {
        found.unsettled += 1;
        return Ok(());
    }
    let Some(difference) = difference(their, our) else {
        return Ok(());
    };
    let Some(still) = look_again(app, difference.key).await? else {
        return Ok(());
    };
    tracing::error!(operation.id = %still.key, "the provider's book differs from ours");
    found.difference_count += 1;
    if found.differences.len() < MAX_LISTED {
        found.differences.push(still);
    }
    Ok(())
}

fn difference(their: Option<BookEntry>, our: Option<OurEntry>) -> Option<Difference> {
    let key = their
        .as_ref()
        .map(|line| line.key)
        .or(our.as_ref().map(|line| line.key))?;
    let ours = match our.map(|our| our.expected) {
        Some(Expected::Line(line)) => Some(line),
        Some(Expected::Unsettled) => return None,
        Some(Expected::Nothing) | None => None,
    };
    (ours != their).then_some(Difference {
        key,
        ours,
        theirs: their,
    })
}

async fn look_again(app: &AppState, key: OperationId) -> Result<Option<Difference>, UseCaseError> {
    // Theirs first: whatever they have by now, we had stored before.
    let before = key.as_uuid().as_u128().checked_sub(1);
    let before = before.map(|key| OperationId::from_uuid(Uuid::from_u128(key)));
    let book = app.provider.list_book(before, 1).await?;
    let their = book.into_iter().find(|line| line.key == key);
    let mut tx = app.db.read().await?;
    let our = reconciliation::find_operation(&mut tx, key).await?;
    Ok(difference(their, our))
}

async fn check_ledger(app: &AppState, found: &mut Reconciliation) -> Result<(), UseCaseError> {
    let mut tx = app.db.read().await?;
    found.unbalanced_transactions = ledger::count_unbalanced(&mut tx).await?;
    let balances = ledger::list_balances(&mut tx, None).await?;
    for (method, account) in [
        (Method::Card, Account::ProviderClearing),
        (Method::Cash, Account::CashDrawer),
    ] {
        for totals in reconciliation::list_totals(&mut tx, method).await? {
            let payments = Money::new(totals.captured - totals.refunded, totals.currency);
            let ledger = balances
                .iter()
                .find(|line| line.account == account && line.balance.currency == totals.currency)
                .map_or(Money::zero(totals.currency), |line| line.balance);
            found.accounts.push(AccountCheck {
                account,
                ledger,
                payments,
            });
        }
    }
    Ok(())
}

/// The provider's book, page by page, the next line last.
#[derive(Default)]
struct Theirs {
    lines: Vec<BookEntry>,
    read_to: Option<OperationId>,
    is_read: bool,
}

impl Theirs {
    async fn fill(&mut self, app: &AppState) -> Result<(), UseCaseError> {
        if self.is_read || !self.lines.is_empty() {
            return Ok(());
        }
        self.lines = app.provider.list_book(self.read_to, PAGE).await?;
        self.is_read = self.lines.is_empty();
        self.read_to = self.lines.last().map(|line| line.key);
        self.lines.reverse();
        Ok(())
    }
}

/// Our operations, page by page, the next line last.
#[derive(Default)]
struct Ours {
    lines: Vec<OurEntry>,
    read_to: Option<OperationId>,
    is_read: bool,
}

impl Ours {
    async fn fill(&mut self, app: &AppState) -> Result<(), UseCaseError> {
        if self.is_read || !self.lines.is_empty() {
            return Ok(());
        }
        let mut tx = app.db.read().await?;
        self.lines = reconciliation::list_operations(&mut tx, self.read_to, PAGE).await?;
        self.is_read = self.lines.is_empty();
        self.read_to = self.lines.last().map(|line| line.key);
        self.lines.reverse();
        Ok(())
    }
}
