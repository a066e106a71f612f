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

/// The public half of a key.
#[derive(sqlx::FromRow)]
pub(crate) struct PublicKey {
    pub(crate) kid: String,
    pub(crate) public_key: String,
}

/// Every key that was not withdrawn, however long ago it signed. A key that signs from its creation on
/// was made to withdraw all before it, or is the first.
pub(crate) async fn list_not_withdrawn(tx: &mut Tx) -> Result<Vec<PublicKey>, StoreError> {
    store::fetch_all!(
        tx,
        PublicKey,
        "SELECT kid, public_key FROM signing_keys
         WHERE generation >= (SELECT max(generation) FROM signing_keys
                              WHERE signs_from = created_at)"
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

/// The newest key's place and when it begins to sign.
#[derive(Clone, Copy, Debug, sqlx::FromRow)]
pub(crate) struct NewestKey {
    pub(crate) generation: i64,
    pub(crate) signs_from: Timestamp,
}

/// The newest key.
pub(crate) async fn newest(tx: &mut Tx) -> Result<NewestKey, StoreError> {
    let sql = "SELECT generation, signs_from FROM signing_keys ORDER BY generation DESC LIMIT 1";
    store::fetch_one!(tx, NewestKey, sql)
}

/// The newest key; others who rotate wait until the transaction ends.
pub(crate) async fn newest_locked(tx: &mut Tx) -> Result<NewestKey, StoreError> {
    let newest = store::fetch_optional_locked!(
        tx,
        NewestKey,
        "SELECT generation, signs_from FROM signing_keys ORDER BY generation DESC LIMIT 1"
    )?;
    newest.ok_or_else(|| StoreError::Database(sqlx::Error::RowNotFound))
}

/// Ends the publication of every key before a generation, unless it ends earlier anyway.
pub(crate) async fn retire_before(
    tx: &mut Tx,
    generation: i64,
    published_until: Timestamp,
) -> Result<(), StoreError> {
    store::execute!(
        tx,
        "UPDATE signing_keys SET published_until = $2
         WHERE generation < $1 AND (published_until IS NULL OR published_until > $2)",
        generation,
        published_until
    )?;
    Ok(())
}

/// Whether there is a key with a private half that is not published any more.
pub(crate) async fn any_retired(tx: &mut Tx, now: Timestamp) -> Result<bool, StoreError> {
    let sql = "SELECT kid FROM signing_keys
               WHERE published_until <= $1 AND sealed_private_key <> '' LIMIT 1";
    Ok(store::fetch_optional!(tx, (String,), sql, now)?.is_some())
}

/// Deletes the private halves of keys that are not published any more.
pub(crate) async fn destroy_retired(tx: &mut Tx, now: Timestamp) -> Result<(), StoreError> {
    let sql = "UPDATE signing_keys SET sealed_private_key = '' WHERE published_until <= $1";
    store::execute!(tx, sql, now)?;
    Ok(())
}
