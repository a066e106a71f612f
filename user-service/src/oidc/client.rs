//! An application of a third party, as the owner registered it.

use common::auth::StoreClaim;
use common::clock::Clock;
use common::time::Timestamp;
use ring::digest;
use secrecy::{ExposeSecret, SecretString};

use super::redirect_uri;
use super::scopes::Scopes;
use crate::domain::session::SessionId;
use crate::keys::{hex, random};

common::define_id! {
    /// An application of a third party.
    pub(crate) struct ClientId;
}

/// Lets scanners for leaked secrets recognize one.
const SECRET_PREFIX: &str = "maru_cs_";

/// A registered application.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub(crate) id: ClientId,
    pub(crate) name: String,
    /// Of an application that can keep a secret.
    pub(crate) secret_hash: Option<String>,
    pub(crate) redirect_uris: Vec<String>,
    pub(crate) post_logout_redirect_uris: Vec<String>,
    /// The most that it can be given.
    pub(crate) scopes: Scopes,
    /// Of one that acts for itself as well.
    pub(crate) service: Option<ServiceGrant>,
    pub(crate) disabled: bool,
    /// Counts changes, from 1.
    pub(crate) version: i64,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
}

/// How an application acts for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServiceGrant {
    /// In which session; the tokens of the one before are worth nothing.
    pub(crate) session: SessionId,
    /// Where.
    pub(crate) stores: StoreClaim,
}

impl ServiceGrant {
    /// In a session of its own.
    pub(crate) fn new(clock: &Clock, stores: StoreClaim) -> Self {
        let session = SessionId::new(clock);
        Self { session, stores }
    }
}

impl Client {
    /// Whether it can keep a secret (RFC 6749, section 2.1).
    pub(crate) fn is_confidential(&self) -> bool {
        self.secret_hash.is_some()
    }

    /// Whether it acts for itself in this session.
    pub(crate) fn acts_in(&self, session: SessionId) -> bool {
        let service = self.service.as_ref();
        service.is_some_and(|service| service.session == session)
    }

    /// Whether browsers may be sent there with a code.
    pub(crate) fn may_redirect_to(&self, uri: &str) -> bool {
        let mut registered = self.redirect_uris.iter();
        registered.any(|registered| redirect_uri::matches(registered, uri))
    }

    /// Whether browsers may be sent there after signing out.
    pub(crate) fn may_return_to(&self, uri: &str) -> bool {
        let mut registered = self.post_logout_redirect_uris.iter();
        registered.any(|registered| redirect_uri::matches(registered, uri))
    }

    /// Whether whoever presents `secret`, or nothing, is this application.
    pub(crate) fn is_proved_by(&self, secret: Option<&SecretString>) -> bool {
        match (&self.secret_hash, secret) {
            (None, None) => true,
            // Hashes of 256 random bits: how long they take to compare says nothing of the secret.
            (Some(hash), Some(secret)) => *hash == hash_of(secret.expose_secret()),
            _ => false,
        }
    }
}

/// A new secret of an application, and the hash that is stored.
pub(crate) fn new_secret() -> (SecretString, String) {
    let secret = random_token(SECRET_PREFIX);
    let hash = hash_of(secret.expose_secret());
    (secret, hash)
}

/// 256 random bits behind a prefix.
pub(crate) fn random_token(prefix: &str) -> SecretString {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    format!("{prefix}{}", URL_SAFE_NO_PAD.encode(random::<32>())).into()
}

/// What is stored of a random token: it has 256 bits, so a plain hash cannot be guessed backwards.
pub(crate) fn hash_of(token: &str) -> String {
    hex(digest::digest(&digest::SHA256, token.as_bytes()).as_ref())
}
