//! The `maru` command line: it starts the system, looks after it, and feeds it.
//!
//! It is a client of the services and holds no business rule of theirs. Only `verify` looks into
//! their databases, to judge them.

pub mod cli;
pub mod client;
pub mod config;
pub mod demo;
pub mod gateway;
pub mod import;
pub mod output;
mod progress;
pub mod replay;
pub mod simulate;
pub mod status;
pub mod top;
pub mod up;
pub mod verify;
