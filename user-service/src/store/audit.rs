//! The audit trail's rows.

use common::time::Timestamp;
use contracts::audit::{AuditEntry, AuditSeal};
use serde_json::Value;
use store::{StoreError, Tx};

/// The tables that are only added to.
pub(crate) const APPEND_ONLY: [&str; 2] = ["audit_entries", "audit_seals"];

/// The end of the chain.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub(crate) struct Head {
    pub(crate) seq: i64,
    pub(crate) hash: String,
}

/// Which entries to list.
#[derive(Clone, Debug, Default)]
pub(crate) struct AuditFilter {
    /// From this instant on.
    pub(crate) from: Option<Timestamp>,
    /// Before this instant.
    pub(crate) to: Option<Timestamp>,
    /// Done by this account or service.
    pub(crate) actor: Option<String>,
    /// This kind of thing.
    pub(crate) action: Option<String>,
}

#[derive(sqlx::FromRow)]
struct EntryRow {
    seq: i64,
    id: String,
    at: Timestamp,
    actor_kind: String,
    actor_id: Option<String>,
    action: String,
    target_kind: Option<String>,
    target_id: Option<String>,
    store_id: Option<String>,
    state_before: Option<String>,
    state_after: Option<String>,
    address: Option<String>,
    request_id: Option<String>,
    previous_hash: String,
    hash: String,
}

#[derive(sqlx::FromRow)]
struct SealRow {
    seq: i64,
    hash: String,
    at: Timestamp,
    kid: String,
    public_key: String,
    signature: String,
}

impl From<EntryRow> for AuditEntry {
    fn from(row: EntryRow) -> Self {
        Self {
            seq: row.seq,
            id: row.id,
            at: row.at,
            actor_kind: row.actor_kind,
            actor_id: row.actor_id,
            action: row.action,
            target_kind: row.target_kind,
            target_id: row.target_id,
            store_id: row.store_id,
            before: row.state_before.map(parse_state),
            after: row.state_after.map(parse_state),
            address: row.address,
            request_id: row.request_id,
            previous_hash: row.previous_hash,
            hash: row.hash,
        }
    }
}

/// What is no JSON any more is shown as the text that it is; its hash will not fit.
fn parse_state(text: String) -> Value {
    serde_json::from_str(&text).unwrap_or(Value::String(text))
}

/// The end of the chain, kept from moving until the transaction ends.
pub(crate) async fn lock_head(tx: &mut Tx) -> Result<Head, StoreError> {
    let row =
        store::fetch_optional_locked!(tx, Head, "SELECT seq, hash FROM audit_head WHERE id = 1")?;
    row.ok_or_else(|| StoreError::Database(sqlx::Error::RowNotFound))
}

/// The end of the chain.
pub(crate) async fn head(tx: &mut Tx) -> Result<Head, StoreError> {
    store::fetch_one!(tx, Head, "SELECT seq, hash FROM audit_head WHERE id = 1")
}

/// Adds an entry, with its states as canonical JSON, to the chain whose end is locked.
pub(crate) async fn append(
    tx: &mut Tx,
    entry: &AuditEntry,
    (before, after): (Option<String>, Option<String>),
) -> Result<(), StoreError> {
    store::execute!(
        tx,
        "INSERT INTO audit_entries (seq, id, at, actor_kind, actor_id, action, target_kind,
                                    target_id, store_id, state_before, state_after, address,
                                    request_id, previous_hash, hash)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
        entry.seq,
        &entry.id,
        entry.at,
        &entry.actor_kind,
        entry.actor_id.as_deref(),
        &entry.action,
        entry.target_kind.as_deref(),
        entry.target_id.as_deref(),
        entry.store_id.as_deref(),
        before.as_deref(),
        after.as_deref(),
        entry.address.as_deref(),
        entry.request_id.as_deref(),
        &entry.previous_hash,
        &entry.hash
    )?;
    let sql = "UPDATE audit_head SET seq = $1, hash = $2 WHERE id = 1";
    store::execute!(tx, sql, entry.seq, &entry.hash)?;
    Ok(())
}

/// Entries from the newest on, older than `before`.
pub(crate) async fn list(
    tx: &mut Tx,
    filter: &AuditFilter,
    before: Option<i64>,
    limit: i64,
) -> Result<Vec<AuditEntry>, StoreError> {
    let rows = store::fetch_all!(
        tx,
        EntryRow,
        "SELECT seq, id, at, actor_kind, actor_id, action, target_kind, target_id, store_id,
                state_before, state_after, address, request_id, previous_hash, hash
         FROM audit_entries
         WHERE ($1 IS NULL OR seq < $1) AND ($2 IS NULL OR at >= $2) AND ($3 IS NULL OR at < $3)
           AND ($4 IS NULL OR actor_id = $4) AND ($5 IS NULL OR action = $5)
         ORDER BY seq DESC LIMIT $6",
        before,
        filter.from,
        filter.to,
        filter.actor.as_deref(),
        filter.action.as_deref(),
        limit
    )?;
    Ok(rows.into_iter().map(AuditEntry::from).collect())
}

/// Entries in order, from after `after` up to `last`.
pub(crate) async fn page(
    tx: &mut Tx,
    after: i64,
    last: i64,
    limit: i64,
) -> Result<Vec<AuditEntry>, StoreError> {
    let rows = store::fetch_all!(
        tx,
        EntryRow,
        "SELECT seq, id, at, actor_kind, actor_id, action, target_kind, target_id, store_id,
                state_before, state_after, address, request_id, previous_hash, hash
         FROM audit_entries WHERE seq > $1 AND seq <= $2 ORDER BY seq LIMIT $3",
        after,
        last,
        limit
    )?;
    Ok(rows.into_iter().map(AuditEntry::from).collect())
}

/// Seals over entries from after `after` up to `last`, in order.
pub(crate) async fn seals(
    tx: &mut Tx,
    after: i64,
    last: i64,
) -> Result<Vec<AuditSeal>, StoreError> {
    let rows = store::fetch_all!(
        tx,
        SealRow,
        "SELECT seq, hash, at, kid, public_key, signature
         FROM audit_seals WHERE seq > $1 AND seq <= $2 ORDER BY seq",
        after,
        last
    )?;
    let seal = |row: SealRow| AuditSeal {
        seq: row.seq,
        hash: row.hash,
        at: row.at,
        kid: row.kid,
        public_key: row.public_key,
        signature: row.signature,
    };
    Ok(rows.into_iter().map(seal).collect())
}

/// The last sealed place, 0 when there is none.
pub(crate) async fn last_seal(tx: &mut Tx) -> Result<i64, StoreError> {
    let sql = "SELECT max(seq) FROM audit_seals";
    let (last,) = store::fetch_one!(tx, (Option<i64>,), sql)?;
    Ok(last.unwrap_or(0))
}

/// Whether the entry is sealed.
pub(crate) async fn is_sealed(tx: &mut Tx, seq: i64) -> Result<bool, StoreError> {
    let sql = "SELECT seq FROM audit_seals WHERE seq = $1";
    let row = store::fetch_optional!(tx, (i64,), sql, seq)?;
    Ok(row.is_some())
}

/// Stores a seal, unless another replica was first.
pub(crate) async fn insert_seal(tx: &mut Tx, seal: &AuditSeal) -> Result<(), StoreError> {
    store::execute!(
        tx,
        "INSERT INTO audit_seals (seq, hash, at, kid, public_key, signature)
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (seq) DO NOTHING",
        seal.seq,
        &seal.hash,
        seal.at,
        &seal.kid,
        &seal.public_key,
        &seal.signature
    )?;
    Ok(())
}
