//! Tests of gateway-service over raw sockets: a real gateway, a recording service behind it, and a
//! client that writes and reads bytes.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a panic is how a test fails, in its helpers too"
)]

mod client;
mod cors;
mod docs;
mod framing;
mod gateway;
mod headers;
mod messages;
mod own;
mod paths;
mod pool;
mod status;
mod streaming;
mod tokens;
mod upstream;
