//! The whole suite runs on the engine of the profile under test, see `testkit::database`.

#![expect(clippy::unwrap_used, reason = "a test that fails may panic")]

mod append_only;
mod batches;
mod bulk;
mod idempotency;
mod leadership;
mod migrations;
mod transactions;
mod types;

use sqlx::SqlSafeStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use store::Db;
use testkit::database::TestDatabase;

/// A database with the table `things (id, amount)`.
pub(crate) async fn database() -> (TestDatabase, Db) {
    let database = TestDatabase::create().await;
    let db = database.connect().await;
    let things = migration(
        1,
        "CREATE TABLE things (id bigint PRIMARY KEY, amount bigint NOT NULL)",
    );
    db.migrate(&[&things, &store::idempotency::MIGRATIONS])
        .await
        .unwrap();
    (database, db)
}

pub(crate) fn migration(version: i64, sql: &'static str) -> Migrator {
    let kind = MigrationType::Simple;
    let migration = Migration::new(version, "test".into(), kind, sql.into_sql_str(), false);
    Migrator::with_migrations(vec![migration])
}

pub(crate) async fn amounts(db: &Db) -> Vec<(i64, i64)> {
    let mut tx = db.read().await.unwrap();
    store::fetch_all!(tx, (i64, i64), "SELECT id, amount FROM things ORDER BY id").unwrap()
}
