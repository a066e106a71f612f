//! Clients against the real gateway and the real user-service: other people's, unmodified (npm's
//! `openid-client`, `PyPI`'s `authlib`, Chromium with a virtual authenticator), and the command line's.
//!
//! `scripts/install-test-deps` installs what they need, pinned, into `clients`.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a panic is how a test fails, in its helpers too"
)]

mod clients;
mod command_line;
mod world;
