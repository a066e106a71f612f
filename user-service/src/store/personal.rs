//! What is stored of a person, wherever it is: read for an export, removed for an erasure. A table
//! that comes to hold something of a person comes to stand here.

use common::ids::{StoreId, UserId};
use common::time::Timestamp;
use store::{Json, StoreError, Tx};

use super::{development_mails, factors, invitations};
use crate::domain::session::SessionId;

/// A session.
#[derive(sqlx::FromRow)]
pub(crate) struct SessionRow {
    pub(crate) id: SessionId,
    pub(crate) created_at: Timestamp,
    pub(crate) last_used_at: Timestamp,
    pub(crate) expires_at: Timestamp,
    pub(crate) revoked_at: Option<Timestamp>,
    pub(crate) revoke_reason: Option<String>,
    pub(crate) store_id: Option<StoreId>,
    pub(crate) device: Option<String>,
    pub(crate) address: Option<String>,
}

/// A mailed link.
#[derive(sqlx::FromRow)]
pub(crate) struct LinkRow {
    pub(crate) purpose: String,
    pub(crate) email: String,
    pub(crate) created_at: Timestamp,
    pub(crate) expires_at: Timestamp,
}

/// An open invitation.
#[derive(sqlx::FromRow)]
pub(crate) struct InvitationRow {
    pub(crate) email: String,
    pub(crate) display_name: String,
    pub(crate) created_at: Timestamp,
}

/// Every session of an account that is still stored.
pub(crate) async fn list_sessions(
    tx: &mut Tx,
    user: UserId,
) -> Result<Vec<SessionRow>, StoreError> {
    store::fetch_all!(
        tx,
        SessionRow,
        "SELECT id, created_at, last_used_at, expires_at, revoked_at, revoke_reason, store_id,
                device, address
         FROM sessions WHERE user_id = $1 ORDER BY id",
        user
    )
}

/// Every link of an account that was not used.
pub(crate) async fn list_links(tx: &mut Tx, user: UserId) -> Result<Vec<LinkRow>, StoreError> {
    store::fetch_all!(
        tx,
        LinkRow,
        "SELECT purpose, email, created_at, expires_at FROM link_tokens
         WHERE user_id = $1 ORDER BY created_at",
        user
    )
}

/// Every open invitation that an account gave.
pub(crate) async fn list_invitations_given(
    tx: &mut Tx,
    user: UserId,
) -> Result<Vec<InvitationRow>, StoreError> {
    store::fetch_all!(
        tx,
        InvitationRow,
        "SELECT email, display_name, created_at FROM invitations
         WHERE invited_by = $1 ORDER BY id",
        user
    )
}

/// An API key of an account, without what it may do.
#[derive(sqlx::FromRow)]
pub(crate) struct KeyRow {
    pub(crate) name: String,
    pub(crate) prefix: String,
    pub(crate) created_at: Timestamp,
    pub(crate) expires_at: Timestamp,
    pub(crate) last_used_at: Option<Timestamp>,
    pub(crate) revoked_at: Option<Timestamp>,
}

/// Every API key of an account, revoked ones too.
pub(crate) async fn list_api_keys(tx: &mut Tx, user: UserId) -> Result<Vec<KeyRow>, StoreError> {
    store::fetch_all!(
        tx,
        KeyRow,
        "SELECT name, prefix, created_at, expires_at, last_used_at, revoked_at FROM api_keys
         WHERE user_id = $1 ORDER BY id",
        user
    )
}

/// A passkey, without its key.
#[derive(sqlx::FromRow)]
pub(crate) struct PasskeyRow {
    pub(crate) name: String,
    pub(crate) created_at: Timestamp,
    pub(crate) last_used_at: Option<Timestamp>,
}

/// Every passkey of an account.
pub(crate) async fn list_passkeys(
    tx: &mut Tx,
    user: UserId,
) -> Result<Vec<PasskeyRow>, StoreError> {
    store::fetch_all!(
        tx,
        PasskeyRow,
        "SELECT name, created_at, last_used_at FROM passkeys WHERE user_id = $1 ORDER BY id",
        user
    )
}

/// What an account lets an application do.
#[derive(sqlx::FromRow)]
pub(crate) struct ConsentRow {
    pub(crate) application: String,
    pub(crate) scopes: Json<Vec<String>>,
    pub(crate) granted_at: Timestamp,
}

/// Every consent of an account.
pub(crate) async fn list_consents(
    tx: &mut Tx,
    user: UserId,
) -> Result<Vec<ConsentRow>, StoreError> {
    store::fetch_all!(
        tx,
        ConsentRow,
        "SELECT k.name AS application, c.scopes, c.granted_at
         FROM oidc_consents AS c JOIN oidc_clients AS k ON k.id = c.client_id
         WHERE c.user_id = $1 ORDER BY c.client_id",
        user
    )
}

/// Takes address, language and password off an account and marks it as erased.
pub(crate) async fn erase(
    tx: &mut Tx,
    user: UserId,
    (email, password_hash): (&str, &str),
    now: Timestamp,
) -> Result<(), StoreError> {
    store::execute!(
        tx,
        "UPDATE users SET email = $2, email_key = $2, password_hash = $3, locale = NULL,
                          email_verified_at = NULL, erased_at = $4
         WHERE id = $1",
        user,
        email,
        password_hash,
        now
    )?;
    Ok(())
}

/// Removes everything that belongs to an account, its address or its name and is no record of the
/// chain's.
pub(crate) async fn erase_traces(
    tx: &mut Tx,
    user: UserId,
    (email_key, display_name): (&str, &str),
) -> Result<(), StoreError> {
    factors::delete_totp(tx, user).await?;
    factors::delete_challenges_of(tx, user).await?;
    invitations::delete_of_email(tx, email_key).await?;
    development_mails::delete_of_person(tx, email_key, display_name).await?;
    for sql in [
        "DELETE FROM user_pins WHERE user_id = $1",
        "DELETE FROM link_tokens WHERE user_id = $1",
        "DELETE FROM invitations WHERE invited_by = $1",
        "DELETE FROM known_addresses WHERE user_id = $1",
        "DELETE FROM api_keys WHERE user_id = $1",
        "DELETE FROM passkeys WHERE user_id = $1",
        "DELETE FROM passkey_challenges WHERE user_id = $1",
        "DELETE FROM oidc_consents WHERE user_id = $1",
        "DELETE FROM oidc_codes WHERE user_id = $1",
        "DELETE FROM sessions WHERE user_id = $1",
    ] {
        store::execute!(tx, sql, user)?;
    }
    let sql = "DELETE FROM reset_requests WHERE email_key = $1";
    store::execute!(tx, sql, email_key)?;
    Ok(())
}
