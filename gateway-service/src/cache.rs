//! Answers kept for others who ask the same: a shared cache (RFC 9111) for routes that ask for one.
//!
//! What an answer or a request says is decided here and not by a library: those at hand know
//! directives in one letter case and the first line of a header only, which a private cache may, but
//! which in a shared one gives somebody another one's answer.

mod asked;
mod control;
mod rules;
mod shelf;
mod stored;
mod tee;

pub(crate) use asked::{Asked, Bypass, Source, key_of};
pub(crate) use control::Directives;
pub(crate) use rules::varies;
pub(crate) use shelf::{Shelf, Ticket, Turn};
pub(crate) use stored::{Moments, Stored, StoredHead};
pub(crate) use tee::{Keeper, Tee};
