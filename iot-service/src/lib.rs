//! iot-service owns devices and their readings, and the MQTT broker of the embedded profile.
//!
//! It must never acknowledge a reading that is not stored, or take one from a device that did not
//! prove itself to the inner broker.

pub mod startup;

mod app;
mod domain;
mod mqtt;
mod routes;
mod settings;
mod store;

pub use settings::OwnSettings;

/// The compiled-in settings; they are the default.
pub const DEFAULTS: &str = include_str!("../config/default.toml");

/// The service's own migrations.
pub static MIGRATIONS: ::store::Migrator = sqlx::migrate!("../migrations/iot");
