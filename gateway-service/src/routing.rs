//! The routes in force, and how a change of their file takes effect.

mod failure;
mod live;
mod snapshot;

pub(crate) use live::{Live, LiveParts, watch};
pub(crate) use snapshot::{Place, Snapshot};
