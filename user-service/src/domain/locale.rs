//! A person's language.

/// Longest tag, in bytes (RFC 5646, section 4.4.1).
pub(crate) const MAX_LOCALE_BYTES: usize = 35;

/// Whether a text is shaped like a BCP 47 tag with a language of two or three letters: `ko`, `en-US`,
/// `zh-Hant-TW` (RFC 5646, section 2.1). Whether anybody speaks it is not checked.
pub(crate) fn is_locale(text: &str) -> bool {
    let mut parts = text.split('-');
    let language = parts.next().unwrap_or_default();
    let subtag = |part: &str| {
        (1..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric())
    };
    text.len() <= MAX_LOCALE_BYTES
        && (2..=3).contains(&language.len())
        && language.bytes().all(|byte| byte.is_ascii_alphabetic())
        && parts.all(subtag)
}

#[cfg(test)]
mod tests {
    use super::is_locale;

    #[test]
    fn tags_are_told_from_other_texts() {
        for good in ["ko", "en", "en-US", "zh-Hant-TW", "fil", "es-419"] {
            assert!(is_locale(good), "{good}");
        }
        for bad in [
            "",
            "e",
            "english",
            "en_US",
            "en-",
            "-en",
            "en us",
            "1a",
            "ko-ninechars",
        ] {
            assert!(!is_locale(bad), "{bad}");
        }
        assert!(!is_locale(&format!("en{}", "-abcdefgh".repeat(4))));
    }
}
