//! Signs tokens. Nothing outside this module can.

use std::time::Duration;

use common::auth::{Claims, ISSUER, Role, StoreClaim, StoreScope, TokenType, install_jwt_crypto};
use common::clock::Clock;
use contracts::services::ServiceName;
use jsonwebtoken::{Algorithm, Header, encode};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use uuid::Uuid;

use super::keyring::Keyring;
use crate::domain::account::Account;
use crate::domain::session::SessionId;
use crate::settings::TokensSettings;

/// A token could not be signed: a fault of this program.
#[derive(Debug, thiserror::Error)]
#[error("a token could not be signed")]
pub(crate) struct MintError(#[from] jsonwebtoken::errors::Error);

/// A signed token and how long it is good for.
pub(crate) struct Minted {
    token: SecretString,
    pub(crate) expires_in_seconds: u32,
}

impl Minted {
    /// The text that the client calls with.
    pub(crate) fn expose(&self) -> &str {
        self.token.expose_secret()
    }
}

/// What the token of an application, or of an API key, says.
pub(crate) struct Delegated<'d> {
    /// For whom it acts.
    pub(crate) account: &'d Account,
    /// In which session; of an API key, the key itself.
    pub(crate) session: SessionId,
    /// The application, or the key's prefix.
    pub(crate) client_id: String,
    /// The scopes, separated by blanks.
    pub(crate) scope: String,
    /// Where it holds.
    pub(crate) stores: StoreScope,
    /// The longest that it may last.
    pub(crate) at_most: Duration,
}

/// What the token of a program that acts for itself says.
pub(crate) struct Program<'p> {
    /// The program, and its token's subject.
    pub(crate) client_id: String,
    /// In which session.
    pub(crate) session: SessionId,
    /// Where it holds.
    pub(crate) stores: &'p StoreClaim,
    /// The scopes, separated by blanks.
    pub(crate) scope: String,
}

/// Signs access tokens and services' tokens.
pub(crate) struct Mint {
    pub(super) keyring: Keyring,
    pub(super) clock: Clock,
    pub(super) access_life: Duration,
    service_life: Duration,
}

impl Mint {
    pub(crate) fn new(keyring: Keyring, clock: Clock, settings: &TokensSettings) -> Self {
        install_jwt_crypto();
        Self {
            keyring,
            clock,
            access_life: settings.access_life(),
            service_life: settings.service_life(),
        }
    }

    /// The token of an account in a session.
    pub(crate) fn access(
        &self,
        account: &Account,
        session: SessionId,
    ) -> Result<Minted, MintError> {
        let claims = Claims {
            sid: Some(session.to_string()),
            roles: account.roles.iter().copied().collect(),
            stores: account.store_claim(),
            ver: account.version,
            ..self.claims(account.id.to_string(), TokenType::Access)
        };
        self.sign(claims, self.access_life)
    }

    /// The token with which an application or a program acts for an account.
    pub(crate) fn delegated(&self, delegated: &Delegated<'_>) -> Result<Minted, MintError> {
        let account = delegated.account;
        let claims = Claims {
            sid: Some(delegated.session.to_string()),
            roles: account.roles.iter().copied().collect(),
            stores: match &delegated.stores {
                StoreScope::All => StoreClaim::ALL,
                StoreScope::Only(stores) => StoreClaim::Only(stores.clone()),
            },
            ver: account.version,
            azp: Some(delegated.client_id.clone()),
            scope: Some(delegated.scope.clone()),
            ..self.claims(account.id.to_string(), TokenType::Delegated)
        };
        self.sign(claims, self.access_life.min(delegated.at_most))
    }

    /// The token with which a program acts for itself.
    pub(crate) fn program(&self, program: &Program<'_>) -> Result<Minted, MintError> {
        let client_id = &program.client_id;
        let claims = Claims {
            sid: Some(program.session.to_string()),
            roles: vec![Role::Service],
            stores: program.stores.clone(),
            azp: Some(client_id.clone()),
            scope: Some(program.scope.clone()),
            ..self.claims(client_id.clone(), TokenType::Delegated)
        };
        self.sign(claims, self.access_life)
    }

    /// The token of a service.
    pub(crate) fn service(&self, service: ServiceName) -> Result<Minted, MintError> {
        let claims = self.claims(service.as_str().to_owned(), TokenType::Service);
        self.sign(claims, self.service_life)
    }

    fn claims(&self, sub: String, typ: TokenType) -> Claims {
        let now = self.clock.now().as_unix_seconds();
        Claims {
            iss: ISSUER.to_owned(),
            aud: typ.audience().to_owned(),
            sub,
            sid: None,
            exp: now,
            nbf: now,
            iat: now,
            jti: Uuid::new_v4().simple().to_string(),
            typ,
            roles: Vec::new(),
            stores: StoreClaim::default(),
            ver: 0,
            azp: None,
            scope: None,
        }
    }

    fn sign(&self, mut claims: Claims, life: Duration) -> Result<Minted, MintError> {
        let seconds = u32::try_from(life.as_secs()).unwrap_or(u32::MAX);
        claims.exp = claims.iat.saturating_add(i64::from(seconds));
        Ok(Minted {
            token: self.sign_any(&claims)?,
            expires_in_seconds: seconds,
        })
    }

    pub(super) fn sign_any(&self, claims: &impl Serialize) -> Result<SecretString, MintError> {
        let signer = self.keyring.signer();
        let header = Header {
            kid: Some(signer.kid),
            ..Header::new(Algorithm::EdDSA)
        };
        Ok(encode(&header, claims, &signer.key)?.into())
    }
}
