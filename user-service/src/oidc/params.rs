//! Parameters as OAuth sends them: form-encoded, each at most once, none without a value.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use secrecy::SecretString;

/// Longest query or form that is read, in bytes: it comes back inside a signed ticket.
pub(crate) const MAX_BYTES: usize = 4_096;

/// The parameters of a request.
#[derive(Debug, Default)]
pub(crate) struct Params {
    values: BTreeMap<String, SecretString>,
    repeated: BTreeSet<String>,
}

/// More than [`MAX_BYTES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the parameters are too long")]
pub(crate) struct TooLong;

impl Params {
    /// Reads a query or a form.
    pub(crate) fn parse(text: &str) -> Result<Self, TooLong> {
        if text.len() > MAX_BYTES {
            return Err(TooLong);
        }
        let mut params = Self::default();
        for (name, value) in url::form_urlencoded::parse(text.as_bytes()) {
            let (name, value) = (name.into_owned(), SecretString::from(value.as_ref()));
            match params.values.entry(name) {
                Entry::Vacant(place) => {
                    place.insert(value);
                }
                Entry::Occupied(place) => {
                    params.repeated.insert(place.key().clone());
                }
            }
        }
        Ok(params)
    }

    /// The value of a parameter. One sent without a value counts as left out, and of one sent
    /// several times nobody can say which was meant (RFC 6749, section 3.1).
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        use secrecy::ExposeSecret as _;
        if self.repeated.contains(name) {
            return None;
        }
        let value = self.values.get(name)?.expose_secret();
        (!value.is_empty()).then_some(value)
    }

    /// The value of a parameter that must not be shown.
    pub(crate) fn secret(&self, name: &str) -> Option<SecretString> {
        self.get(name).map(SecretString::from)
    }

    /// Whether some parameter was sent more than once.
    pub(crate) fn has_repeated(&self) -> bool {
        !self.repeated.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_counts_once_and_with_a_value() {
        let params = Params::parse("a=1&b=&c=2&c=2&d=x+y%26z&e").unwrap();
        for (name, expected) in [
            ("a", Some("1")),
            ("b", None),
            ("c", None),
            ("d", Some("x y&z")),
            ("e", None),
            ("f", None),
        ] {
            assert_eq!(params.get(name), expected, "{name}");
        }
        assert!(params.has_repeated());
        assert!(!Params::parse("a=1&b=2").unwrap().has_repeated());
        assert!(Params::parse(&"a".repeat(MAX_BYTES + 1)).is_err());
    }
}
