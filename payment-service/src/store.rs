//! SQL. One text for both engines; every function works inside the caller's transaction.
//!
//! Whoever changes an order's money first locks its row in `payment_orders`, those of several orders
//! in the order of their ids.

pub(crate) mod ledger;
pub(crate) mod listing;
pub(crate) mod operations;
pub(crate) mod payments;
pub(crate) mod reconciliation;
