//! Tokens that mean nothing by themselves: 256 random bits, shown once and stored as a hash.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest;
use secrecy::{ExposeSecret, SecretString};

use super::{hex, random};

const TOKEN_BYTES: usize = 32;

/// What a token is for; one kind is never taken for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenKind {
    /// Stands in a mailed link.
    Link,
    /// Names a login that waits for its second factor.
    Challenge,
    /// Proves a registered terminal.
    Device,
}

impl TokenKind {
    /// Lets scanners for leaked secrets recognize one.
    const fn prefix(self) -> &'static str {
        match self {
            Self::Link => "maru_lk_",
            Self::Challenge => "maru_mf_",
            Self::Device => "maru_dv_",
        }
    }
}

/// One token, as its holder keeps it.
#[derive(Debug)]
pub(crate) struct OpaqueToken(SecretString);

impl OpaqueToken {
    /// A new one.
    pub(crate) fn new(kind: TokenKind) -> Self {
        Self::spell(kind, &random())
    }

    fn spell(kind: TokenKind, bytes: &[u8; TOKEN_BYTES]) -> Self {
        Self(format!("{}{}", kind.prefix(), URL_SAFE_NO_PAD.encode(bytes)).into())
    }

    /// Reads a token that somebody presents; `None` for what cannot be one of this kind.
    pub(crate) fn parse(kind: TokenKind, text: &SecretString) -> Option<Self> {
        let encoded = text.expose_secret().strip_prefix(kind.prefix())?;
        let bytes = URL_SAFE_NO_PAD.decode(encoded).ok()?;
        Some(Self::spell(kind, &bytes.try_into().ok()?))
    }

    /// The text that the holder keeps.
    pub(crate) fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// The same, still hidden.
    pub(crate) const fn secret(&self) -> &SecretString {
        &self.0
    }

    /// What is stored: of 256 random bits a plain hash cannot be guessed backwards.
    pub(crate) fn hash(&self) -> String {
        hex(digest::digest(&digest::SHA256, self.expose().as_bytes()).as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_back_as_its_own_kind_alone() {
        let token = OpaqueToken::new(TokenKind::Link);
        let parse = |kind, text: &str| OpaqueToken::parse(kind, &SecretString::from(text));
        let text = token.expose();
        assert_eq!(parse(TokenKind::Link, text).unwrap().hash(), token.hash());
        assert_ne!(OpaqueToken::new(TokenKind::Link).hash(), token.hash());
        assert!(parse(TokenKind::Device, text).is_none());
        let other_kind = text.replace("maru_lk_", "maru_dv_");
        let other_kind = parse(TokenKind::Device, &other_kind).unwrap();
        assert_ne!(other_kind.hash(), token.hash(), "the kind is part of it");
        for bad in ["", "maru_lk_", &text[..50], &format!("{text}A")] {
            assert!(parse(TokenKind::Link, bad).is_none(), "{bad}");
        }
        assert!(!format!("{token:?}").contains(&text[8..]));
    }
}
