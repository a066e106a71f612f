//! Tokens for applications: made from a grant, renewed with a refresh token.

use std::time::Duration;

use secrecy::SecretString;

use super::client::{Client, ClientId};
use super::error::GrantError;
use super::scopes::{OPENID, Scopes};
use super::store::clients;
use super::store::grants::{self, Grant};
use crate::app::acting::acting;
use crate::app::refresh;
use crate::client_address::ClientAddress;
use crate::domain::account::Account;
use crate::error::SessionError;
use crate::keys::{Delegated, IdToken, Minted, RefreshToken, TokenHolder};
use crate::state::AppState;
use crate::store::{accounts, sessions};
use crate::throttle::Door;

/// What an application gets.
pub(crate) struct Issued {
    pub(crate) access: Minted,
    pub(crate) refresh: Option<RefreshToken>,
    pub(crate) id_token: Option<SecretString>,
    pub(crate) scopes: Scopes,
}

/// What tokens are made from.
pub(super) struct Issuing<'i> {
    /// As it may act now.
    pub(super) account: &'i Account,
    pub(super) grant: &'i Grant,
    /// What the access token may do: the grant's scopes, or fewer.
    pub(super) scopes: &'i Scopes,
    pub(super) nonce: Option<&'i str>,
}

/// How an application proves itself (RFC 6749, section 2.3).
pub(crate) struct ClientProof {
    pub(crate) id: String,
    pub(crate) secret: Option<SecretString>,
}

/// The application, if it proved itself. Failures delay further tries of this application from this
/// address alone. An id that names no application is not counted: there is nothing to guess, and whoever
/// makes ids up would fill the counts.
pub(crate) async fn authenticate(
    state: &AppState,
    proof: &ClientProof,
    address: ClientAddress,
) -> Result<Client, GrantError> {
    let id = proof.id.parse::<ClientId>().ok();
    let id = id.ok_or(GrantError::InvalidClient)?;
    let throttle = &state.throttle;
    // One id can be written in many ways.
    let attempt = throttle.attempt_at(Door::Client, &id.to_string(), address.group());
    if let Some(wait) = throttle.waits(&attempt).await.always {
        return Err(SessionError::Throttled(wait).into());
    }
    let mut tx = state.db.read().await?;
    let client = clients::find(&mut tx, id).await?;
    drop(tx);
    let client = client.ok_or(GrantError::InvalidClient)?;
    if !client.disabled && client.is_proved_by(proof.secret.as_ref()) {
        return Ok(client);
    }
    throttle.failed(&attempt).await;
    Err(GrantError::InvalidClient)
}

/// Makes the tokens of a grant.
pub(super) fn issue(
    state: &AppState,
    issuing: &Issuing<'_>,
    refresh: Option<RefreshToken>,
) -> Result<Issued, GrantError> {
    let Issuing {
        account,
        grant,
        scopes,
        nonce,
    } = issuing;
    let access = state.mint.delegated(&Delegated {
        account,
        session: grant.session,
        client_id: grant.client.to_string(),
        scope: scopes.to_string(),
        stores: account.scope(),
        at_most: Duration::MAX,
    })?;
    let id_token = match grant.scopes.contains(OPENID) {
        true => Some(state.mint.id_token(&IdToken {
            issuer: &state.oidc.issuer,
            subject: account.id.to_string(),
            client_id: grant.client.to_string(),
            session: grant.browser.to_string(),
            authenticated_at: grant.authentication.at,
            methods: &grant.authentication.methods,
            nonce: *nonce,
            access_token: access.expose(),
        })?),
        false => None,
    };
    Ok(Issued {
        access,
        refresh,
        id_token,
        scopes: (*scopes).clone(),
    })
}

/// Renews tokens; the refresh token is good for one use (RFC 9700, section 4.14.2). `narrower` asks
/// for an access token that may do less (RFC 6749, section 6).
pub(crate) async fn renew(
    state: &AppState,
    client: &Client,
    presented: &SecretString,
    narrower: Option<&str>,
) -> Result<Issued, GrantError> {
    const BAD_TOKEN: GrantError = GrantError::InvalidGrant("the refresh token is not valid");
    let presented = RefreshToken::parse(presented, TokenHolder::Application).ok_or(BAD_TOKEN)?;
    let mut tx = state.db.begin().await?;
    let session = sessions::find_session_of_token(&mut tx, &presented.hash()).await?;
    let grant = match session {
        Some(session) => grants::find(&mut tx, session).await?,
        None => None,
    };
    let grant = grant
        .filter(|grant| grant.client == client.id)
        .ok_or(BAD_TOKEN)?;
    let scopes = match narrower {
        None => grant.scopes.clone(),
        Some(text) => Some(Scopes::parse(text))
            .filter(|asked| !asked.is_empty() && asked.is_subset_of(&grant.scopes))
            .ok_or(GrantError::InvalidScope)?,
    };
    let taken = match refresh::take(state, tx, &presented).await {
        Ok(taken) => taken,
        Err(SessionError::RefreshRefused | SessionError::RefreshReused) => return Err(BAD_TOKEN),
        Err(error) => return Err(error.into()),
    };
    let mut tx = taken.tx;
    let account = accounts::find_account(&mut tx, taken.user)
        .await?
        .ok_or(BAD_TOKEN)?;
    let acting = acting(state, &mut tx, account, grant.session).await?;
    let issuing = Issuing {
        account: &acting.account,
        grant: &grant,
        scopes: &scopes,
        nonce: None,
    };
    let issued = issue(state, &issuing, Some(taken.successor))?;
    tx.commit().await?;
    Ok(issued)
}
