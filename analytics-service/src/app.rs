//! Use cases, one per file.

use ::store::Db;
use common::clock::Clock;

use crate::settings::Reports;

pub(crate) mod project;
pub(crate) mod rebuild;
pub(crate) mod report;

/// What use cases work with.
#[derive(Clone)]
pub(crate) struct AppState {
    pub(crate) db: Db,
    pub(crate) clock: Clock,
    pub(crate) reports: Reports,
}
