//! Invitations that are still open.

use common::auth::Role;
use common::ids::{StoreId, UserId};
use common::time::Timestamp;
use store::{StoreError, Tx};

use super::roles;
use crate::domain::invitation::{Invitation, InvitationId};

#[derive(sqlx::FromRow)]
struct Row {
    id: InvitationId,
    email: String,
    display_name: String,
    role: String,
    stores: String,
    locale: String,
    invited_by: UserId,
    created_at: Timestamp,
    sent_at: Timestamp,
    expires_at: Timestamp,
}

impl Row {
    /// `None` when a newer program wrote a role that this one does not know.
    fn into_invitation(self) -> Option<Invitation> {
        let stores: Vec<StoreId> = serde_json::from_str(&self.stores).ok()?;
        let role: Role = roles::parse(&self.role)?;
        Some(Invitation {
            id: self.id,
            email: self.email,
            display_name: self.display_name,
            role,
            stores: stores.into_iter().collect(),
            locale: self.locale,
            invited_by: self.invited_by,
            created_at: self.created_at,
            sent_at: self.sent_at,
            expires_at: self.expires_at,
        })
    }
}

/// Stores an invitation; `false` when an open one has the email.
pub(crate) async fn insert_invitation(
    tx: &mut Tx,
    invitation: &Invitation,
    email_key: &str,
    token_hash: &str,
) -> Result<bool, StoreError> {
    let expired = "DELETE FROM invitations WHERE email_key = $1 AND expires_at <= $2";
    store::execute!(tx, expired, email_key, invitation.created_at)?;
    let inserted = store::execute!(
        tx,
        "INSERT INTO invitations (id, email, email_key, display_name, role, stores, locale,
                                  invited_by, token_hash, created_at, sent_at, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
         ON CONFLICT (email_key) DO NOTHING",
        invitation.id,
        &invitation.email,
        email_key,
        &invitation.display_name,
        invitation.role.as_str(),
        serde_json::to_string(&invitation.stores).unwrap_or_default(),
        &invitation.locale,
        invitation.invited_by,
        token_hash,
        invitation.created_at,
        invitation.sent_at,
        invitation.expires_at
    )?;
    Ok(inserted == 1)
}

/// One invitation, kept from changing until the transaction ends.
pub(crate) async fn find_invitation_locked(
    tx: &mut Tx,
    id: InvitationId,
) -> Result<Option<Invitation>, StoreError> {
    let row = store::fetch_optional_locked!(
        tx,
        Row,
        "SELECT id, email, display_name, role, stores, locale, invited_by, created_at, sent_at,
                expires_at
         FROM invitations WHERE id = $1",
        id
    )?;
    Ok(row.and_then(Row::into_invitation))
}

/// The invitation of a token that is good at `now`.
pub(crate) async fn find_by_token(
    tx: &mut Tx,
    token_hash: &str,
    now: Timestamp,
) -> Result<Option<Invitation>, StoreError> {
    let row = store::fetch_optional!(
        tx,
        Row,
        "SELECT id, email, display_name, role, stores, locale, invited_by, created_at, sent_at,
                expires_at
         FROM invitations WHERE token_hash = $1 AND expires_at > $2",
        token_hash,
        now
    )?;
    Ok(row.and_then(Row::into_invitation))
}

/// Uses the token: of several who try, one gets the invitation.
pub(crate) async fn take_by_token(
    tx: &mut Tx,
    token_hash: &str,
    now: Timestamp,
) -> Result<Option<Invitation>, StoreError> {
    let row = store::fetch_optional!(
        tx,
        Row,
        "DELETE FROM invitations WHERE token_hash = $1 AND expires_at > $2
         RETURNING id, email, display_name, role, stores, locale, invited_by, created_at, sent_at,
                   expires_at",
        token_hash,
        now
    )?;
    Ok(row.and_then(Row::into_invitation))
}

/// Invitations in the order of their making.
pub(crate) async fn list_invitations(
    tx: &mut Tx,
    after: Option<InvitationId>,
    limit: i64,
) -> Result<Vec<Invitation>, StoreError> {
    let rows = store::fetch_all!(
        tx,
        Row,
        "SELECT id, email, display_name, role, stores, locale, invited_by, created_at, sent_at,
                expires_at
         FROM invitations
         WHERE ($1 IS NULL OR id > $1) ORDER BY id LIMIT $2",
        after,
        limit
    )?;
    Ok(rows.into_iter().filter_map(Row::into_invitation).collect())
}

/// Gives an invitation a new token; the one before is worthless from here on.
pub(crate) async fn renew_invitation(
    tx: &mut Tx,
    id: InvitationId,
    token_hash: &str,
    (sent_at, expires_at): (Timestamp, Timestamp),
) -> Result<(), StoreError> {
    store::execute!(
        tx,
        "UPDATE invitations SET token_hash = $2, sent_at = $3, expires_at = $4 WHERE id = $1",
        id,
        token_hash,
        sent_at,
        expires_at
    )?;
    Ok(())
}

/// Takes an invitation back.
pub(crate) async fn delete_invitation(tx: &mut Tx, id: InvitationId) -> Result<(), StoreError> {
    store::execute!(tx, "DELETE FROM invitations WHERE id = $1", id)?;
    Ok(())
}

/// Forgets the invitation of an address, if there is one.
pub(crate) async fn delete_of_email(tx: &mut Tx, email_key: &str) -> Result<(), StoreError> {
    store::execute!(
        tx,
        "DELETE FROM invitations WHERE email_key = $1",
        email_key
    )?;
    Ok(())
}

/// Forgets invitations that expired before `before`.
pub(crate) async fn delete_expired(tx: &mut Tx, before: Timestamp) -> Result<u64, StoreError> {
    store::execute!(tx, "DELETE FROM invitations WHERE expires_at < $1", before)
}
