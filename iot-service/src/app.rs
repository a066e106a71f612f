//! Use cases, one per file.

use ::store::Db;
use common::clock::Clock;

use connections::ConnectionRegistry;

pub(crate) mod connections;
pub(crate) mod credentials;
pub(crate) mod ingest;

/// What use cases work with.
#[derive(Clone)]
pub(crate) struct AppState {
    pub(crate) db: Db,
    pub(crate) clock: Clock,
    pub(crate) connections: ConnectionRegistry,
}
