//! Recoveries of the owner account that the settings asked for.

use common::time::Timestamp;
use store::{StoreError, Tx};

/// Whether the one with this text was done.
pub(crate) async fn is_done(tx: &mut Tx, text_hash: &str) -> Result<bool, StoreError> {
    let sql = "SELECT text_hash FROM owner_recoveries WHERE text_hash = $1";
    let row = store::fetch_optional!(tx, (String,), sql, text_hash)?;
    Ok(row.is_some())
}

/// Remembers one; `false` when it was done before.
pub(crate) async fn insert(
    tx: &mut Tx,
    text_hash: &str,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let sql = "INSERT INTO owner_recoveries (text_hash, done_at) VALUES ($1, $2)
               ON CONFLICT (text_hash) DO NOTHING";
    Ok(store::execute!(tx, sql, text_hash, now)? == 1)
}
