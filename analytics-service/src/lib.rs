//! analytics-service owns the read models that reports are made from, and the log of events that
//! the read models are a function of.
//!
//! It must never change anything outside itself, ask another service for a number, or let a report
//! depend on the order in which events came.

pub mod startup;

mod app;
mod consumer;
mod domain;
mod error;
mod routes;
mod settings;
mod store;

pub use settings::OwnSettings;

/// The compiled-in settings; they are the default.
pub const DEFAULTS: &str = include_str!("../config/default.toml");

/// The service's own migrations.
pub static MIGRATIONS: ::store::Migrator = sqlx::migrate!("../migrations/analytics");
