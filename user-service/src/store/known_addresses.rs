//! Addresses from which accounts signed in before.

use common::ids::UserId;
use common::time::Timestamp;
use store::{StoreError, Tx};

/// Remembers that an account signed in from an address.
pub(crate) async fn remember(
    tx: &mut Tx,
    user: UserId,
    address_key: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    store::execute!(
        tx,
        "INSERT INTO known_addresses (user_id, address_key, last_seen_at) VALUES ($1, $2, $3)
         ON CONFLICT (user_id, address_key) DO UPDATE SET last_seen_at = excluded.last_seen_at",
        user,
        address_key,
        now
    )?;
    Ok(())
}

/// Whether the account with this email, in its folded form, signed in from that address before.
pub(crate) async fn is_known(
    tx: &mut Tx,
    email_key: &str,
    address_key: &str,
) -> Result<bool, StoreError> {
    let row = store::fetch_optional!(
        tx,
        (UserId,),
        "SELECT k.user_id FROM known_addresses AS k JOIN users AS u ON u.id = k.user_id
         WHERE u.email_key = $1 AND k.address_key = $2",
        email_key,
        address_key
    )?;
    Ok(row.is_some())
}

/// When an account was last seen at each of its addresses.
pub(crate) async fn list_times(tx: &mut Tx, user: UserId) -> Result<Vec<Timestamp>, StoreError> {
    let sql = "SELECT last_seen_at FROM known_addresses WHERE user_id = $1 ORDER BY last_seen_at";
    let rows = store::fetch_all!(tx, (Timestamp,), sql, user)?;
    Ok(rows.into_iter().map(|(at,)| at).collect())
}

/// Forgets addresses not seen since `before`.
pub(crate) async fn delete_unseen(tx: &mut Tx, before: Timestamp) -> Result<u64, StoreError> {
    let sql = "DELETE FROM known_addresses WHERE last_seen_at < $1";
    store::execute!(tx, sql, before)
}
