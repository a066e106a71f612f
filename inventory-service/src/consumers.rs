//! What this service does about events of others, one file for each.

pub(crate) mod order_cancelled;
