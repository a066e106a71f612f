//! Accounts, sessions and the keys that sign tokens.
//!
//! This service alone can sign a token; everybody else verifies with the keys it publishes. It never
//! stores, logs or answers a password, and stores of a refresh token only the hash. What the roles
//! allow stands in `common::auth`, not here.

pub mod settings;
pub mod startup;

mod app;
mod audit;
mod client_address;
mod domain;
mod error;
mod events;
mod grpc;
mod jobs;
mod keys;
mod oidc;
mod passkeys;
mod revocations;
mod routes;
mod state;
mod store;
mod throttle;
mod tickets;

/// The compiled-in settings file: every key with its default.
pub const DEFAULTS: &str = include_str!("../config/default.toml");
