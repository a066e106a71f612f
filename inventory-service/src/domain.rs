//! The rules of stock: pure, without a database, a clock or a web framework.

use common::ids::{ProductId, StoreId};

pub(crate) mod allotment;
pub(crate) mod fefo;
pub(crate) mod quantity;
pub(crate) mod recipe;
pub(crate) mod reservation;
pub(crate) mod unit;

/// Where stock is: a product in a store. In the order of places balances are locked everywhere, so
/// that no two transactions wait for each other in a circle.
pub(crate) type Place = (StoreId, ProductId);
