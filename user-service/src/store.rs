//! SQL. Every function works in the transaction it is given; the caller owns it.

pub(crate) mod accounts;
pub(crate) mod audit;
pub(crate) mod known_addresses;
pub(crate) mod revocations;
mod roles;
pub(crate) mod session_list;
pub(crate) mod sessions;
pub(crate) mod signing_keys;
