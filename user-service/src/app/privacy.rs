//! What this service holds of a person: shown as a whole, and removed as a whole.

mod erase;
mod export;

pub(crate) use erase::erase;
pub(crate) use export::{Export, export, export_own};
