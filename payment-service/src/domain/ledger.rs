//! Double entry: what comes to an account leaves another, so every transaction sums to zero.

use common::money::{Currency, Money};

use super::intent::Method;
use super::operation::Kind;
use super::text_enum;

text_enum! {
    /// An account of the ledger.
    enum Account {
        /// Asset: what the payment provider owes us.
        ProviderClearing = "provider_clearing",
        /// Asset: what is in the drawers.
        CashDrawer = "cash_drawer",
        /// Income: what was sold.
        SalesRevenue = "sales_revenue",
        /// Contra income: what was given back.
        Refunds = "refunds",
    }
}

/// One side of a transaction. Debits are positive, credits negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Whose balance changes.
    pub(crate) account: Account,
    /// By how much.
    pub(crate) amount: Money,
}

/// Entries that sum to zero: there is no other way to make one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Booking(Vec<Entry>);

/// Why entries are not a transaction. A fault of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotABooking {
    /// Money would appear or vanish.
    #[error("the entries in {currency} do not sum to zero")]
    Unbalanced {
        /// The currency whose sum is not zero.
        currency: Currency,
    },
    /// It would say nothing.
    #[error("a transaction needs two entries, none of them zero")]
    Empty,
}

impl Booking {
    /// Takes entries whose sum is zero in each currency.
    ///
    /// # Errors
    /// When it is not, or there is nothing to book.
    pub(crate) fn try_new(entries: Vec<Entry>) -> Result<Self, NotABooking> {
        if entries.len() < 2 || entries.iter().any(|entry| entry.amount.amount == 0) {
            return Err(NotABooking::Empty);
        }
        for entry in &entries {
            let currency = entry.amount.currency;
            // 128 bits: no sum of 64-bit amounts overflows them.
            let sum: i128 = entries
                .iter()
                .filter(|other| other.amount.currency == currency)
                .map(|other| i128::from(other.amount.amount))
                .sum();
            if sum != 0 {
                return Err(NotABooking::Unbalanced { currency });
            }
        }
        Ok(Self(entries))
    }

    /// What an operation that succeeded moves. An authorization and its void move nothing: money
    /// that is set aside is still the guest's.
    ///
    /// # Errors
    /// When `amount` cannot be booked.
    pub(crate) fn of(
        kind: Kind,
        method: Method,
        amount: Money,
    ) -> Result<Option<Self>, NotABooking> {
        let money = match method {
            Method::Card => Account::ProviderClearing,
            Method::Cash => Account::CashDrawer,
        };
        let (debit, credit) = match kind {
            Kind::Authorize | Kind::Void => return Ok(None),
            Kind::Capture => (money, Account::SalesRevenue),
            Kind::Refund => (Account::Refunds, money),
        };
        let entry = |account, units| Entry {
            account,
            amount: Money::new(units, amount.currency),
        };
        let entries = vec![entry(debit, amount.amount), entry(credit, -amount.amount)];
        Self::try_new(entries).map(Some)
    }

    /// The entries; they sum to zero.
    pub(crate) fn entries(&self) -> &[Entry] {
        &self.0
    }
}
