//! What a person let applications do: to look at and to take back.

use common::auth::Principal;

use super::client::ClientId;
use super::store::consents::{self, Consent};
use super::store::grants;
use crate::app::whoami::caller;
use crate::audit::{self, Entry};
use crate::domain::session::RevokeReason;
use crate::error::SessionError;
use crate::state::AppState;
use crate::store::sessions;

/// The caller's consents, at most `limit`.
pub(crate) async fn list(
    state: &AppState,
    principal: &Principal,
    after: Option<ClientId>,
    limit: u32,
) -> Result<Vec<Consent>, SessionError> {
    let mut tx = state.db.read().await?;
    let account = caller(state, &mut tx, principal).await?;
    Ok(consents::list(&mut tx, account.id, after, limit.into()).await?)
}

/// Takes a consent back and ends every session in which the application acts for the caller. `false`
/// when there was none.
pub(crate) async fn take_back(
    state: &AppState,
    principal: &Principal,
    client: ClientId,
) -> Result<bool, SessionError> {
    let mut tx = state.db.begin().await?;
    let account = caller(state, &mut tx, principal).await?;
    let existed = consents::delete(&mut tx, account.id, client).await?;
    let now = state.clock.now();
    for session in grants::list_sessions(&mut tx, client, Some(account.id)).await? {
        sessions::revoke_session(&mut tx, session, RevokeReason::Logout, now).await?;
    }
    state.revocations.follows(&mut tx);
    if existed {
        let entry = Entry::new(principal, "consent.taken_back").on("application", client);
        audit::record(state, &mut tx, entry).await?;
    }
    tx.commit().await?;
    tracing::info!(user.id = %account.id, client.id = %client, "took a consent back");
    Ok(existed)
}
