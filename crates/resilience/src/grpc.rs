//! gRPC between services: a channel that guards every call, a guard in front of every server, and
//! the start and stop of a server.
//!
//! The channel is what generated clients are made with:
//! `InventoryCommandsClient::new(GrpcChannel::try_new("inventory", url, params, tokens)?)`.

mod body;
mod channel;
mod guard;
mod server;
mod status;

pub use body::WatchedBody;
pub use channel::{ChannelParams, GrpcChannel};
pub use guard::{Caller, Guarded};
pub use server::{serve_grpc, server_builder};
pub use status::{is_unsent, status_of};

#[cfg(test)]
mod tests;
