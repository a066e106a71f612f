//! SQL, one file for each table. Every function takes the transaction; a use case owns it.

pub(crate) mod menu;
pub(crate) mod orders;
pub(crate) mod sagas;
pub(crate) mod sites;
