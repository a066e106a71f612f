//! The whole suite runs on the transport and the database of the profile under test: HTTP between
//! services with SQLite files, or RabbitMQ with PostgreSQL.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that fails may panic"
)]

mod broker;
mod delivery;
mod endpoints;
mod failures;
mod outbox;
mod world;
