//! ID tokens: they tell an application who signed in (OpenID Connect Core 1.0, section 2). No service
//! takes one for an access token: issuer and audience are others.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use common::time::Timestamp;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use ring::digest;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::mint::{Mint, MintError};

/// Longest ID token looked at, in bytes.
const MAX_BYTES: usize = 4_096;

/// What an ID token is made from.
pub(crate) struct IdToken<'t> {
    pub(crate) issuer: &'t str,
    pub(crate) subject: String,
    pub(crate) client_id: String,
    /// The browser in which the person is signed in.
    pub(crate) session: String,
    pub(crate) authenticated_at: Timestamp,
    pub(crate) methods: &'t [String],
    pub(crate) nonce: Option<&'t str>,
    pub(crate) access_token: &'t str,
}

/// The claims of an ID token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct IdTokenClaims {
    pub(crate) iss: String,
    pub(crate) sub: String,
    /// The application's client id.
    pub(crate) aud: String,
    pub(crate) azp: String,
    pub(crate) exp: i64,
    pub(crate) iat: i64,
    pub(crate) auth_time: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) nonce: Option<String>,
    pub(crate) at_hash: String,
    pub(crate) amr: Vec<String>,
    pub(crate) sid: String,
}

impl Mint {
    /// Signs an ID token; it lives as long as the access token beside it.
    pub(crate) fn id_token(&self, token: &IdToken<'_>) -> Result<SecretString, MintError> {
        let now = self.clock.now();
        self.sign_any(&IdTokenClaims {
            iss: token.issuer.to_owned(),
            sub: token.subject.clone(),
            aud: token.client_id.clone(),
            azp: token.client_id.clone(),
            exp: now.plus(self.access_life).as_unix_seconds(),
            iat: now.as_unix_seconds(),
            auth_time: token.authenticated_at.as_unix_seconds(),
            nonce: token.nonce.map(ToOwned::to_owned),
            at_hash: half_hash(token.access_token),
            amr: token.methods.to_vec(),
            sid: token.session.clone(),
        })
    }

    /// The claims of an ID token that was signed here, however long ago: as a hint of who is meant, an
    /// expired one is as good as another (OpenID Connect RP-Initiated Logout 1.0, section 2), also after
    /// its key was followed by another.
    pub(crate) fn read_id_token(&self, issuer: &str, token: &str) -> Option<IdTokenClaims> {
        if token.len() > MAX_BYTES {
            return None;
        }
        let header = decode_header(token).ok()?;
        let kid = header.kid.filter(|_| header.alg == Algorithm::EdDSA)?;
        let key = DecodingKey::from_ed_components(&self.keyring.public_half(&kid)?).ok()?;
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_issuer(&[issuer]);
        validation.set_required_spec_claims(&["iss", "sub", "aud"]);
        validation.validate_exp = false;
        // Whose it is, the caller looks at.
        validation.validate_aud = false;
        let read = decode::<IdTokenClaims>(token, &key, &validation);
        Some(read.ok()?.claims)
    }
}

/// `at_hash` (OpenID Connect Core 1.0, section 3.1.3.6): the left half of the hash that the signature
/// algorithm uses, which for Ed25519 is SHA-512 (RFC 8032, section 5.1).
fn half_hash(token: &str) -> String {
    let hash = digest::digest(&digest::SHA512, token.as_bytes());
    let half = hash.as_ref().get(..digest::SHA512_OUTPUT_LEN / 2);
    URL_SAFE_NO_PAD.encode(half.unwrap_or_default())
}
