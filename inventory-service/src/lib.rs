//! inventory-service owns products, recipes, the stock ledger, lots and reservations.
//!
//! It must never change or delete a movement, let a balance differ from the fold of the ledger, or
//! consume stock that another order holds. It knows orders by their id only, and no prices.

pub mod startup;

mod app;
mod consumers;
mod domain;
mod error;
mod grpc;
mod jobs;
mod routes;
mod settings;
mod store;

pub use settings::OwnSettings;

/// The compiled-in settings; they are the default.
pub const DEFAULTS: &str = include_str!("../config/default.toml");

/// The service's own migrations.
pub static MIGRATIONS: ::store::Migrator = sqlx::migrate!("../migrations/inventory");
