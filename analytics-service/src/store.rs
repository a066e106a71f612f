//! SQL. One text for both engines; every function works inside the caller's transaction.

pub(crate) mod event_log;
pub(crate) mod fingerprint;
pub(crate) mod sales;
