//! Paths in canonical form, so that routing, authorization and the service see the same one
//! (RFC 3986, section 6.2.2).

use std::borrow::Cow;

/// A path without dot segments, empty segments or ambiguous encodings: unreserved characters stand
/// decoded, all other escapes in upper case. A path that has this form already is not copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CanonicalPath<'r> {
    text: Cow<'r, str>,
    escaped_slash: bool,
}

/// Why a path has no canonical form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadPath(pub &'static str);

impl<'r> CanonicalPath<'r> {
    /// Brings a path into canonical form.
    ///
    /// Whatever a second parser could read as another path is refused and not repaired: dot segments
    /// (plain, escaped, or with parameters), `//`, backslashes and control bytes. An escaped slash
    /// counts as a slash here; whether it may stand at all is the route's to say.
    ///
    /// # Errors
    /// With what is wrong.
    pub fn parse(raw: &'r str) -> Result<Self, BadPath> {
        if !raw.starts_with('/') {
            return Err(BadPath("must begin with a slash"));
        }
        let plain = |byte: u8| matches!(byte, 0x21..=0x7e) && !matches!(byte, b'%' | b'\\');
        let text = match raw.bytes().all(plain) {
            true => Cow::Borrowed(raw),
            false => Cow::Owned(decode_unreserved(raw)?),
        };
        let escaped_slash = matches!(text, Cow::Owned(_)) && text.contains("%2F");
        match escaped_slash {
            true => check_segments(&text.replace("%2F", "/"))?,
            false => check_segments(&text)?,
        }
        Ok(Self {
            text,
            escaped_slash,
        })
    }

    /// The path as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether a slash stands escaped in it.
    #[must_use]
    pub const fn has_escaped_slash(&self) -> bool {
        self.escaped_slash
    }
}

fn check_segments(path: &str) -> Result<(), BadPath> {
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        if segment.is_empty() && segments.peek().is_some() {
            return Err(BadPath("must not have empty segments"));
        }
        if segment.starts_with('.') {
            let name = segment.split(';').next().unwrap_or_default();
            if matches!(name, "." | "..") {
                return Err(BadPath("must not have dot segments"));
            }
        }
    }
    Ok(())
}

fn decode_unreserved(raw: &str) -> Result<String, BadPath> {
    let mut canonical = String::with_capacity(raw.len());
    let mut bytes = raw.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => {
                let digits = (bytes.next().and_then(hex), bytes.next().and_then(hex));
                let (Some(high), Some(low)) = digits else {
                    return Err(BadPath("has a broken percent-encoding"));
                };
                push_decoded(high << 4 | low, &mut canonical)?;
            }
            b'\\' => return Err(BadPath("must not have backslashes")),
            0x21..=0x7e => canonical.push(char::from(byte)),
            _ => return Err(BadPath("has bytes that must be percent-encoded")),
        }
    }
    Ok(canonical)
}

fn push_decoded(byte: u8, canonical: &mut String) -> Result<(), BadPath> {
    match byte {
        b'\\' => return Err(BadPath("must not have escaped backslashes")),
        0..=0x1f | 0x7f => return Err(BadPath("must not have escaped control bytes")),
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            canonical.push(char::from(byte));
        }
        _ => {
            canonical.push('%');
            for digit in [byte >> 4, byte & 0xf] {
                let digit = char::from_digit(digit.into(), 16).unwrap_or('0');
                canonical.push(digit.to_ascii_uppercase());
            }
        }
    }
    Ok(())
}

fn hex(byte: u8) -> Option<u8> {
    let digit = char::from(byte).to_digit(16)?;
    u8::try_from(digit).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn equal_paths_have_one_form() {
        for (raw, expected) in [
            ("/", "/"),
            ("/api/orders", "/api/orders"),
            ("/api/orders/", "/api/orders/"),
            ("/%61pi/%6Frders", "/api/orders"),
            ("/a%2cb", "/a%2Cb"),
            ("/%c3%a9", "/%C3%A9"),
            ("/a;v=1/b", "/a;v=1/b"),
            ("/a.b/..c/d..", "/a.b/..c/d.."),
            ("/%252e%252e/", "/%252e%252e/"),
            ("/a%2fb", "/a%2Fb"),
        ] {
            let path = CanonicalPath::parse(raw).map(|path| path.text.into_owned());
            assert_eq!(path, Ok(expected.to_owned()), "{raw}");
        }
    }

    #[test]
    fn ambiguous_paths_are_refused() {
        for raw in [
            "",
            "api",
            "*",
            "/..",
            "/api/../internal",
            "/api/%2e%2e/internal",
            "/api/%2E./internal",
            "/api/..;x/internal",
            "/./api",
            "//internal/tokens",
            "/api//internal",
            "/api/..%2finternal",
            "/api/%2finternal",
            "/%2finternal",
            "/api%5c..%5cinternal",
            "/api\\internal",
            "/api/%00",
            "/api/%0d%0aX: y",
            "/api/%7f",
            "/api/%",
            "/api/%2",
            "/api/%zz",
            "/api/\u{e9}",
            "/a b",
        ] {
            assert!(CanonicalPath::parse(raw).is_err(), "{raw}");
        }
    }

    proptest! {
        #[test]
        fn a_canonical_path_is_its_own_canonical_form(raw in "/[ -~]{0,40}") {
            if let Ok(path) = CanonicalPath::parse(&raw) {
                prop_assert_eq!(CanonicalPath::parse(path.as_str()), Ok(path.clone()));
                prop_assert!(!path.as_str().contains("/../") && !path.as_str().contains("//"));
            }
        }
    }
}
