//! Takes back what a token stands for (RFC 7009).

use ::store::Tx;
use common::auth::TokenVerifier;
use secrecy::{ExposeSecret, SecretString};

use super::client::Client;
use super::error::GrantError;
use super::store::{clients, grants, service_sessions};
use crate::domain::session::{RevokeReason, SessionId};
use crate::keys::{RefreshToken, TokenHolder};
use crate::state::AppState;
use crate::store::sessions;

/// Ends the grant that a refresh or access token belongs to. A token that is not the application's,
/// or that never was one, is as good as revoked (RFC 7009, section 2.2).
pub(crate) async fn revoke(
    state: &AppState,
    verifier: &TokenVerifier,
    client: &Client,
    token: &SecretString,
) -> Result<(), GrantError> {
    let from_access = session_of_access_token(verifier, token).await;
    let mut tx = state.db.begin().await?;
    let session = match RefreshToken::parse(token, TokenHolder::Application) {
        Some(refresh) => sessions::find_session_of_token(&mut tx, &refresh.hash()).await?,
        None => from_access,
    };
    let grant = match session {
        Some(session) => grants::find(&mut tx, session).await?,
        None => None,
    };
    if let Some(session) = session
        && client.acts_in(session)
    {
        return end_service_session(state, tx, client, session).await;
    }
    let Some(grant) = grant.filter(|grant| grant.client == client.id) else {
        return Ok(tx.commit().await?);
    };
    let now = state.clock.now();
    sessions::revoke_session(&mut tx, grant.session, RevokeReason::Logout, now).await?;
    state.revocations.follows(&mut tx);
    tx.commit().await?;
    tracing::info!(client.id = %client.id, session.id = %grant.session, "an application gave a token back");
    Ok(())
}

/// Ends the session in which the application acts for itself; its next token is of another one.
async fn end_service_session(
    state: &AppState,
    mut tx: Tx,
    client: &Client,
    session: SessionId,
) -> Result<(), GrantError> {
    let next = SessionId::new(&state.clock);
    if clients::replace_service_session(&mut tx, client.id, session, next).await? {
        service_sessions::end(&mut tx, session, state.clock.now()).await?;
        state.revocations.follows(&mut tx);
    }
    tx.commit().await?;
    tracing::info!(client.id = %client.id, "a program gave its tokens back");
    Ok(())
}

async fn session_of_access_token(
    verifier: &TokenVerifier,
    token: &SecretString,
) -> Option<SessionId> {
    let principal = verifier.verify(token.expose_secret()).await.ok()?;
    principal.session?.parse().ok()
}
