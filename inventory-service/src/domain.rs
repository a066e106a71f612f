//! The rules of stock: pure, without a database, a clock or a web framework.

pub(crate) mod fefo;
pub(crate) mod quantity;
pub(crate) mod recipe;
pub(crate) mod reservation;
pub(crate) mod unit;
