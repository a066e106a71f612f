//! Tables to which rows are added and that are never changed otherwise. The engines write triggers
//! differently, so this is no migration.

use sqlx::AssertSqlSafe;

use crate::{StoreError, Tx};

/// `BEFORE` triggers that abort the statement (<https://www.sqlite.org/lang_createtrigger.html>).
pub(crate) async fn in_sqlite(mut tx: Tx, table: &'static str) -> Result<(), StoreError> {
    for event in ["update", "delete"] {
        let sql = format!(
            "CREATE TRIGGER IF NOT EXISTS {table}_refuses_{event} BEFORE {event} ON {table}
             BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
        );
        crate::execute!(tx, AssertSqlSafe(sql.clone()))?;
    }
    tx.commit().await
}

/// A statement trigger, which `TRUNCATE` meets as well. Looked for first: making it again would
/// wait for everybody who reads or writes the table.
pub(crate) async fn in_postgres(mut tx: Tx, table: &'static str) -> Result<(), StoreError> {
    // Of replicas that start together, one makes it.
    let lock = "SELECT CAST(pg_advisory_xact_lock(hashtextextended(current_schema() || '/' || $1, 1)) AS text)";
    let _held = crate::fetch_optional!(tx, (Option<String>,), lock, table)?;
    let trigger = format!("{table}_refuses_changes");
    let known = crate::fetch_optional!(
        tx,
        (String,),
        "SELECT CAST(t.tgname AS text) FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid
         WHERE t.tgname = $1 AND c.relname = $2
           AND c.relnamespace =
               (SELECT oid FROM pg_namespace WHERE nspname = current_schema())",
        &trigger,
        table
    )?;
    if known.is_none() {
        for sql in [
            format!(
                "CREATE OR REPLACE FUNCTION {trigger}() RETURNS trigger LANGUAGE plpgsql
                 AS $$ BEGIN RAISE EXCEPTION '{table} is append-only'; END $$"
            ),
            format!(
                "CREATE TRIGGER {trigger} BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}
                 FOR EACH STATEMENT EXECUTE FUNCTION {trigger}()"
            ),
        ] {
            crate::execute!(tx, AssertSqlSafe(sql.clone()))?;
        }
    }
    tx.commit().await
}
