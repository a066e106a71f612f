//! Forgotten passwords that nobody looked up yet.

use common::time::Timestamp;
use store::{StoreError, Tx};
use uuid::Uuid;

/// Somebody forgot the password of whatever account has this email, in its folded form.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct ResetRequest {
    pub(crate) id: Uuid,
    pub(crate) email_key: String,
}

/// Writes a request down.
pub(crate) async fn insert_request(
    tx: &mut Tx,
    request: &ResetRequest,
    now: Timestamp,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO reset_requests (id, email_key, asked_at) VALUES ($1, $2, $3)";
    store::execute!(tx, sql, request.id, &request.email_key, now)?;
    Ok(())
}

/// The oldest request that no other worker has in hand.
pub(crate) async fn next_request(tx: &mut Tx) -> Result<Option<ResetRequest>, StoreError> {
    let mut rows = store::fetch_all_skip_locked!(
        tx,
        ResetRequest,
        "SELECT id, email_key FROM reset_requests ORDER BY asked_at, id LIMIT 1"
    )?;
    Ok(rows.pop())
}

/// Forgets a request.
pub(crate) async fn delete_request(tx: &mut Tx, id: Uuid) -> Result<(), StoreError> {
    store::execute!(tx, "DELETE FROM reset_requests WHERE id = $1", id)?;
    Ok(())
}
