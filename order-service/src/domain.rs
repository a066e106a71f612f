//! The rules of stores, menus, orders and sagas: pure, without a clock, a database or a network.

pub(crate) mod menu;
pub(crate) mod order;
pub(crate) mod payment;
pub(crate) mod pricing;
pub(crate) mod saga;
pub(crate) mod site;
