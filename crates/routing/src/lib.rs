//! The gateway's routing file: its form, what is wrong with it and where, which route a request
//! takes, and how another gateway's file becomes one.
//!
//! It is pure: it opens no socket and knows of services only their names and addresses. The gateway
//! serves by it; the command line checks and converts with it.

pub mod cors;
pub mod file;
pub mod kong;
pub mod path;

mod access;
mod cache;
mod compile;
mod failure;
mod fault;
mod headers;
mod host;
mod limits;
mod matching;
mod mirror;
mod rewrite;
mod route;
mod table;

pub use access::Access;
pub use cache::CachePolicy;
pub use failure::{BreakerTerms, Fallback, Retries};
pub use fault::{Fault, Faults};
pub use headers::HeaderEdits;
pub use limits::{RateKey, RateLimit};
pub use mirror::Mirror;
pub use rewrite::RewriteError;
pub use route::{Auth, AuthMode, Backend, CorsChoice, HostHeader, Route, Service};
pub use table::{Request, Table};

/// The table that holds when no file is given: Maru's own services.
pub const DEFAULT_FILE: &str = include_str!("../config/gateway.toml");

/// Never reachable from outside, whatever a file says.
const INTERNAL: &str = "/internal";

/// Whether `path` is `prefix` or lies below it, at a segment's end.
fn covers(prefix: &str, path: &str) -> bool {
    let rest = path.strip_prefix(prefix);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Whether a path is one of those that services keep to themselves.
#[must_use]
pub fn is_internal(path: &str) -> bool {
    // Some services drop a segment's parameters or decode its slashes.
    let ends =
        |rest: &str| rest.is_empty() || rest.starts_with(['/', ';']) || rest.starts_with("%2F");
    path.strip_prefix(INTERNAL).is_some_and(ends)
}
