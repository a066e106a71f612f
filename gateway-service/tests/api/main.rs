//! Tests of gateway-service over raw sockets: a real gateway, a recording service behind it, and a
//! client that writes and reads bytes.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a panic is how a test fails, in its helpers too"
)]

mod access;
mod announcement;
mod auth;
mod balance;
mod cache;
mod client;
mod compression;
mod conformance;
mod consul;
mod cors;
mod discovery;
mod docs;
mod failures;
mod framing;
mod fuzz;
mod gateway;
mod h2c;
mod headers;
mod limits;
mod log;
mod messages;
mod mirrors;
mod own;
mod paths;
mod pool;
mod registrar;
mod registration;
mod retries;
mod routes;
mod status;
mod stop;
mod streaming;
mod tls;
mod tokens;
mod transparency;
mod upstream;
mod watch;
mod websockets;
