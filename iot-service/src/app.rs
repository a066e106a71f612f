//! Use cases, one per file.

use ::store::Db;
use common::clock::Clock;

pub(crate) mod credentials;
pub(crate) mod ingest;

/// What use cases work with.
#[derive(Clone)]
pub(crate) struct AppState {
    pub(crate) db: Db,
    pub(crate) clock: Clock,
}
