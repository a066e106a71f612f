//! gateway-service is the one door from outside: it checks a request, finds the service that it is
//! for, and passes request and answer through without changing what they mean. It shows how all
//! services are (`/api/services/status`) and what they offer (`/docs`).
//!
//! It must never forward what two parsers could read differently, deliver a broken answer as a whole
//! one, route to `/internal/*`, or believe a header about who the client is. It knows nothing of
//! what the services do, and its database holds nothing but who runs where.

pub mod startup;

mod answer;
mod balance;
mod cache;
mod directory;
mod dispatch;
mod docs;
mod edge;
mod fallback;
mod fetch;
mod local;
mod proxy;
mod record;
mod refusal;
mod registry;
mod routing;
mod server;
mod settings;
mod status;
mod tls;

pub use settings::OwnSettings;

/// The compiled-in settings; they are the default.
pub const DEFAULTS: &str = include_str!("../config/default.toml");
