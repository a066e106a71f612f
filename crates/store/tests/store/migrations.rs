use common::settings::DatabaseSettings;
use store::StoreError;
use testkit::database::TestDatabase;

use crate::migration;

fn settings(url: String) -> DatabaseSettings {
    DatabaseSettings {
        url: url.into(),
        max_connections: 1,
        acquire_timeout_ms: 1_000,
    }
}

#[tokio::test]
async fn sets_are_merged_by_version_and_applied_once() {
    let database = TestDatabase::create().await;
    let db = database.connect().await;
    let table = migration(10, "CREATE TABLE a (id bigint)");
    let column = migration(20, "ALTER TABLE a ADD COLUMN name text");
    db.migrate(&[&column, &table]).await.unwrap();
    db.migrate(&[&table, &column]).await.unwrap();
    let mut tx = db.begin().await.unwrap();
    store::execute!(tx, "INSERT INTO a (id, name) VALUES ($1, $2)", 1_i64, "x").unwrap();
    tx.commit().await.unwrap();
    // An older program that knows fewer migrations still starts.
    db.migrate(&[&table]).await.unwrap();
}

#[tokio::test]
async fn a_version_used_twice_and_an_edited_migration_are_refused() {
    let database = TestDatabase::create().await;
    let db = database.connect().await;
    let table = migration(1, "CREATE TABLE a (id bigint)");
    let rival = migration(1, "CREATE TABLE b (id bigint)");
    assert!(matches!(
        db.migrate(&[&table, &rival]).await,
        Err(StoreError::Settings(_))
    ));
    db.migrate(&[&table]).await.unwrap();
    assert!(matches!(
        db.migrate(&[&rival]).await,
        Err(StoreError::Migration(_))
    ));
}

#[cfg(unix)]
#[tokio::test]
async fn an_sqlite_file_and_its_folder_are_for_the_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("new/folder/test.db");
    let settings = settings(format!("sqlite://{}", file.display()));
    let db = store::Db::connect(&settings).await.unwrap();
    db.migrate(&[&migration(1, "CREATE TABLE a (id bigint)")])
        .await
        .unwrap();
    let mut tx = db.begin().await.unwrap();
    store::execute!(tx, "INSERT INTO a (id) VALUES (1)").unwrap();
    tx.commit().await.unwrap();
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&file), 0o600);
    assert_eq!(mode(&file.with_extension("db-wal")), 0o600);
    assert_eq!(mode(file.parent().unwrap()), 0o700);
}

#[tokio::test]
async fn unusable_addresses_are_refused() {
    for url in [
        "mysql://host/db",
        "sqlite::memory:",
        "",
        "sqlite:///proc/no/such.db",
    ] {
        let settings = settings(url.to_owned());
        assert!(store::Db::connect(&settings).await.is_err(), "{url}");
    }
}
