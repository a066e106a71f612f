//! Tests of gateway-service over raw sockets: a real gateway, a recording service behind it, and a
//! client that writes and reads bytes.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a panic is how a test fails, in its helpers too"
)]

mod access;
mod announcement;
mod balance;
mod client;
mod consul;
mod cors;
mod discovery;
mod docs;
mod framing;
mod gateway;
mod headers;
mod messages;
mod own;
mod paths;
mod pool;
mod registrar;
mod registration;
mod retries;
mod status;
mod streaming;
mod tokens;
mod upstream;
mod watch;
