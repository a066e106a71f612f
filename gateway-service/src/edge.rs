//! What every request must pass before it is routed, and what belongs to the edge alone: path and
//! host in one unambiguous form, whom to believe, cross-origin rules.

pub(crate) mod cors;
pub(crate) mod host;
pub(crate) mod path;
pub(crate) mod peers;
pub(crate) mod screen;
