//! The provider's token of a payment method: all that this service ever sees of a card.

use std::fmt;
use std::str::FromStr;

use common::card_number::holds_card_number;

/// Longest token, in characters after `tok_`.
const MAX_LENGTH: usize = 64;

/// A token, `tok_[a-z0-9_]{1,64}`. It is worth money: it is never shown, not even by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Token(String);

/// Why a text is not a token. The text itself is never repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotAToken {
    /// It must not be sent here at all.
    #[error("looks like a card number; send the provider's token instead")]
    CardNumber,
    /// It has another form.
    #[error("must be tok_ and 1 to 64 characters of a-z, 0-9 and _")]
    Malformed,
}

impl Token {
    /// The text, for the provider and the database.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl FromStr for Token {
    type Err = NotAToken;

    fn from_str(text: &str) -> Result<Self, NotAToken> {
        if holds_card_number(text) {
            return Err(NotAToken::CardNumber);
        }
        let name = text.strip_prefix("tok_").ok_or(NotAToken::Malformed)?;
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        if (1..=MAX_LENGTH).contains(&name.len()) && name.bytes().all(allowed) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NotAToken::Malformed)
        }
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tokens_are_tokens() {
        let longest = format!("tok_{}", "a".repeat(64));
        let too_long = format!("tok_{}", "a".repeat(65));
        for (text, expected) in [
            ("tok_ok", Ok(())),
            (longest.as_str(), Ok(())),
            (too_long.as_str(), Err(NotAToken::Malformed)),
            ("tok_", Err(NotAToken::Malformed)),
            ("tok_OK", Err(NotAToken::Malformed)),
            ("tok_ü", Err(NotAToken::Malformed)),
            ("ok", Err(NotAToken::Malformed)),
            ("4242424242424242", Err(NotAToken::CardNumber)),
            ("tok_4242424242424242", Err(NotAToken::CardNumber)),
        ] {
            assert_eq!(text.parse::<Token>().map(|_token| ()), expected, "{text}");
        }
    }

    #[test]
    fn a_token_does_not_show_itself() {
        let token: Token = "tok_ok".parse().unwrap();
        assert_eq!(format!("{token:?}"), "Token(..)");
        assert!(!NotAToken::CardNumber.to_string().contains('4'));
    }
}
