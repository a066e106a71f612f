//! What a new password must be: long enough and not one that everybody tries first. No rules of
//! composition (NIST SP 800-63B, section 3.1.1.2; OWASP ASVS 5.0, 6.2.1 to 6.2.9).

use super::email::Email;

/// Shortest password, in characters.
pub(crate) const MIN_CHARACTERS: usize = 8;
/// Longest password, in characters.
pub(crate) const MAX_CHARACTERS: usize = 128;

/// One of the most common passwords per line, in lower case; shorter ones are refused anyway. The
/// first 3,000 are the most frequent of that length in Royce Williams' count of leaked passwords, in
/// the form that Django keeps; the rest are variations that people make of them.
const COMMON: &str = include_str!("common_passwords.txt");

/// Why a text is not taken as a new password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PasswordFault {
    #[error("must have at least {MIN_CHARACTERS} characters")]
    TooShort,
    #[error("must have at most {MAX_CHARACTERS} characters")]
    TooLong,
    #[error("is one of the most common passwords")]
    Common,
    #[error("must not be the email address or its first part")]
    LikeEmail,
}

impl PasswordFault {
    /// The stable code of the fault.
    pub(crate) const fn code(self) -> &'static str {
        match self {
            Self::TooShort => "too_short",
            Self::TooLong => "too_long",
            Self::Common => "too_common",
            Self::LikeEmail => "like_email",
        }
    }
}

/// Whether `password` may become the password of the account with this email.
pub(crate) fn judge_new(password: &str, email: Option<&Email>) -> Result<(), PasswordFault> {
    let characters = password.chars().count();
    if characters < MIN_CHARACTERS {
        return Err(PasswordFault::TooShort);
    }
    if characters > MAX_CHARACTERS {
        return Err(PasswordFault::TooLong);
    }
    let folded = password.to_lowercase();
    if COMMON.lines().any(|common| common == folded) {
        return Err(PasswordFault::Common);
    }
    let email = email.map(Email::key);
    let local = email.as_deref().and_then(|email| email.split('@').next());
    if [email.as_deref(), local].contains(&Some(folded.as_str())) {
        return Err(PasswordFault::LikeEmail);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn length_counts_in_characters_and_composition_not_at_all() {
        let email = Email::parse("kim.and.lee@maru.local");
        let check = |password: &str, expected: Result<(), PasswordFault>| {
            assert_eq!(
                judge_new(password, email.as_ref()),
                expected,
                "{password:?}"
            );
        };
        check("1234567", Err(PasswordFault::TooShort));
        check("한글비밀번호예", Err(PasswordFault::TooShort));
        check("한글비밀번호예쁨", Ok(()));
        check("just lower case words", Ok(()));
        check(&"ü".repeat(128), Ok(()));
        check(&"u".repeat(129), Err(PasswordFault::TooLong));
        check("PassWord1", Err(PasswordFault::Common));
        check("12345678", Err(PasswordFault::Common));
        check("Kim.And.Lee", Err(PasswordFault::LikeEmail));
        check("KIM.and.lee@maru.local", Err(PasswordFault::LikeEmail));
    }

    #[test]
    fn the_block_list_holds_distinct_lower_case_passwords_that_length_alone_lets_through() {
        let mut seen = std::collections::BTreeSet::new();
        for common in COMMON.lines() {
            assert!(common.chars().count() >= MIN_CHARACTERS, "{common}");
            assert_eq!(common, common.to_lowercase());
            assert!(seen.insert(common), "{common} stands twice");
        }
        assert!(seen.len() >= 3_000, "{}", seen.len());
    }
}
