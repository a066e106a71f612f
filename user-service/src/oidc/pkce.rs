//! Proof key for code exchange: whoever asked for the code is who exchanges it (RFC 7636). Only the
//! method S256: with `plain`, whoever sees the request could exchange the code.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest;

/// Length of a SHA-256 in base64url.
const CHALLENGE_BYTES: usize = 43;

/// The code challenge of an authorization request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Challenge(String);

impl Challenge {
    /// Reads a challenge of the method S256; `None` for what cannot be one.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let decoded = URL_SAFE_NO_PAD.decode(text).ok()?;
        let right = text.len() == CHALLENGE_BYTES && decoded.len() == digest::SHA256_OUTPUT_LEN;
        right.then(|| Self(text.to_owned()))
    }

    /// As it is stored and sent.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether `verifier` is the one that a stored challenge was made from (RFC 7636, sections 4.1 and
/// 4.6). The challenge travelled in the open, so the time it takes to compare says nothing.
pub(crate) fn verifies(stored_challenge: &str, verifier: &str) -> bool {
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let well_formed = (43..=128).contains(&verifier.len()) && verifier.bytes().all(unreserved);
    let hash = digest::digest(&digest::SHA256, verifier.as_bytes());
    well_formed && URL_SAFE_NO_PAD.encode(hash) == stored_challenge
}

#[cfg(test)]
mod tests {
    use super::*;

    const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

    #[test]
    fn the_example_of_rfc_7636_verifies() {
        let challenge = Challenge::parse(CHALLENGE).unwrap();
        assert!(verifies(challenge.as_str(), VERIFIER));
        assert!(!verifies(challenge.as_str(), CHALLENGE), "that is `plain`");
        assert!(!verifies(challenge.as_str(), ""));
        assert!(!verifies(challenge.as_str(), &VERIFIER.to_lowercase()));
    }

    #[test]
    fn what_is_no_sha256_is_no_challenge() {
        for bad in [
            "",
            "short",
            &CHALLENGE[1..],
            &format!("{CHALLENGE}A"),
            &"!".repeat(43),
        ] {
            assert!(Challenge::parse(bad).is_none(), "{bad}");
        }
    }
}
