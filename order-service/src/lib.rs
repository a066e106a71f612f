//! order-service owns the stores of the chain, the menu, the orders, and the saga that places one.
//!
//! It must never decide how much stock there is or whether a payment went through: it asks
//! inventory-service and payment-service, and acts on their answers only. It must never take a
//! price from a client, except for orders that another system sold before.

pub mod startup;

mod app;
mod consumers;
mod domain;
mod error;
mod routes;
mod sagas;
mod settings;
mod store;
mod wire;

pub use settings::OwnSettings;

/// The compiled-in default settings, with the meaning of every key.
pub const DEFAULTS: &str = include_str!("../config/default.toml");

/// The service's own migrations.
pub static MIGRATIONS: ::store::Migrator = sqlx::migrate!("../migrations/order");
