//! Takes back what a token stands for (RFC 7009).

use common::auth::TokenVerifier;
use secrecy::{ExposeSecret, SecretString};

use super::client::Client;
use super::error::GrantError;
use super::store::grants;
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
    let Some(grant) = grant.filter(|grant| grant.client == client.id) else {
        return Ok(());
    };
    let now = state.clock.now();
    sessions::revoke_session(&mut tx, grant.session, RevokeReason::Logout, now).await?;
    state.revocations.follows(&mut tx);
    tx.commit().await?;
    tracing::info!(client.id = %client.id, session.id = %grant.session, "an application gave a token back");
    Ok(())
}

async fn session_of_access_token(
    verifier: &TokenVerifier,
    token: &SecretString,
) -> Option<SessionId> {
    let principal = verifier.verify(token.expose_secret()).await.ok()?;
    principal.session?.parse().ok()
}
