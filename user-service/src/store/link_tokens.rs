//! Links that were mailed.

use common::ids::UserId;
use common::time::Timestamp;
use store::{StoreError, Tx};

use crate::domain::link::LinkPurpose;

/// A link to mail.
pub(crate) struct NewLink<'a> {
    pub(crate) token_hash: &'a str,
    pub(crate) purpose: LinkPurpose,
    pub(crate) user_id: UserId,
    /// The address that it goes to.
    pub(crate) email: &'a str,
    pub(crate) created_at: Timestamp,
    pub(crate) expires_at: Timestamp,
}

/// Whose link it is and where it was sent.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct Link {
    pub(crate) user_id: UserId,
    pub(crate) email: String,
}

/// Stores a link.
pub(crate) async fn insert_link(tx: &mut Tx, link: &NewLink<'_>) -> Result<(), StoreError> {
    store::execute!(
        tx,
        "INSERT INTO link_tokens (token_hash, purpose, user_id, email, created_at, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6)",
        link.token_hash,
        link.purpose.as_str(),
        link.user_id,
        link.email,
        link.created_at,
        link.expires_at
    )?;
    Ok(())
}

/// A link that is good at `now`, without using it.
pub(crate) async fn find_link(
    tx: &mut Tx,
    token_hash: &str,
    purpose: LinkPurpose,
    now: Timestamp,
) -> Result<Option<Link>, StoreError> {
    store::fetch_optional!(
        tx,
        Link,
        "SELECT user_id, email FROM link_tokens
         WHERE token_hash = $1 AND purpose = $2 AND expires_at > $3",
        token_hash,
        purpose.as_str(),
        now
    )
}

/// Uses a link that is good at `now`: of several who try, one gets it.
pub(crate) async fn take_link(
    tx: &mut Tx,
    token_hash: &str,
    purpose: LinkPurpose,
    now: Timestamp,
) -> Result<Option<Link>, StoreError> {
    store::fetch_optional!(
        tx,
        Link,
        "DELETE FROM link_tokens WHERE token_hash = $1 AND purpose = $2 AND expires_at > $3
         RETURNING user_id, email",
        token_hash,
        purpose.as_str(),
        now
    )
}

/// Makes every other link of this purpose worthless.
pub(crate) async fn delete_links(
    tx: &mut Tx,
    user: UserId,
    purpose: LinkPurpose,
) -> Result<(), StoreError> {
    let sql = "DELETE FROM link_tokens WHERE user_id = $1 AND purpose = $2";
    store::execute!(tx, sql, user, purpose.as_str())?;
    Ok(())
}

/// Forgets links whose time is over.
pub(crate) async fn delete_expired(tx: &mut Tx, now: Timestamp) -> Result<u64, StoreError> {
    let sql = "DELETE FROM link_tokens WHERE expires_at <= $1";
    store::execute!(tx, sql, now)
}
