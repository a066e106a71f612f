//! Refresh tokens: 256 bits that mean nothing, shown once and stored as a hash.
//!
//! The first token of a session is random. Each further one is computed from the one before it, a
//! random id stored beside it and a key outside the database. So a client that repeats a refresh
//! whose answer was lost gets the same successor, though the successor is stored nowhere; and
//! neither the database nor an old token alone leads to a valid one.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::{digest, hmac};
use secrecy::{ExposeSecret, SecretString};
use uuid::Uuid;

use super::installation::{InstallationSecret, Purpose};
use super::{hex, random};
use crate::domain::session::SessionId;

const TOKEN_BYTES: usize = 32;

/// Who holds a token; one of the one is never taken for one of the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenHolder {
    /// Somebody who signed in.
    Account,
    /// An application that acts for somebody.
    Application,
}

impl TokenHolder {
    /// Lets scanners for leaked secrets recognize one.
    const fn prefix(self) -> &'static str {
        match self {
            Self::Account => "maru_rt_",
            Self::Application => "maru_art_",
        }
    }
}

/// One refresh token, as a client holds it.
#[derive(Debug)]
pub(crate) struct RefreshToken {
    text: SecretString,
    holder: TokenHolder,
}

impl RefreshToken {
    fn from_bytes(bytes: &[u8; TOKEN_BYTES], holder: TokenHolder) -> Self {
        let text = format!("{}{}", holder.prefix(), URL_SAFE_NO_PAD.encode(bytes));
        Self {
            text: text.into(),
            holder,
        }
    }

    /// Reads a token that a client presents; `None` for what cannot be one.
    pub(crate) fn parse(text: &SecretString, holder: TokenHolder) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD
            .decode(text.expose_secret().strip_prefix(holder.prefix())?)
            .ok()?;
        let bytes: [u8; TOKEN_BYTES] = bytes.try_into().ok()?;
        Some(Self::from_bytes(&bytes, holder))
    }

    /// The text that the client keeps.
    pub(crate) fn expose(&self) -> &str {
        self.text.expose_secret()
    }

    /// What is stored: a token has 256 random bits, so a plain hash cannot be guessed backwards.
    pub(crate) fn hash(&self) -> String {
        hex(digest::digest(&digest::SHA256, self.expose().as_bytes()).as_ref())
    }
}

/// Makes refresh tokens.
pub(crate) struct RefreshTokens(hmac::Key);

impl RefreshTokens {
    pub(crate) fn new(secret: &InstallationSecret) -> Self {
        let key = secret.derive(Purpose::RefreshSuccessors);
        Self(hmac::Key::new(hmac::HMAC_SHA256, &key))
    }

    /// The first token of a session.
    #[expect(clippy::unused_self, reason = "tokens come from here only")]
    pub(crate) fn first(&self, holder: TokenHolder) -> RefreshToken {
        RefreshToken::from_bytes(&random(), holder)
    }

    /// The one token that follows `presented`.
    pub(crate) fn successor(
        &self,
        session: SessionId,
        successor_id: Uuid,
        presented: &RefreshToken,
    ) -> RefreshToken {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(session.as_uuid().as_bytes());
        context.update(successor_id.as_bytes());
        context.update(presented.expose().as_bytes());
        let tag = context.sign();
        let bytes = tag.as_ref().try_into();
        let bytes = bytes.expect("an HMAC-SHA256 tag has 32 bytes");
        RefreshToken::from_bytes(&bytes, presented.holder)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn tokens(secret: &str) -> RefreshTokens {
        let secret = SecretString::from(secret);
        RefreshTokens::new(&InstallationSecret::obtain(&secret, Path::new("unused")).unwrap())
    }

    #[test]
    fn a_successor_is_computed_again_from_the_same_parts_only() {
        let session = SessionId::from_uuid(Uuid::from_u128(1));
        let other_session = SessionId::from_uuid(Uuid::from_u128(2));
        let (id, other_id) = (Uuid::from_u128(3), Uuid::from_u128(4));
        let maker = tokens("a");
        let holder = TokenHolder::Account;
        let (first, other) = (maker.first(holder), maker.first(holder));
        let successor = maker.successor(session, id, &first);
        assert_eq!(
            successor.expose(),
            maker.successor(session, id, &first).expose()
        );
        for different in [
            maker.successor(other_session, id, &first),
            maker.successor(session, other_id, &first),
            maker.successor(session, id, &other),
            tokens("b").successor(session, id, &first),
        ] {
            assert_ne!(successor.expose(), different.expose());
        }
    }

    #[test]
    fn only_the_one_spelling_of_a_token_is_read() {
        let token = tokens("a").first(TokenHolder::Account);
        let text = token.expose();
        let parse =
            |text: &str| RefreshToken::parse(&SecretString::from(text), TokenHolder::Account);
        assert_eq!(parse(text).unwrap().hash(), token.hash());
        for bad in [
            "",
            "maru_rt_",
            &text[1..],
            &text[..50],
            &format!("{text}A"),
            &format!("{text}="),
            tokens("a").first(TokenHolder::Application).expose(),
        ] {
            assert!(parse(bad).is_none(), "{bad}");
        }
        assert!(!format!("{token:?}").contains(&text[8..]));
    }
}
