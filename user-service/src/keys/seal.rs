//! Encryption of small secrets at rest: AES-256-GCM (NIST SP 800-38D) with a random 96-bit nonce,
//! bound to the id of its row, so that a sealed secret cannot be moved to another.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use secrecy::{ExposeSecret, SecretSlice};

use super::installation::{InstallationSecret, Purpose};
use super::random;

/// Seals and opens secrets of one purpose.
pub(super) struct Sealer(LessSafeKey);

/// The sealed text is damaged, or was sealed with another secret or for another key id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a sealed key cannot be opened with this secret")]
pub(crate) struct Unsealable;

impl Sealer {
    pub(super) fn new(secret: &InstallationSecret, purpose: Purpose) -> Self {
        let key = UnboundKey::new(&AES_256_GCM, &secret.derive(purpose))
            .expect("a derived key has 256 bits");
        Self(LessSafeKey::new(key))
    }

    /// Base64url of nonce, ciphertext and tag.
    pub(super) fn seal(&self, kid: &str, plain: &SecretSlice<u8>) -> String {
        // Random nonces are safe for 2^32 messages; an installation seals a few.
        let nonce = random::<NONCE_LEN>();
        let mut sealed = plain.expose_secret().to_vec();
        self.0
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(kid.as_bytes()),
                &mut sealed,
            )
            .expect("a key is shorter than the cipher's limit");
        URL_SAFE_NO_PAD.encode([nonce.as_slice(), sealed.as_slice()].concat())
    }

    pub(super) fn open(&self, kid: &str, sealed: &str) -> Result<SecretSlice<u8>, Unsealable> {
        let bytes = URL_SAFE_NO_PAD
            .decode(sealed)
            .map_err(|_malformed| Unsealable)?;
        let (nonce, rest) = bytes.split_at_checked(NONCE_LEN).ok_or(Unsealable)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_length| Unsealable)?;
        let mut rest = rest.to_vec();
        let plain = self
            .0
            .open_in_place(nonce, Aad::from(kid.as_bytes()), &mut rest)
            .map_err(|_unspecified| Unsealable)?;
        Ok(plain.to_vec().into())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use secrecy::SecretString;

    use super::*;

    fn sealer(secret: &str) -> Sealer {
        let secret = SecretString::from(secret);
        let secret = InstallationSecret::obtain(&secret, Path::new("unused")).unwrap();
        Sealer::new(&secret, Purpose::SealSigningKeys)
    }

    #[test]
    fn what_was_sealed_opens_only_with_the_same_secret_and_id() {
        let sealer_a = sealer("a");
        let plain: SecretSlice<u8> = b"private".to_vec().into();
        let sealed = sealer_a.seal("kid", &plain);
        assert_ne!(sealed, sealer_a.seal("kid", &plain));
        let opened = sealer_a.open("kid", &sealed).unwrap();
        assert_eq!(opened.expose_secret(), b"private");
        assert!(sealer("b").open("kid", &sealed).is_err());
        assert!(sealer_a.open("other", &sealed).is_err());
        assert!(sealer_a.open("kid", "").is_err());
        assert!(sealer_a.open("kid", "!").is_err());
        for position in 0..sealed.len() {
            let mut damaged = sealed.clone().into_bytes();
            damaged[position] = if damaged[position] == b'A' {
                b'B'
            } else {
                b'A'
            };
            let damaged = String::from_utf8(damaged).unwrap();
            assert!(sealer_a.open("kid", &damaged).is_err(), "{position}");
        }
    }
}
