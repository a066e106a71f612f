//! Sessions as people see them.

use common::ids::UserId;
use common::time::Timestamp;
use store::{StoreError, Tx};

use crate::domain::session::{RevokeReason, SessionId};

/// Most sessions that are listed, those used last.
const MAX_LISTED: i64 = 200;

/// A session, as its person recognizes it.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct ListedSession {
    pub(crate) id: SessionId,
    pub(crate) device: Option<String>,
    pub(crate) address: Option<String>,
    pub(crate) created_at: Timestamp,
    pub(crate) last_used_at: Timestamp,
    pub(crate) expires_at: Timestamp,
}

/// The sessions of an account that are in force, last used first.
pub(crate) async fn list_in_force(
    tx: &mut Tx,
    account: UserId,
    now: Timestamp,
    idle: Timestamp,
) -> Result<Vec<ListedSession>, StoreError> {
    store::fetch_all!(
        tx,
        ListedSession,
        "SELECT id, device, address, created_at, last_used_at, expires_at FROM sessions
         WHERE user_id = $1 AND revoked_at IS NULL AND expires_at > $2 AND last_used_at >= $3
         ORDER BY last_used_at DESC, id DESC LIMIT $4",
        account,
        now,
        idle,
        MAX_LISTED
    )
}

/// Whose session it is.
pub(crate) async fn owner(tx: &mut Tx, session: SessionId) -> Result<Option<UserId>, StoreError> {
    let sql = "SELECT user_id FROM sessions WHERE id = $1";
    let row = store::fetch_optional!(tx, (UserId,), sql, session)?;
    Ok(row.map(|(user,)| user))
}

/// Ends every session of an account but `kept`, and says how many.
pub(crate) async fn revoke_all_but(
    tx: &mut Tx,
    account: UserId,
    kept: Option<SessionId>,
    now: Timestamp,
) -> Result<u64, StoreError> {
    store::execute!(
        tx,
        "UPDATE sessions SET revoked_at = $3, revoke_reason = $4
         WHERE user_id = $1 AND ($2 IS NULL OR id <> $2) AND revoked_at IS NULL",
        account,
        kept,
        now,
        RevokeReason::Ended.as_str()
    )
}
