//! The whole service over HTTP: a real one on a free port with a database of its own.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a panic is how a test fails, in its helpers too"
)]

mod access;
mod audit;
mod harness;
mod hostile;
mod keys;
mod logins;
mod logs;
mod neighbour;
mod owner;
mod redis;
mod revocations;
mod services;
mod session_list;
mod sessions;
mod throttle;
mod users;
