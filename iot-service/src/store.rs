//! SQL. One text for both engines; every function works inside the caller's transaction.

pub(crate) mod devices;
pub(crate) mod readings;
