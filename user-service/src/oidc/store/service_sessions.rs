//! Sessions in which applications acted for themselves, once they have ended.

use common::time::Timestamp;
use store::{StoreError, Tx};

use crate::domain::session::SessionId;

/// Ends one: its tokens are refused everywhere within seconds.
pub(crate) async fn end(tx: &mut Tx, session: SessionId, now: Timestamp) -> Result<(), StoreError> {
    let sql = "INSERT INTO ended_service_sessions (session_id, ended_at) VALUES ($1, $2)
               ON CONFLICT (session_id) DO NOTHING";
    store::execute!(tx, sql, session, now)?;
    Ok(())
}

/// Those that ended since `since`.
pub(crate) async fn list_ended_since(
    tx: &mut Tx,
    since: Timestamp,
) -> Result<Vec<(SessionId, Timestamp)>, StoreError> {
    let sql = "SELECT session_id, ended_at FROM ended_service_sessions WHERE ended_at >= $1";
    store::fetch_all!(tx, (SessionId, Timestamp), sql, since)
}

/// Forgets those that ended before `before`.
pub(crate) async fn delete_ended(tx: &mut Tx, before: Timestamp) -> Result<u64, StoreError> {
    let sql = "DELETE FROM ended_service_sessions WHERE ended_at < $1";
    store::execute!(tx, sql, before)
}
