//! API keys.

use std::collections::{BTreeMap, BTreeSet};

use common::ids::{StoreId, UserId};
use common::time::Timestamp;
use store::{StoreError, Tx};

use crate::domain::api_key::{ApiKey, ApiKeyId};

#[derive(sqlx::FromRow)]
struct KeyRow {
    id: ApiKeyId,
    user_id: UserId,
    name: String,
    prefix: String,
    scopes: String,
    created_at: Timestamp,
    expires_at: Timestamp,
    last_used_at: Option<Timestamp>,
    revoked_at: Option<Timestamp>,
}

/// Stores a new key.
pub(crate) async fn insert(tx: &mut Tx, key: &ApiKey, hash: &str) -> Result<(), StoreError> {
    store::execute!(
        tx,
        "INSERT INTO api_keys (id, user_id, name, prefix, secret_hash, scopes, created_at,
                               expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        key.id,
        key.account,
        &key.name,
        &key.prefix,
        hash,
        key.scope_text(),
        key.created_at,
        key.expires_at
    )?;
    let (id, stores) = (key.id, Vec::from_iter(key.stores.iter().copied()));
    store::insert_many!(
        tx,
        "INSERT INTO api_key_stores (key_id, store_id)",
        stores,
        |store_id| [id, *store_id]
    )?;
    Ok(())
}

/// The keys of an account, newest first, older than `before`.
pub(crate) async fn list(
    tx: &mut Tx,
    account: UserId,
    before: Option<ApiKeyId>,
    limit: i64,
) -> Result<Vec<ApiKey>, StoreError> {
    let rows = store::fetch_all!(
        tx,
        KeyRow,
        "SELECT id, user_id, name, prefix, scopes, created_at, expires_at, last_used_at, revoked_at
         FROM api_keys WHERE user_id = $1 AND ($2 IS NULL OR id < $2)
         ORDER BY id DESC LIMIT $3",
        account,
        before,
        limit
    )?;
    complete(tx, rows).await
}

/// A key by its id.
pub(crate) async fn find(tx: &mut Tx, id: ApiKeyId) -> Result<Option<ApiKey>, StoreError> {
    let row = store::fetch_optional!(
        tx,
        KeyRow,
        "SELECT id, user_id, name, prefix, scopes, created_at, expires_at, last_used_at, revoked_at
         FROM api_keys WHERE id = $1",
        id
    )?;
    Ok(complete(tx, row.into_iter().collect()).await?.pop())
}

/// A key by its prefix and its secret's hash.
pub(crate) async fn find_presented(
    tx: &mut Tx,
    prefix: &str,
    hash: &str,
) -> Result<Option<ApiKey>, StoreError> {
    let row = store::fetch_optional!(
        tx,
        KeyRow,
        "SELECT id, user_id, name, prefix, scopes, created_at, expires_at, last_used_at, revoked_at
         FROM api_keys WHERE prefix = $1 AND secret_hash = $2",
        prefix,
        hash
    )?;
    Ok(complete(tx, row.into_iter().collect()).await?.pop())
}

/// How many keys of an account are in force.
pub(crate) async fn count_in_force(
    tx: &mut Tx,
    account: UserId,
    now: Timestamp,
) -> Result<i64, StoreError> {
    let sql = "SELECT count(*) FROM api_keys
               WHERE user_id = $1 AND revoked_at IS NULL AND expires_at > $2";
    let (count,) = store::fetch_one!(tx, (i64,), sql, account, now)?;
    Ok(count)
}

/// Remembers that a key is used, unless that is remembered of a moment later than `unless_after`.
pub(crate) async fn touch(
    tx: &mut Tx,
    id: ApiKeyId,
    now: Timestamp,
    unless_after: Timestamp,
) -> Result<(), StoreError> {
    store::execute!(
        tx,
        "UPDATE api_keys SET last_used_at = $2
         WHERE id = $1 AND (last_used_at IS NULL OR last_used_at <= $3)",
        id,
        now,
        unless_after
    )?;
    Ok(())
}

/// Revokes a key; `false` when it was revoked before.
pub(crate) async fn revoke(tx: &mut Tx, id: ApiKeyId, now: Timestamp) -> Result<bool, StoreError> {
    let sql = "UPDATE api_keys SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL";
    Ok(store::execute!(tx, sql, id, now)? == 1)
}

/// Revokes every key of an account, and says how many.
pub(crate) async fn revoke_all(
    tx: &mut Tx,
    account: UserId,
    now: Timestamp,
) -> Result<u64, StoreError> {
    let sql = "UPDATE api_keys SET revoked_at = $2 WHERE user_id = $1 AND revoked_at IS NULL";
    store::execute!(tx, sql, account, now)
}

async fn complete(tx: &mut Tx, rows: Vec<KeyRow>) -> Result<Vec<ApiKey>, StoreError> {
    let ids: Vec<ApiKeyId> = rows.iter().map(|row| row.id).collect();
    let store_rows = store::fetch_in!(
        tx,
        (ApiKeyId, StoreId),
        "SELECT key_id, store_id FROM api_key_stores WHERE key_id IN",
        ids
    )?;
    let mut stores: BTreeMap<ApiKeyId, BTreeSet<StoreId>> = BTreeMap::new();
    for (key, store) in store_rows {
        stores.entry(key).or_default().insert(store);
    }
    let key = |row: KeyRow| ApiKey {
        stores: stores.remove(&row.id).unwrap_or_default(),
        id: row.id,
        account: row.user_id,
        name: row.name,
        prefix: row.prefix,
        // What only a newer program knows allows nothing here.
        scopes: row
            .scopes
            .split(' ')
            .filter_map(|scope| scope.parse().ok())
            .collect(),
        created_at: row.created_at,
        expires_at: row.expires_at,
        last_used_at: row.last_used_at,
        revoked_at: row.revoked_at,
    };
    Ok(rows.into_iter().map(key).collect())
}
