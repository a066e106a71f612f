//! The keys that sign tokens: made on the first start, kept sealed in the database, published as a
//! JSON Web Key Set (RFC 7517). Several may be published while one of them signs, so that tokens of
//! the key before verify until they expire.

use std::collections::HashMap;
use std::sync::{Arc, RwLock};

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use common::auth::{Jwk, JwkSet, KeySource, KeySourceError};
use common::clock::Clock;
use common::time::Timestamp;
use jsonwebtoken::{Algorithm, EncodingKey};
use ring::digest;
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use secrecy::{ExposeSecret, SecretSlice};
use store::{Db, StoreError};

use super::installation::{InstallationSecret, Purpose};
use super::mint::MintError;
use super::seal::{Sealer, Unsealable};
use crate::store::signing_keys::{self, SealedKey};

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyringError {
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Another secret sealed them.
    #[error(
        "the signing key {kid} in the database was sealed with another secret; every start and \
         every replica needs the same keys.encryption_secret or keys/user-service.secret"
    )]
    Sealed {
        kid: String,
        #[source]
        source: Unsealable,
    },
}

/// The key that signs now.
#[derive(Clone)]
pub(super) struct Signer {
    pub(super) kid: String,
    pub(super) key: EncodingKey,
}

/// A signature and the key that made it, base64url.
pub(crate) struct SignedText {
    pub(crate) kid: String,
    pub(crate) public_key: String,
    pub(crate) signature: String,
}

/// The keys in force. Clones share them.
#[derive(Clone)]
pub(crate) struct Keyring(Arc<Inner>);

struct Inner {
    db: Db,
    clock: Clock,
    sealer: Sealer,
    keys: RwLock<Keys>,
}

struct Keys {
    /// In the order in which they begin to sign; the last one that has begun signs.
    signers: Vec<(Timestamp, Signer)>,
    published: JwkSet,
    /// The public halves by the keys' ids, also of those that nobody publishes any more because their
    /// tokens have expired.
    not_withdrawn: HashMap<String, String>,
}

impl Keys {
    /// The first key signs at once, even when another replica's clock is ahead of this one's.
    fn signer(&self, now: Timestamp) -> &Signer {
        let begun = self.signers.iter().rfind(|(from, _)| *from <= now);
        let signer = begun.or(self.signers.first());
        &signer.expect("a keyring without a key is never made").1
    }
}

impl Keyring {
    /// Reads the keys, making the first one when there is none.
    pub(crate) async fn open(
        db: Db,
        secret: &InstallationSecret,
        clock: Clock,
    ) -> Result<Self, KeyringError> {
        let sealer = Sealer::new(secret, Purpose::SealSigningKeys);
        let keys = match load(&db, &sealer, clock.now()).await? {
            Some(keys) => keys,
            None => make_first(&db, &sealer, clock.now()).await?,
        };
        let keys = RwLock::new(keys);
        Ok(Self(Arc::new(Inner {
            db,
            clock,
            sealer,
            keys,
        })))
    }

    /// Reads the keys again: another replica may have made one.
    pub(crate) async fn reload(&self) -> Result<(), KeyringError> {
        let inner = &self.0;
        if let Some(keys) = load(&inner.db, &inner.sealer, inner.clock.now()).await? {
            *inner.keys.write().expect("no code panics while holding it") = keys;
        }
        Ok(())
    }

    /// The public keys with which tokens verify now.
    pub(crate) fn published(&self) -> JwkSet {
        self.read(|keys| keys.published.clone())
    }

    /// The public half of a key with which something that outlives its publication was signed; none
    /// of a key that was withdrawn because somebody else may have it.
    pub(super) fn public_half(&self, kid: &str) -> Option<String> {
        self.read(|keys| keys.not_withdrawn.get(kid).cloned())
    }

    pub(super) fn signer(&self) -> Signer {
        let now = self.0.clock.now();
        self.read(|keys| keys.signer(now).clone())
    }

    /// A key to follow the one of generation `newest`, not stored yet.
    pub(crate) fn next_key(
        &self,
        newest: i64,
        created_at: Timestamp,
        signs_from: Timestamp,
    ) -> SealedKey {
        let generation = newest.saturating_add(1);
        generate(&self.0.sealer, generation, (created_at, signs_from))
    }

    /// Signs a text that is no token with the key that signs tokens. The text must hold something
    /// that a token's signing input cannot, such as a line break.
    pub(crate) fn sign_text(&self, text: &str) -> Result<SignedText, MintError> {
        let signer = self.signer();
        let signature = jsonwebtoken::crypto::sign(text.as_bytes(), &signer.key, Algorithm::EdDSA)?;
        let keys = self.published().keys;
        let public = keys.into_iter().find(|key| key.kid == signer.kid);
        Ok(SignedText {
            public_key: public.map(|key| key.x).unwrap_or_default(),
            kid: signer.kid,
            signature,
        })
    }

    fn read<T>(&self, get: impl FnOnce(&Keys) -> T) -> T {
        get(&self.0.keys.read().expect("no code panics while holding it"))
    }
}

/// This service verifies tokens with its own keys, without asking itself over HTTP.
#[async_trait]
impl KeySource for Keyring {
    async fn fetch(&self) -> Result<JwkSet, KeySourceError> {
        Ok(self.published())
    }
}

/// `None` when there is no key.
async fn load(db: &Db, sealer: &Sealer, now: Timestamp) -> Result<Option<Keys>, KeyringError> {
    let mut tx = db.read().await?;
    let stored = signing_keys::list_published(&mut tx, now).await?;
    let not_withdrawn = signing_keys::list_not_withdrawn(&mut tx).await?;
    drop(tx);
    let mut signers = Vec::new();
    let mut sealed = None;
    for key in &stored {
        match sealer.open(&key.kid, &key.sealed_private_key) {
            Ok(private) => {
                let signer = Signer {
                    kid: key.kid.clone(),
                    key: EncodingKey::from_ed_der(private.expose_secret()),
                };
                signers.push((key.signs_from, signer));
            }
            // It may still verify, but it cannot sign.
            Err(source) => sealed = Some((key.kid.clone(), source)),
        }
    }
    if signers.is_empty() {
        return match sealed {
            Some((kid, source)) => Err(KeyringError::Sealed { kid, source }),
            None => Ok(None),
        };
    }
    let published = JwkSet {
        keys: stored.iter().map(to_jwk).collect(),
    };
    let not_withdrawn = not_withdrawn.into_iter();
    Ok(Some(Keys {
        signers,
        published,
        not_withdrawn: not_withdrawn.map(|key| (key.kid, key.public_key)).collect(),
    }))
}

async fn make_first(db: &Db, sealer: &Sealer, now: Timestamp) -> Result<Keys, KeyringError> {
    let key = generate(sealer, 1, (now, now));
    let mut tx = db.begin().await?;
    let made = signing_keys::insert_generation(&mut tx, &key).await?;
    tx.commit().await?;
    if made {
        tracing::info!(key.id = key.kid, "made the first signing key");
    }
    // Not necessarily the one made here: of several replicas, one wins.
    let keys = load(db, sealer, now).await?;
    Ok(keys.expect("a key was just stored; none is ever deleted"))
}

fn generate(
    sealer: &Sealer,
    generation: i64,
    (created_at, signs_from): (Timestamp, Timestamp),
) -> SealedKey {
    let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new())
        .expect("the operating system has randomness once it runs services");
    let pair = Ed25519KeyPair::from_pkcs8(document.as_ref()).expect("ring reads what it wrote");
    let public_key = URL_SAFE_NO_PAD.encode(pair.public_key().as_ref());
    let kid = thumbprint(&public_key);
    let private: SecretSlice<u8> = document.as_ref().to_vec().into();
    SealedKey {
        generation,
        sealed_private_key: sealer.seal(&kid, &private),
        public_key,
        kid,
        created_at,
        signs_from,
    }
}

/// The thumbprint of an Ed25519 public key (RFC 7638, section 3; RFC 8037, appendix A.3).
fn thumbprint(x: &str) -> String {
    let members = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, members.as_bytes()))
}

fn to_jwk(key: &SealedKey) -> Jwk {
    Jwk {
        // Stored in the set's own form already.
        x: key.public_key.clone(),
        ..Jwk::ed25519(key.kid.clone(), &[])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_thumbprint_is_that_of_rfc_8037() {
        let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
        let expected = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k";
        assert_eq!(thumbprint(x), expected);
    }
}
