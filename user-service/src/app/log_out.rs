//! Ends a session, for every token that descends from it.

use common::auth::Principal;
use secrecy::SecretString;

use crate::domain::session::{RevokeReason, SessionId};
use crate::error::SessionError;
use crate::keys::{RefreshToken, TokenHolder};
use crate::state::AppState;
use crate::store::sessions;

/// What names the session to end.
pub(crate) enum Logout {
    /// Any refresh token of the session.
    RefreshToken(SecretString),
    /// The session of a verified access token.
    Session(Principal),
}

/// Ends the session; one that has ended, or never was, is as good as ended.
pub(crate) async fn log_out(state: &AppState, logout: Logout) -> Result<(), SessionError> {
    let mut tx = state.db.begin().await?;
    let session = match &logout {
        Logout::RefreshToken(text) => match RefreshToken::parse(text, TokenHolder::Account) {
            Some(token) => sessions::find_session_of_token(&mut tx, &token.hash()).await?,
            None => None,
        },
        Logout::Session(principal) => session_of(principal),
    };
    let Some(session) = session else {
        return Ok(tx.commit().await?);
    };
    let now = state.clock.now();
    sessions::revoke_session(&mut tx, session, RevokeReason::Logout, now).await?;
    state.revocations.follows(&mut tx);
    tx.commit().await?;
    tracing::info!(session.id = %session, "signed out");
    Ok(())
}

/// The session that a token belongs to.
pub(crate) fn session_of(principal: &Principal) -> Option<SessionId> {
    principal.session.as_deref()?.parse().ok()
}
