//! What every service shares: ids, time and money; errors, extractors and pages; who asks and what
//! they may do; settings, telemetry, health and the start-up of an HTTP server.
//!
//! It knows nothing of any one service's business and opens no database.

extern crate self as common;

pub mod auth;
pub mod card_number;
pub mod clock;
pub mod context;
pub mod error;
pub mod extract;
pub mod health;
pub mod ids;
pub mod money;
pub mod page;
pub mod server;
pub mod service;
pub mod settings;
pub mod shutdown;
pub mod telemetry;
pub mod time;

/// The crates that this crate's macros name.
pub mod reexport {
    pub use {serde, sqlx, utoipa, uuid};
}
