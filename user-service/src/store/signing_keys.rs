//! Signing keys, sealed.

use common::time::Timestamp;
use store::{StoreError, Tx};

/// A signing key as it is stored.
#[derive(sqlx::FromRow)]
pub(crate) struct SealedKey {
    pub(crate) kid: String,
    pub(crate) generation: i64,
    pub(crate) public_key: String,
    pub(crate) sealed_private_key: String,
    pub(crate) created_at: Timestamp,
    pub(crate) signs_from: Timestamp,
}

/// Keys with which tokens verify at `now`, oldest first.
pub(crate) async fn list_published(
    tx: &mut Tx,
    now: Timestamp,
) -> Result<Vec<SealedKey>, StoreError> {
    store::fetch_all!(
        tx,
        SealedKey,
        "SELECT kid, generation, public_key, sealed_private_key, created_at, signs_from
         FROM signing_keys
         WHERE published_until IS NULL OR published_until > $1
         ORDER BY generation",
        now
    )
}

/// Stores a key, unless its generation exists already.
pub(crate) async fn insert_generation(tx: &mut Tx, key: &SealedKey) -> Result<bool, StoreError> {
    let inserted = store::execute!(
        tx,
        "INSERT INTO signing_keys (kid, generation, public_key, sealed_private_key, created_at,
                                   signs_from)
         VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (generation) DO NOTHING",
        &key.kid,
        key.generation,
        &key.public_key,
        &key.sealed_private_key,
        key.created_at,
        key.signs_from
    )?;
    Ok(inserted == 1)
}
