//! The whole service over HTTP: a real one on a free port with a database of its own.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a panic is how a test fails, in its helpers too"
)]

mod access;
mod api_keys;
mod audit;
mod authenticator;
mod emails;
mod grpc;
mod harness;
mod hostile;
mod invitations;
mod keys;
mod logins;
mod logs;
mod mails;
mod neighbour;
mod oidc;
mod owner;
mod passkeys;
mod passwords;
mod privacy;
mod redis;
mod revocations;
mod rotation;
mod second_factors;
mod services;
mod session_list;
mod sessions;
mod terminals;
mod throttle;
mod users;
