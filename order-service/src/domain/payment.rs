//! How a guest pays.

use common::card_number::holds_card_number;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

/// The means of payment; the text form is the same on the wire and in the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Method {
    /// A card, by the provider's token of it.
    Card,
    /// Cash at the counter; no token.
    Cash,
}

impl Method {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Card => "card",
            Self::Cash => "cash",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text {
            "card" => Some(Self::Card),
            "cash" => Some(Self::Cash),
            _ => None,
        }
    }
}

/// A payment that was asked for.
#[derive(Clone, Debug)]
pub(crate) struct Payment {
    pub(crate) method: Method,
    /// Present for a card.
    pub(crate) token: Option<SecretString>,
}

/// Why a method and a token do not go together, as a stable code.
pub(crate) fn token_fault(method: Method, token: Option<&str>) -> Option<&'static str> {
    match (method, token) {
        (Method::Card, None) => Some("token_missing"),
        (Method::Cash, None) => None,
        (Method::Cash, Some(_)) => Some("token_not_allowed"),
        (Method::Card, Some(token)) if !is_token(token) => Some("token_malformed"),
        (Method::Card, Some(token)) if holds_card_number(token) => Some("card_number"),
        (Method::Card, Some(_)) => None,
    }
}

fn is_token(text: &str) -> bool {
    (1..=255).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_needs_a_token_that_is_no_card_number() {
        for (method, token, expected) in [
            (Method::Card, Some("tok_ok"), None),
            (
                Method::Card,
                Some("4111-1111-1111-1111"),
                Some("card_number"),
            ),
            (Method::Card, Some("4111111111111111"), Some("card_number")),
            (
                Method::Card,
                Some("tok_4111111111111111"),
                Some("card_number"),
            ),
            (Method::Card, Some("4111111111111112"), None),
            (Method::Card, Some("has space"), Some("token_malformed")),
            (Method::Card, Some(""), Some("token_malformed")),
            (Method::Card, None, Some("token_missing")),
            (Method::Cash, None, None),
            (Method::Cash, Some("tok_ok"), Some("token_not_allowed")),
        ] {
            assert_eq!(token_fault(method, token), expected, "{method:?} {token:?}");
        }
    }
}
