//! Secrets of this service: the installation's own, the keys that sign tokens, and refresh tokens.

mod factors;
mod id_token;
mod installation;
mod keyring;
mod mint;
mod opaque_token;
mod refresh_token;
mod seal;

pub(crate) use factors::FactorKeys;
pub(crate) use id_token::{IdToken, IdTokenClaims};
pub(crate) use installation::InstallationSecret;
pub(crate) use keyring::{Keyring, KeyringError};
pub(crate) use mint::{Delegated, Mint, MintError, Minted, Program};
pub(crate) use opaque_token::{OpaqueToken, TokenKind};
pub(crate) use refresh_token::{RefreshToken, RefreshTokens, TokenHolder};
pub(crate) use seal::Unsealable;

/// Random bytes from the operating system.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    use ring::rand::SecureRandom as _;
    let mut bytes = [0; N];
    ring::rand::SystemRandom::new()
        .fill(&mut bytes)
        .expect("the operating system has randomness once it runs services");
    bytes
}

/// Lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String takes every write");
        text
    })
}
