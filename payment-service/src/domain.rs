//! The rules of payments: pure, no clock of their own, no database, no network.

pub(crate) mod intent;
pub(crate) mod ledger;
pub(crate) mod operation;
pub(crate) mod payment;
pub(crate) mod policy;
mod text_enum;
pub(crate) mod token;

pub(crate) use text_enum::{UnknownText, text_enum};

#[cfg(test)]
mod tests;
