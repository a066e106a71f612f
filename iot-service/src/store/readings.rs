//! Readings.

use ::store::{StoreError, Tx};
use common::ids::DeviceId;
use common::time::Timestamp;

/// 0001-01-01T00:00:00Z. With [`LAST`] the bounds of a list that has none; both engines hold them.
const FIRST: Timestamp = Timestamp::from_unix_seconds(-62_135_596_800);
/// 9999-12-31T23:59:59Z.
const LAST: Timestamp = Timestamp::from_unix_seconds(253_402_300_799);

const LIST: &str = "SELECT device_id, metric, measured_at, value, received_at FROM readings
     WHERE device_id = $1 AND measured_at >= $2 AND (measured_at, metric) < ($3, $4)
     ORDER BY measured_at DESC, metric DESC LIMIT $5";

const LIST_OF_METRIC: &str =
    "SELECT device_id, metric, measured_at, value, received_at FROM readings
     WHERE device_id = $1 AND measured_at >= $2 AND (measured_at, metric) < ($3, $4) AND metric = $6
     ORDER BY measured_at DESC LIMIT $5";

const LATEST: &str = "WITH RECURSIVE metrics (metric) AS (
         SELECT MIN(r.metric) FROM readings r WHERE r.device_id = $1
         UNION ALL
         SELECT (SELECT MIN(r.metric) FROM readings r
                 WHERE r.device_id = $1 AND r.metric > metrics.metric)
         FROM metrics WHERE metrics.metric IS NOT NULL
     )
     SELECT r.device_id, r.metric, r.measured_at, r.value, r.received_at
     FROM metrics JOIN readings r ON r.device_id = $1 AND r.metric = metrics.metric
       AND r.measured_at = (SELECT MAX(n.measured_at) FROM readings n
                            WHERE n.device_id = $1 AND n.metric = metrics.metric)
     ORDER BY r.metric";

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
///
/// Every page is one range of an index: by time, or the primary key for one metric. So bounds are
/// always given, and a condition that may be absent does not stand in the text.
pub(crate) async fn list(
    tx: &mut Tx,
    selection: &Selection,
    before: Option<(Timestamp, String)>,
    limit: i64,
) -> Result<Vec<ReadingRow>, StoreError> {
    let from = selection.from.unwrap_or(FIRST);
    // No metric is called nothing: that comes before all that was measured at the same time.
    let to = (selection.to.unwrap_or(LAST), String::new());
    let (time, metric) = match before {
        Some(before) => before.min(to),
        None => to,
    };
    if let Some(wanted) = selection.metric.as_deref() {
        return ::store::fetch_all!(
            tx,
            ReadingRow,
            LIST_OF_METRIC,
            selection.device,
            from,
            time,
            metric,
            limit,
            wanted
        );
    }
    ::store::fetch_all!(
        tx,
        ReadingRow,
        LIST,
        selection.device,
        from,
        time,
        metric,
        limit
    )
}

/// The newest reading of each metric of a device, by metric.
///
/// It steps through the primary key from one metric to the next, however many readings lie between:
/// PostgreSQL's wiki calls that a loose index scan.
pub(crate) async fn list_latest(
    tx: &mut Tx,
    device: DeviceId,
) -> Result<Vec<ReadingRow>, StoreError> {
    ::store::fetch_all!(tx, ReadingRow, LATEST, device)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::devices::{self, DeviceRow};
    use common::clock::Clock;
    use sqlx::AssertSqlSafe;
    use testkit::TestDatabase;
    use testkit::database::Profile;

    /// The steps that SQLite takes.
    async fn plan_of(sql: &str) -> Vec<String> {
        let database = TestDatabase::create().await;
        let db = database.connect().await;
        db.migrate(&[&crate::MIGRATIONS]).await.unwrap();
        let mut tx = db.read().await.unwrap();
        let steps = ::store::fetch_all!(
            tx,
            (i64, i64, i64, String),
            AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}")),
            DeviceId::new(&Clock::system()),
            FIRST,
            LAST,
            "t",
            50_i64,
            "t"
        );
        steps.unwrap().into_iter().map(|step| step.3).collect()
    }

    #[tokio::test]
    async fn a_page_of_readings_is_one_range_of_an_index_in_its_order() {
        // PostgreSQL has the same indexes, but its plan depends on what the tables hold.
        if Profile::current() == Profile::Infrastructure {
            return;
        }
        for (sql, index, range) in [
            (
                LIST,
                "readings_by_time",
                "measured_at>? AND (measured_at,metric)<(?,?)",
            ),
            (
                LIST_OF_METRIC,
                "sqlite_autoindex_readings_1",
                "metric=? AND measured_at>? AND measured_at<?",
            ),
        ] {
            let expected = format!("SEARCH readings USING INDEX {index} (device_id=? AND {range})");
            // A second step would sort what the first one finds.
            assert_eq!(plan_of(sql).await, [expected]);
        }
    }

    #[tokio::test]
    async fn the_newest_reading_of_each_metric_is_found() {
        let clock = Clock::system();
        let devices = [(); 2].map(|()| DeviceRow::example(&clock));
        let [device, other] = devices.each_ref().map(|device| device.id);
        let database = TestDatabase::create().await;
        let db = database.connect().await;
        db.migrate(&[&crate::MIGRATIONS]).await.unwrap();
        let mut tx = db.begin().await.unwrap();
        assert_eq!(list_latest(&mut tx, device).await.unwrap(), []);
        for device in &devices {
            assert!(devices::insert(&mut tx, device).await.unwrap());
        }
        let reading = |device_id, metric: &str, second| ReadingRow {
            device_id,
            metric: metric.to_owned(),
            measured_at: Timestamp::from_unix_seconds(second),
            value: 1.0,
            received_at: clock.now(),
        };
        let newest = ["a", "b", "c"].map(|metric| reading(device, metric, 30));
        let mut rows = newest.to_vec();
        rows.extend(["a", "b"].map(|metric| reading(device, metric, 20)));
        rows.extend(["b", "d"].map(|metric| reading(other, metric, 40)));
        insert(&mut tx, &rows).await.unwrap();
        assert_eq!(list_latest(&mut tx, device).await.unwrap(), newest);
    }
}
