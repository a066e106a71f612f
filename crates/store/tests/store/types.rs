use std::time::Duration;

use common::clock::Clock;
use common::error::ApiError;
use common::ids::OrderId;
use common::time::{CivilDate, Timestamp};
use sqlx::types::Json;
use store::json;
use testkit::database::TestDatabase;
use uuid::Uuid;

use crate::migration;

#[derive(Debug, PartialEq, sqlx::FromRow)]
struct Row {
    id: OrderId,
    bare: Uuid,
    at: Timestamp,
    on_day: CivilDate,
    document: Json<serde_json::Value>,
    whole: i64,
    flag: bool,
    words: String,
    reading: f64,
    maybe: Option<i64>,
    maybe_at: Option<Timestamp>,
}

fn row(clock: &Clock) -> Row {
    Row {
        id: OrderId::new(clock),
        bare: Uuid::new_v4(),
        at: clock.now(),
        on_day: "2024-02-29".parse().unwrap(),
        document: json(serde_json::json!({"a": [1, 2.5, null, "ü"], "b": {"c": true}})),
        whole: i64::MIN,
        flag: true,
        words: "mózzarella 🧀 'quoted' $1".to_owned(),
        reading: -0.1,
        maybe: None,
        maybe_at: Some(Timestamp::from_micros(-1)),
    }
}

#[tokio::test]
async fn every_type_comes_back_as_it_went() {
    let database = TestDatabase::create().await;
    let db = database.connect().await;
    let table = migration(
        1,
        "CREATE TABLE rows (
            id uuid PRIMARY KEY, bare uuid NOT NULL, at timestamptz NOT NULL, on_day date NOT NULL,
            document jsonb NOT NULL, whole bigint NOT NULL, flag boolean NOT NULL,
            words text NOT NULL, reading double precision NOT NULL, maybe bigint,
            maybe_at timestamptz)",
    );
    db.migrate(&[&table]).await.unwrap();
    let clock = Clock::manual(Timestamp::from_micros(1_767_225_600_123_457));
    let sent = row(&clock);
    let mut tx = db.begin().await.unwrap();
    store::execute!(
        tx,
        "INSERT INTO rows
             (id, bare, at, on_day, document, whole, flag, words, reading, maybe, maybe_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        sent.id,
        sent.bare,
        sent.at,
        sent.on_day,
        &sent.document,
        sent.whole,
        sent.flag,
        &sent.words,
        sent.reading,
        sent.maybe,
        sent.maybe_at
    )
    .unwrap();
    // An optional filter: absent, it lets everything through; present, it compares.
    for (filter, expected) in [
        (None, 1),
        (Some(sent.at), 1),
        (Some(Timestamp::from_micros(0)), 0),
    ] {
        let found = store::fetch_all!(
            tx,
            Row,
            "SELECT id, bare, at, on_day, document, whole, flag, words, reading, maybe, maybe_at
             FROM rows WHERE $1 IS NULL OR at = $1",
            filter
        )
        .unwrap();
        assert_eq!(found.len(), expected);
        assert!(found.iter().all(|found| *found == sent));
    }
}

/// SQLite can hold a NUL.
#[tokio::test]
async fn a_value_that_postgresql_cannot_hold_is_the_senders_fault() {
    let database = TestDatabase::create().await;
    let db = database.connect().await;
    if db.engine_name() != "postgres" {
        return;
    }
    let mut tx = db.begin().await.unwrap();
    let text = store::fetch_one!(tx, (String,), "SELECT $1", "a\0b").unwrap_err();
    drop(tx);
    let far_away = Timestamp::from_unix_seconds(-220_000_000_000);
    let mut tx = db.begin().await.unwrap();
    let time = store::fetch_one!(tx, (Timestamp,), "SELECT $1", far_away).unwrap_err();
    for error in [text, time] {
        assert_eq!(ApiError::from(error).code(), "value_not_storable");
    }
}

#[tokio::test]
async fn instants_dates_and_ids_sort_alike_on_both_engines() {
    let database = TestDatabase::create().await;
    let db = database.connect().await;
    let table = migration(
        1,
        "CREATE TABLE rows (id uuid, at timestamptz, on_day date)",
    );
    db.migrate(&[&table]).await.unwrap();
    let clock = Clock::manual(Timestamp::from_micros(-5_000_000));
    let mut sent = Vec::new();
    let mut tx = db.begin().await.unwrap();
    for year in 1969..1975_i16 {
        clock.advance(Duration::from_millis(1_001));
        let day = CivilDate::from_jiff(jiff::civil::date(year, 1, 1));
        sent.push((
            Uuid::from_u128(sent.len() as u128 * (1 << 96)),
            clock.now(),
            day,
        ));
    }
    store::insert_many!(tx, "INSERT INTO rows (id, at, on_day)", sent, |row| [
        row.0, row.1, row.2
    ])
    .unwrap();
    type Columns = (Uuid, Timestamp, CivilDate);
    let by_id = store::fetch_all!(tx, Columns, "SELECT id, at, on_day FROM rows ORDER BY id");
    let by_time = store::fetch_all!(tx, Columns, "SELECT id, at, on_day FROM rows ORDER BY at");
    let by_day = store::fetch_all!(
        tx,
        Columns,
        "SELECT id, at, on_day FROM rows ORDER BY on_day"
    );
    assert_eq!(by_id.unwrap(), sent);
    assert_eq!(by_time.unwrap(), sent);
    assert_eq!(by_day.unwrap(), sent);
}
