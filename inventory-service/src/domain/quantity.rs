//! Quantities of stock in whole base units.

/// A positive number of base units, at most [`Quantity::MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Quantity(i64);

/// Why a number is no quantity.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a quantity is a whole number from 1 to {}", Quantity::MAX)]
pub(crate) struct NotAQuantity;

impl Quantity {
    /// The largest quantity of one entry: a thousand tonnes in grams. Sums of millions of entries
    /// stay far from the limit of 64 bits.
    pub(crate) const MAX: i64 = 1_000_000_000;

    /// The base units.
    pub(crate) const fn units(self) -> i64 {
        self.0
    }
}

impl TryFrom<i64> for Quantity {
    type Error = NotAQuantity;

    fn try_from(units: i64) -> Result<Self, NotAQuantity> {
        if (1..=Self::MAX).contains(&units) {
            Ok(Self(units))
        } else {
            Err(NotAQuantity)
        }
    }
}
