//! Readings.

use ::store::{StoreError, Tx};
use common::ids::DeviceId;
use common::time::Timestamp;

/// A reading as it is stored.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub(crate) struct ReadingRow {
    pub(crate) device_id: DeviceId,
    pub(crate) metric: String,
    pub(crate) measured_at: Timestamp,
    pub(crate) value: f64,
    pub(crate) received_at: Timestamp,
}

/// Which readings.
#[derive(Clone, Debug)]
pub(crate) struct Selection {
    pub(crate) device: DeviceId,
    pub(crate) metric: Option<String>,
    /// Measured at or after.
    pub(crate) from: Option<Timestamp>,
    /// Measured before.
    pub(crate) to: Option<Timestamp>,
}

/// Inserts readings that are not there yet; returns how many were new.
pub(crate) async fn insert(tx: &mut Tx, rows: &[ReadingRow]) -> Result<u64, StoreError> {
    ::store::insert_many!(
        tx,
        "INSERT INTO readings (device_id, metric, measured_at, value, received_at)",
        rows,
        |row| [
            row.device_id,
            &row.metric,
            row.measured_at,
            row.value,
            row.received_at
        ],
        "ON CONFLICT DO NOTHING"
    )
}

/// Readings of a device, newest first; `before` is the last one of the page before.
pub(crate) async fn list(
    tx: &mut Tx,
    selection: &Selection,
    before: Option<(Timestamp, String)>,
    limit: i64,
) -> Result<Vec<ReadingRow>, StoreError> {
    let (before_time, before_metric) = before.unzip();
    ::store::fetch_all!(
        tx,
        ReadingRow,
        "SELECT device_id, metric, measured_at, value, received_at FROM readings
         WHERE device_id = $1 AND ($2 IS NULL OR metric = $2)
           AND ($3 IS NULL OR measured_at >= $3) AND ($4 IS NULL OR measured_at < $4)
           AND ($5 IS NULL OR (measured_at, metric) < ($5, $6))
         ORDER BY measured_at DESC, metric DESC LIMIT $7",
        selection.device,
        selection.metric.as_deref(),
        selection.from,
        selection.to,
        before_time,
        before_metric,
        limit
    )
}

/// The newest reading of each metric of a device, by metric.
pub(crate) async fn list_latest(
    tx: &mut Tx,
    device: DeviceId,
) -> Result<Vec<ReadingRow>, StoreError> {
    ::store::fetch_all!(
        tx,
        ReadingRow,
        "SELECT r.device_id, r.metric, r.measured_at, r.value, r.received_at FROM readings r
         JOIN (SELECT metric, MAX(measured_at) AS newest FROM readings
               WHERE device_id = $1 GROUP BY metric) latest
           ON latest.metric = r.metric AND latest.newest = r.measured_at
         WHERE r.device_id = $1 ORDER BY r.metric",
        device
    )
}
