//! What every request must pass before a service sees it, and what belongs to the edge alone: path
//! and host in one unambiguous form, whom to believe, who asks, how often, from where, and
//! cross-origin rules.

pub(crate) mod auth;
pub(crate) mod compress;
pub(crate) mod cors;
pub(crate) mod ending;
pub(crate) mod gate;
pub(crate) mod host;
pub(crate) mod limit;
pub(crate) mod peers;
pub(crate) mod screen;
pub(crate) mod streams;
pub(crate) mod taking;
pub(crate) mod turns;
