//! The keys behind second factors and PINs, all outside the database: it alone opens no generator
//! and lets nobody guess a recovery code or a PIN.

use common::ids::UserId;
use ring::hmac;
use secrecy::{ExposeSecret, SecretSlice, SecretString};

use super::hex;
use super::installation::{InstallationSecret, Purpose};
use super::seal::{Sealer, Unsealable};

/// Seals generators' secrets, hashes recovery codes and prepares PINs for hashing.
pub(crate) struct FactorKeys {
    sealer: Sealer,
    recovery: hmac::Key,
    pins: hmac::Key,
}

impl FactorKeys {
    pub(crate) fn new(secret: &InstallationSecret) -> Self {
        let key = |purpose| hmac::Key::new(hmac::HMAC_SHA256, &secret.derive(purpose));
        Self {
            sealer: Sealer::new(secret, Purpose::SealFactors),
            recovery: key(Purpose::RecoveryCodes),
            pins: key(Purpose::Pins),
        }
    }

    /// A generator's secret as it is stored; it opens for this account alone.
    pub(crate) fn seal(&self, user: UserId, secret: &SecretSlice<u8>) -> String {
        self.sealer.seal(&user.to_string(), secret)
    }

    /// The same, opened.
    pub(crate) fn open(&self, user: UserId, sealed: &str) -> Result<SecretSlice<u8>, Unsealable> {
        self.sealer.open(&user.to_string(), sealed)
    }

    /// What is stored of a recovery code in its plain spelling.
    pub(crate) fn recovery_hash(&self, user: UserId, code: &str) -> String {
        hex(keyed(&self.recovery, user, code).as_ref())
    }

    /// What is hashed in the place of a PIN.
    pub(crate) fn prepare_pin(&self, user: UserId, pin: &SecretString) -> SecretString {
        hex(keyed(&self.pins, user, pin.expose_secret()).as_ref()).into()
    }
}

fn keyed(key: &hmac::Key, user: UserId, text: &str) -> hmac::Tag {
    let mut context = hmac::Context::with_key(key);
    context.update(user.as_uuid().as_bytes());
    context.update(text.as_bytes());
    context.sign()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use uuid::Uuid;

    use super::*;

    fn keys(secret: &str) -> FactorKeys {
        let secret = SecretString::from(secret);
        FactorKeys::new(&InstallationSecret::obtain(&secret, Path::new("unused")).unwrap())
    }

    #[test]
    fn everything_belongs_to_one_account_and_one_installation() {
        let (one, other) = (
            UserId::from_uuid(Uuid::from_u128(1)),
            UserId::from_uuid(Uuid::from_u128(2)),
        );
        let here = keys("a");
        let plain: SecretSlice<u8> = b"generator".to_vec().into();
        let sealed = here.seal(one, &plain);
        assert_eq!(
            here.open(one, &sealed).unwrap().expose_secret(),
            b"generator"
        );
        assert!(here.open(other, &sealed).is_err());
        assert!(keys("b").open(one, &sealed).is_err());
        let hash = here.recovery_hash(one, "code");
        assert_eq!(hash, here.recovery_hash(one, "code"));
        assert_ne!(hash, here.recovery_hash(other, "code"));
        assert_ne!(hash, keys("b").recovery_hash(one, "code"));
        let pin = SecretString::from("code");
        assert_ne!(here.prepare_pin(one, &pin).expose_secret(), hash);
    }
}
