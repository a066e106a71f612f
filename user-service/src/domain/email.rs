//! An email address, as the name under which an account signs in.

/// Longest address (RFC 5321, section 4.5.3.1.3, without the angle brackets), in bytes.
pub(crate) const MAX_EMAIL_BYTES: usize = 254;
const MAX_LOCAL_BYTES: usize = 64;
const MAX_LABEL_BYTES: usize = 63;

/// An acceptable address: a dot-atom, `@`, and a host name, all ASCII (RFC 5321, section 4.1.2).
/// Two that differ only in case are one account's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Email(String);

impl Email {
    /// Parses an address; `None` when it is not acceptable.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (local, domain) = text.split_once('@')?;
        let acceptable = text.len() <= MAX_EMAIL_BYTES
            && local.len() <= MAX_LOCAL_BYTES
            && local.split('.').all(is_atom)
            && domain.split('.').all(is_label);
        acceptable.then(|| Self(text.to_owned()))
    }

    /// As it was written.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The form that is compared.
    pub(crate) fn key(&self) -> String {
        self.0.to_ascii_lowercase()
    }
}

fn is_atom(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte);
    !text.is_empty() && text.bytes().all(allowed)
}

fn is_label(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    (1..=MAX_LABEL_BYTES).contains(&text.len())
        && text.bytes().all(allowed)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_parsed_strictly() {
        for good in [
            "owner@maru.local",
            "a@b",
            "o'neil+till.2@shop-1.example.com",
            &format!("{}@example.com", "a".repeat(64)),
        ] {
            assert!(Email::parse(good).is_some(), "{good}");
        }
        for bad in [
            "",
            "@",
            "a@",
            "@b",
            "a b@c",
            " a@b",
            "a@b ",
            "a@b@c",
            "a..b@c",
            ".a@b",
            "a.@b",
            "a@-b",
            "a@b..c",
            "a@b\n",
            "ä@b",
            "a\0@b",
            &format!("{}@example.com", "a".repeat(65)),
            &format!("a@{}", "b".repeat(64)),
            &format!("a@{}", "b.".repeat(130)),
        ] {
            assert!(Email::parse(bad).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn case_does_not_tell_accounts_apart() {
        let written = Email::parse("Kim.Lee@Maru.Local").unwrap();
        assert_eq!(written.as_str(), "Kim.Lee@Maru.Local");
        assert_eq!(written.key(), "kim.lee@maru.local");
        let other = Email::parse("KIM.lee@maru.LOCAL").unwrap();
        assert_eq!(other.key(), written.key());
    }
}
