//! What the integration tests of a service need: a database of their own, an identity that signs
//! tokens, fake neighbours on free ports, a typed client, waiting for conditions instead of sleeping,
//! and a driver that attacks every endpoint of an OpenAPI document.
//!
//! Everything here panics with an explanation where a test should fail. It is a dev-dependency and
//! never part of a service.

pub mod broker;
pub mod client;
pub mod database;
pub mod events;
mod fake;
pub mod hostile;
pub mod identity;
pub mod logs;
pub mod matrix;
pub mod outbox;
pub mod secrets;
pub mod subscriber;
pub mod user_service;
pub mod wait;

pub use client::{ApiClient, Reply};
pub use database::TestDatabase;
pub use identity::TestIdentity;
pub use outbox::assert_outbox_empty;
pub use subscriber::FakeSubscriber;
pub use user_service::FakeUserService;
pub use wait::{wait_for, wait_until};
