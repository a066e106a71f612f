//! Other people's clients, unmodified, against the real gateway and the real user-service: npm's
//! `openid-client`, `PyPI`'s `authlib`, and Chromium with a virtual authenticator.
//!
//! `scripts/install-test-deps` installs what they need, pinned, into `clients`.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a panic is how a test fails, in its helpers too"
)]

mod clients;
mod world;
