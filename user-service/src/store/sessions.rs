//! Sessions and the refresh tokens that descend from each.

use common::ids::UserId;
use common::time::Timestamp;
use store::{StoreError, Tx};
use uuid::Uuid;

use crate::domain::session::{RefreshState, RevokeReason, SessionId};

/// Where a session is opened, as its person will recognize it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Origin {
    pub(crate) device: Option<String>,
    pub(crate) address: Option<String>,
}

/// A session to open.
#[derive(Clone, Debug)]
pub(crate) struct NewSession {
    pub(crate) id: SessionId,
    pub(crate) user_id: UserId,
    pub(crate) created_at: Timestamp,
    pub(crate) expires_at: Timestamp,
    pub(crate) origin: Origin,
}

/// When a session began and when it ends at the latest.
#[derive(Clone, Copy, Debug, sqlx::FromRow)]
pub(crate) struct SessionSpan {
    pub(crate) created_at: Timestamp,
    pub(crate) expires_at: Timestamp,
}

#[derive(sqlx::FromRow)]
struct TokenRow {
    session_id: SessionId,
    used_at: Option<Timestamp>,
    successor_id: Option<Uuid>,
}

#[derive(sqlx::FromRow)]
struct SessionRow {
    user_id: UserId,
    last_used_at: Timestamp,
    expires_at: Timestamp,
    revoked_at: Option<Timestamp>,
    disabled: bool,
}

/// A presented refresh token, as it is stored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StoredRefresh {
    pub(crate) session_id: SessionId,
    pub(crate) user_id: UserId,
    /// Set once the token was used.
    pub(crate) successor_id: Option<Uuid>,
    pub(crate) state: RefreshState,
}

/// Opens sessions. One that is there already, from a try whose outcome was unknown, stays as it is.
pub(crate) async fn insert_sessions(
    tx: &mut Tx,
    sessions: &[&NewSession],
) -> Result<(), StoreError> {
    store::insert_many!(
        tx,
        "INSERT INTO sessions
             (id, user_id, created_at, last_used_at, expires_at, device, address)",
        sessions,
        |session| [
            session.id,
            session.user_id,
            session.created_at,
            session.created_at,
            session.expires_at,
            session.origin.device.as_deref(),
            session.origin.address.as_deref()
        ],
        "ON CONFLICT (id) DO NOTHING"
    )?;
    Ok(())
}

/// Stores hashes of refresh tokens, each with its session, as issued now. One that is there already
/// stays as it is.
pub(crate) async fn insert_refresh_tokens(
    tx: &mut Tx,
    tokens: &[(&str, SessionId)],
    now: Timestamp,
) -> Result<(), StoreError> {
    store::insert_many!(
        tx,
        "INSERT INTO refresh_tokens (token_hash, session_id, issued_at)",
        tokens,
        |(hash, session)| [*hash, *session, now],
        "ON CONFLICT (token_hash) DO NOTHING"
    )?;
    Ok(())
}

/// A refresh token, kept from being used by others until the transaction ends, and its session.
pub(crate) async fn find_refresh_locked(
    tx: &mut Tx,
    hash: &str,
) -> Result<Option<StoredRefresh>, StoreError> {
    let token = store::fetch_optional_locked!(
        tx,
        TokenRow,
        "SELECT session_id, used_at, successor_id FROM refresh_tokens WHERE token_hash = $1",
        hash
    )?;
    let Some(token) = token else { return Ok(None) };
    // Not locked, and after the token: whoever disables an account locks it before its sessions.
    let session = store::fetch_optional!(
        tx,
        SessionRow,
        "SELECT s.user_id, s.last_used_at, s.expires_at, s.revoked_at, u.disabled
         FROM sessions AS s JOIN users AS u ON u.id = s.user_id
         WHERE s.id = $1",
        token.session_id
    )?;
    Ok(session.map(|session| StoredRefresh {
        session_id: token.session_id,
        user_id: session.user_id,
        successor_id: token.successor_id,
        state: RefreshState {
            used_at: token.used_at,
            last_used_at: session.last_used_at,
            expires_at: session.expires_at,
            revoked: session.revoked_at.is_some(),
            account_disabled: session.disabled,
        },
    }))
}

/// Marks a refresh token as used and its session as alive.
pub(crate) async fn use_refresh_token(
    tx: &mut Tx,
    hash: &str,
    session: SessionId,
    successor_id: Uuid,
    now: Timestamp,
) -> Result<(), StoreError> {
    store::execute!(
        tx,
        "UPDATE refresh_tokens SET used_at = $2, successor_id = $3 WHERE token_hash = $1",
        hash,
        now,
        successor_id
    )?;
    let sql = "UPDATE sessions SET last_used_at = $2 WHERE id = $1";
    store::execute!(tx, sql, session, now)?;
    Ok(())
}

/// The session of a refresh token.
pub(crate) async fn find_session_of_token(
    tx: &mut Tx,
    hash: &str,
) -> Result<Option<SessionId>, StoreError> {
    let sql = "SELECT session_id FROM refresh_tokens WHERE token_hash = $1";
    let row = store::fetch_optional!(tx, (SessionId,), sql, hash)?;
    Ok(row.map(|(id,)| id))
}

/// When a session began and ends.
pub(crate) async fn find_span(
    tx: &mut Tx,
    session: SessionId,
) -> Result<Option<SessionSpan>, StoreError> {
    let sql = "SELECT created_at, expires_at FROM sessions WHERE id = $1";
    store::fetch_optional!(tx, SessionSpan, sql, session)
}

/// Ends a session; one that has ended stays as it is.
pub(crate) async fn revoke_session(
    tx: &mut Tx,
    session: SessionId,
    reason: RevokeReason,
    now: Timestamp,
) -> Result<(), StoreError> {
    store::execute!(
        tx,
        "UPDATE sessions SET revoked_at = $2, revoke_reason = $3
         WHERE id = $1 AND revoked_at IS NULL",
        session,
        now,
        reason.as_str()
    )?;
    Ok(())
}

/// Ends every session of an account.
pub(crate) async fn revoke_sessions_of(
    tx: &mut Tx,
    user: UserId,
    reason: RevokeReason,
    now: Timestamp,
) -> Result<(), StoreError> {
    store::execute!(
        tx,
        "UPDATE sessions SET revoked_at = $2, revoke_reason = $3
         WHERE user_id = $1 AND revoked_at IS NULL",
        user,
        now,
        reason.as_str()
    )?;
    Ok(())
}

/// Ends every session of an account but one.
pub(crate) async fn revoke_other_sessions(
    tx: &mut Tx,
    user: UserId,
    kept: SessionId,
    reason: RevokeReason,
    now: Timestamp,
) -> Result<(), StoreError> {
    store::execute!(
        tx,
        "UPDATE sessions SET revoked_at = $3, revoke_reason = $4
         WHERE user_id = $1 AND id <> $2 AND revoked_at IS NULL",
        user,
        kept,
        now,
        reason.as_str()
    )?;
    Ok(())
}

/// Deletes sessions that expired before `expired` or were last used before `idle`, with their
/// tokens.
pub(crate) async fn delete_ended(
    tx: &mut Tx,
    expired: Timestamp,
    idle: Timestamp,
) -> Result<u64, StoreError> {
    store::execute!(
        tx,
        "DELETE FROM sessions WHERE expires_at < $1 OR last_used_at < $2",
        expired,
        idle
    )
}
