//! The registry's SQL.

use std::collections::BTreeMap;
use std::time::Duration;

use ::store::{Json, StoreError, Tx, execute, fetch_all, fetch_one, json};
use common::time::Timestamp;
use serde_json::Value;

use super::entry::{Check, CheckKind, CheckStatus, Entry, Registration};
use super::preservation::Lease;
use crate::status::ServiceStatus;

/// Changes that are kept for those who come back to watch.
const KEPT_CHANGES: i64 = 10_000;
/// How often old ones are looked for, in changes.
const PURGE_EVERY: i64 = 256;

/// What happened to an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChangeKind {
    Registered,
    Changed,
    Status,
    Deregistered,
    Expired,
}

impl ChangeKind {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Registered => "registered",
            Self::Changed => "changed",
            Self::Status => "status",
            Self::Deregistered => "deregistered",
            Self::Expired => "expired",
        }
    }
}

/// One thing that happened.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) index: u64,
    pub(crate) service: String,
    pub(crate) instance_id: String,
    pub(crate) kind: String,
    pub(crate) status: Option<String>,
    pub(crate) happened_at: Timestamp,
}

/// The number of the last change.
pub(super) async fn current_index(tx: &mut Tx) -> Result<u64, StoreError> {
    let sql = "SELECT change_index FROM registry_state WHERE id = 1";
    let (index,): (i64,) = fetch_one!(tx, (i64,), sql)?;
    Ok(index.unsigned_abs())
}

/// Takes the next number and writes down what happened under it.
pub(super) async fn record(
    tx: &mut Tx,
    kind: ChangeKind,
    (service, instance_id): (&str, &str),
    status: Option<ServiceStatus>,
    now: Timestamp,
) -> Result<u64, StoreError> {
    let sql = "UPDATE registry_state SET change_index = change_index + 1 WHERE id = 1
               RETURNING change_index";
    let (index,): (i64,) = fetch_one!(tx, (i64,), sql)?;
    execute!(
        tx,
        "INSERT INTO registry_changes
             (change_index, service, instance_id, kind, status, happened_at)
         VALUES ($1, $2, $3, $4, $5, $6)",
        index,
        service,
        instance_id,
        kind.as_str(),
        status.map(ServiceStatus::as_str),
        now
    )?;
    if index % PURGE_EVERY == 0 {
        let sql = "DELETE FROM registry_changes WHERE change_index <= $1";
        execute!(tx, sql, index - KEPT_CHANGES)?;
    }
    Ok(index.unsigned_abs())
}

#[derive(sqlx::FromRow)]
struct ChangeRow {
    change_index: i64,
    service: String,
    instance_id: String,
    kind: String,
    status: Option<String>,
    happened_at: Timestamp,
}

/// At most `limit` changes after `index`, oldest first; `None` when some of them are no longer kept.
pub(super) async fn changes_after(
    tx: &mut Tx,
    index: u64,
    limit: i64,
) -> Result<Option<Vec<Change>>, StoreError> {
    let after = signed(index);
    let rows = fetch_all!(
        tx,
        ChangeRow,
        "SELECT change_index, service, instance_id, kind, status, happened_at
         FROM registry_changes WHERE change_index > $1 ORDER BY change_index LIMIT $2",
        after,
        limit
    )?;
    // Every number is given once, so the first one tells whether any before it are missing.
    let complete = match rows.first() {
        Some(first) => first.change_index == after + 1,
        None => current_index(tx).await? == index,
    };
    let change = |row: ChangeRow| Change {
        index: row.change_index.unsigned_abs(),
        service: row.service,
        instance_id: row.instance_id,
        kind: row.kind,
        status: row.status,
        happened_at: row.happened_at,
    };
    Ok(complete.then(|| rows.into_iter().map(change).collect()))
}

#[derive(sqlx::FromRow)]
struct InstanceRow {
    service: String,
    instance_id: String,
    base_url: String,
    metadata: Json<BTreeMap<String, Value>>,
    tags: Json<Vec<String>>,
    weight: i64,
    registered_by: String,
    registered_at: Timestamp,
    created_index: i64,
    change_index: i64,
}

#[derive(sqlx::FromRow)]
struct CheckRow {
    service: String,
    instance_id: String,
    check_id: String,
    name: String,
    kind: String,
    url: Option<String>,
    period_ms: i64,
    timeout_ms: Option<i64>,
    remove_after_ms: Option<i64>,
    status: String,
    output: String,
    expires_at: Option<Timestamp>,
    change_index: i64,
}

/// Instances with their checks, by service and id: all, or those of one service, or one.
pub(super) async fn list(
    tx: &mut Tx,
    service: Option<&str>,
    instance_id: Option<&str>,
) -> Result<Vec<Entry>, StoreError> {
    let instances = fetch_all!(
        tx,
        InstanceRow,
        "SELECT service, instance_id, base_url, metadata, tags, weight, registered_by,
                registered_at, created_index, change_index
         FROM registry_instances
         WHERE ($1 IS NULL OR service = $1) AND ($2 IS NULL OR instance_id = $2)
         ORDER BY service, instance_id",
        service,
        instance_id
    )?;
    let checks = fetch_all!(
        tx,
        CheckRow,
        "SELECT service, instance_id, check_id, name, kind, url, period_ms, timeout_ms,
                remove_after_ms, status, output, expires_at, change_index
         FROM registry_checks
         WHERE ($1 IS NULL OR service = $1) AND ($2 IS NULL OR instance_id = $2)
         ORDER BY service, instance_id, check_id",
        service,
        instance_id
    )?;
    let mut by_instance: BTreeMap<(String, String), Vec<Check>> = BTreeMap::new();
    for row in checks {
        let key = (row.service.clone(), row.instance_id.clone());
        by_instance.entry(key).or_default().push(row.into());
    }
    let entry = |row: InstanceRow| {
        let key = (row.service, row.instance_id);
        let checks = by_instance.remove(&key).unwrap_or_default();
        Entry {
            service: key.0,
            instance_id: key.1,
            base_url: row.base_url,
            metadata: row.metadata.0,
            tags: row.tags.0,
            weight: u32::try_from(row.weight).unwrap_or(1),
            registered_by: row.registered_by,
            registered_at: row.registered_at,
            created_index: row.created_index.unsigned_abs(),
            change_index: row.change_index.unsigned_abs(),
            checks,
        }
    };
    Ok(instances.into_iter().map(entry).collect())
}

impl From<CheckRow> for Check {
    fn from(row: CheckRow) -> Self {
        Self {
            id: row.check_id,
            name: row.name,
            // The table admits no other words.
            kind: CheckKind::parse(&row.kind).unwrap_or(CheckKind::Ttl),
            url: row.url,
            period: duration(row.period_ms),
            timeout: row.timeout_ms.map(duration),
            remove_after: row.remove_after_ms.map(duration),
            status: CheckStatus::parse(&row.status).unwrap_or(CheckStatus::Critical),
            output: row.output,
            expires_at: row.expires_at,
            change_index: row.change_index.unsigned_abs(),
        }
    }
}

/// How many services and instances there are, without those of `service`.
pub(super) async fn count_others(tx: &mut Tx, service: &str) -> Result<(i64, i64), StoreError> {
    let sql = "SELECT COUNT(DISTINCT service), COUNT(*) FROM registry_instances
               WHERE service <> $1";
    fetch_one!(tx, (i64, i64), sql, service)
}

/// Writes an instance, over the one with its name and id if there is one.
pub(super) async fn upsert_instance(
    tx: &mut Tx,
    input: &Registration,
    by: &str,
    index: u64,
    now: Timestamp,
) -> Result<(), StoreError> {
    let index = signed(index);
    execute!(
        tx,
        "INSERT INTO registry_instances
             (service, instance_id, base_url, metadata, tags, weight, registered_by,
              registered_at, created_index, change_index)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
         ON CONFLICT (service, instance_id) DO UPDATE SET
             base_url = excluded.base_url, metadata = excluded.metadata, tags = excluded.tags,
             weight = excluded.weight, registered_by = excluded.registered_by,
             change_index = excluded.change_index",
        &input.service,
        &input.instance_id,
        &input.base_url,
        json(&input.metadata),
        json(&input.tags),
        i64::from(input.weight),
        by,
        now,
        index,
        index
    )?;
    Ok(())
}

/// Writes a check, over the one with its id if there is one.
pub(super) async fn upsert_check(
    tx: &mut Tx,
    (service, instance_id): (&str, &str),
    check: &Check,
    critical_since: Option<Timestamp>,
) -> Result<(), StoreError> {
    execute!(
        tx,
        "INSERT INTO registry_checks
             (service, instance_id, check_id, name, kind, url, period_ms, timeout_ms,
              remove_after_ms, status, output, expires_at, critical_since, change_index)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
         ON CONFLICT (service, instance_id, check_id) DO UPDATE SET
             name = excluded.name, kind = excluded.kind, url = excluded.url,
             period_ms = excluded.period_ms, timeout_ms = excluded.timeout_ms,
             remove_after_ms = excluded.remove_after_ms, status = excluded.status,
             output = excluded.output, expires_at = excluded.expires_at,
             critical_since = excluded.critical_since, change_index = excluded.change_index",
        service,
        instance_id,
        &check.id,
        &check.name,
        check.kind.as_str(),
        check.url.as_deref(),
        millis(check.period),
        check.timeout.map(millis),
        check.remove_after.map(millis),
        check.status.as_str(),
        &check.output,
        check.expires_at,
        critical_since,
        signed(check.change_index)
    )?;
    Ok(())
}

/// One instance with its checks.
pub(super) async fn find(
    tx: &mut Tx,
    service: &str,
    instance_id: &str,
) -> Result<Option<Entry>, StoreError> {
    Ok(list(tx, Some(service), Some(instance_id)).await?.pop())
}

/// Deletes an instance and its checks; `false` when there is none.
pub(super) async fn delete_instance(
    tx: &mut Tx,
    service: &str,
    instance_id: &str,
) -> Result<bool, StoreError> {
    let sql = "DELETE FROM registry_instances WHERE service = $1 AND instance_id = $2";
    Ok(execute!(tx, sql, service, instance_id)? > 0)
}

/// Deletes a check of an instance.
pub(super) async fn delete_check(
    tx: &mut Tx,
    (service, instance_id): (&str, &str),
    check_id: &str,
) -> Result<(), StoreError> {
    let sql = "DELETE FROM registry_checks
               WHERE service = $1 AND instance_id = $2 AND check_id = $3";
    execute!(tx, sql, service, instance_id, check_id)?;
    Ok(())
}

/// Renews the lease of an instance that holds one still; `false` when it does not.
pub(super) async fn renew(
    tx: &mut Tx,
    service: &str,
    instance_id: &str,
    expires_at: Timestamp,
) -> Result<bool, StoreError> {
    let sql = "UPDATE registry_checks SET expires_at = $3
               WHERE service = $1 AND instance_id = $2 AND kind = 'lease'";
    Ok(execute!(tx, sql, service, instance_id, expires_at)? > 0)
}

/// Instances whose checks have run out by `now`, or have been critical for too long.
pub(super) async fn due(tx: &mut Tx, now: Timestamp) -> Result<Vec<(String, String)>, StoreError> {
    fetch_all!(
        tx,
        (String, String),
        "SELECT DISTINCT service, instance_id FROM registry_checks
         WHERE (expires_at IS NOT NULL AND expires_at <= $1)
            OR (critical_since IS NOT NULL AND critical_since <= $1
                AND remove_after_ms IS NOT NULL)",
        now
    )
}

/// All leases if one of them has run out by `now`; else none.
pub(super) async fn leases_if_due(tx: &mut Tx, now: Timestamp) -> Result<Vec<Lease>, StoreError> {
    let rows: Vec<(String, String, Timestamp, i64)> = fetch_all!(
        tx,
        (String, String, Timestamp, i64),
        "SELECT service, instance_id, expires_at, period_ms FROM registry_checks
         WHERE kind = 'lease' AND expires_at IS NOT NULL AND EXISTS (
             SELECT 1 FROM registry_checks WHERE kind = 'lease' AND expires_at <= $1)",
        now
    )?;
    let lease = |(service, id, expires_at, period_ms)| Lease {
        instance: (service, id),
        expires_at,
        length: duration(period_ms),
    };
    Ok(rows.into_iter().map(lease).collect())
}

/// Since when each critical check of an instance is so.
pub(super) async fn critical_since(
    tx: &mut Tx,
    service: &str,
    instance_id: &str,
) -> Result<BTreeMap<String, Timestamp>, StoreError> {
    let rows: Vec<(String, Timestamp)> = fetch_all!(
        tx,
        (String, Timestamp),
        "SELECT check_id, critical_since FROM registry_checks
         WHERE service = $1 AND instance_id = $2 AND critical_since IS NOT NULL",
        service,
        instance_id
    )?;
    Ok(rows.into_iter().collect())
}

fn signed(index: u64) -> i64 {
    i64::try_from(index).unwrap_or(i64::MAX)
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn duration(millis: i64) -> Duration {
    Duration::from_millis(millis.unsigned_abs())
}

/// The instances that have a check with this id which the instance itself tells.
pub(super) async fn tellers_of(
    tx: &mut Tx,
    check_id: &str,
) -> Result<Vec<(String, String)>, StoreError> {
    let sql = "SELECT service, instance_id FROM registry_checks
               WHERE check_id = $1 AND kind = 'ttl' ORDER BY service, instance_id";
    fetch_all!(tx, (String, String), sql, check_id)
}
