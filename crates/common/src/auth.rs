//! Who asks, and what they may do.
//!
//! user-service signs EdDSA (Ed25519, RFC 8037) access tokens; every service verifies them offline
//! with its published keys. Permissions are extractor types in handler signatures, never only a
//! middleware. Nothing in this module can sign a user's token.

mod crypto;
mod extractors;
mod keys;
mod permissions;
mod principal;
mod revocation_feed;
mod revocations;
mod scopes;
mod service_tokens;
mod verified;
mod verifier;

pub use access::access;
pub use crypto::install_jwt_crypto;
pub use extractors::{
    Access, Guard, OPENID_SCOPE, OpenIdCaller, Operator, PermissionMarker, Permit, ServiceIdentity,
    bearer_of,
};
pub use keys::{Jwk, JwkSet, KeySource, KeySourceError, StaticKeys, UserServiceKeys};
pub use permissions::{Permission, Role, UnknownName, permits};
pub use principal::{Claims, Delegation, Principal, StoreClaim, StoreScope, TokenType};
pub use revocation_feed::RevocationFeed;
pub use revocations::{MAX_TOKEN_LIFE, Revocation, Revocations, RevocationsPage, Revoked};
pub use scopes::{PermissionScope, permission_scopes};
pub use service_tokens::{
    ServiceTokenIn, ServiceTokenOut, ServiceTokens, TokenSource, TokenSourceError,
    derive_service_secret,
};
pub use verifier::{
    AUDIENCE, DELEGATED_AUDIENCE, ISSUER, TokenError, TokenVerifier, WeakTokenVerifier,
};
