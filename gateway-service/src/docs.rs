//! What all services offer, as one OpenAPI document and a page to read and try it.

mod join;
mod library;
pub(crate) mod page;

pub(crate) use library::{Library, keep};
