//! SQL. One text for both engines; every function works inside the caller's transaction.

pub(crate) mod catalog;
pub(crate) mod ledger;
pub(crate) mod reservations;
