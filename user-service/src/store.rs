//! SQL. Every function works in the transaction it is given; the caller owns it.

pub(crate) mod accounts;
pub(crate) mod audit;
pub(crate) mod known_addresses;
mod roles;
pub(crate) mod sessions;
pub(crate) mod signing_keys;
