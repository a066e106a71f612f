//! payment-service owns payment intents, what was asked of payment providers, and the money ledger.
//!
//! It must never guess what a provider did, refund more than it captured, book a transaction that
//! does not sum to zero, or see a card number: providers' tokens are all it takes. It knows orders by
//! their id only.

pub mod startup;

mod app;
mod consumers;
mod domain;
mod error;
mod grpc;
mod jobs;
mod provider;
mod routes;
mod settings;
mod store;

pub use settings::OwnSettings;

/// The compiled-in settings; they are the default.
pub const DEFAULTS: &str = include_str!("../config/default.toml");

/// The service's own migrations.
pub static MIGRATIONS: ::store::Migrator = sqlx::migrate!("../migrations/payment");
