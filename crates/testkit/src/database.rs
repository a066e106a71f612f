//! A throwaway database for one test, on the engine of the profile under test.
//!
//! The same suite runs twice: `MARU_TEST_PROFILE=embedded` (the default) gives each test an SQLite
//! file in a folder of its own; `MARU_TEST_PROFILE=infrastructure` gives it a schema of its own on
//! the server at `TEST_POSTGRES_URL`, which must then be set.

use std::env;

use common::settings::DatabaseSettings;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, Executor};
use store::Db;
use tempfile::TempDir;

/// Which backends the suite runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// SQLite and delivery over HTTP.
    Embedded,
    /// PostgreSQL and RabbitMQ.
    Infrastructure,
}

impl Profile {
    /// The profile named by `MARU_TEST_PROFILE`, embedded when it is unset.
    ///
    /// # Panics
    /// When it names no profile.
    #[must_use]
    pub fn current() -> Self {
        match env::var("MARU_TEST_PROFILE").as_deref() {
            Err(_) | Ok("" | "embedded") => Self::Embedded,
            Ok("infrastructure") => Self::Infrastructure,
            Ok(other) => panic!("MARU_TEST_PROFILE is embedded or infrastructure, not {other:?}"),
        }
    }
}

/// An address that the infrastructure profile needs.
///
/// # Panics
/// When the variable is unset: a test that silently tests nothing is worse than a failing one.
#[must_use]
pub fn required_address(variable: &str) -> String {
    env::var(variable).unwrap_or_else(|_unset| {
        panic!("the infrastructure profile needs {variable}; scripts/test sets it")
    })
}

/// An empty database that disappears with this value.
#[derive(Debug)]
pub struct TestDatabase {
    url: String,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Folder { _removed_on_drop: TempDir },
    Schema { server: String, name: String },
}

impl TestDatabase {
    /// Creates an empty database of the current profile.
    ///
    /// # Panics
    /// When it cannot be created.
    pub async fn create() -> Self {
        match Profile::current() {
            Profile::Embedded => Self::in_folder(),
            Profile::Infrastructure => Self::in_schema(required_address("TEST_POSTGRES_URL")).await,
        }
    }

    fn in_folder() -> Self {
        let folder = TempDir::with_prefix("maru-test-").expect("a temporary folder");
        let file = folder.path().join("test.db");
        let url = format!("sqlite://{}?mode=rwc", file.display());
        Self {
            url,
            place: Place::Folder {
                _removed_on_drop: folder,
            },
        }
    }

    async fn in_schema(server: String) -> Self {
        let name = format!("test_{}", uuid::Uuid::new_v4().simple());
        on_server(&server, format!("CREATE SCHEMA {name}"))
            .await
            .expect("a schema for the test");
        let separator = if server.contains('?') { '&' } else { '?' };
        let url = format!("{server}{separator}options[search_path]={name}&application_name={name}");
        Self {
            url,
            place: Place::Schema { server, name },
        }
    }

    /// The address of the database, as `DATABASE_URL` takes it.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Settings for it: few connections, short waits.
    #[must_use]
    pub fn settings(&self) -> DatabaseSettings {
        DatabaseSettings {
            url: self.url().into(),
            max_connections: 4,
            acquire_timeout_ms: 5_000,
        }
    }

    /// Everything that is stored in it, as text: of SQLite the bytes of its files, of PostgreSQL every
    /// row of every table.
    ///
    /// # Panics
    /// When it cannot be read.
    pub async fn dump(&self) -> String {
        match &self.place {
            Place::Folder {
                _removed_on_drop: folder,
            } => {
                let files = std::fs::read_dir(folder.path()).expect("the folder is there");
                let contents = files.map(|file| {
                    let path = file.expect("the folder can be read").path();
                    std::fs::read(path).expect("the database can be read")
                });
                let bytes: Vec<u8> = contents.flatten().collect();
                String::from_utf8_lossy(&bytes).into_owned()
            }
            Place::Schema { server, name } => {
                rows_of(server, name).await.expect("the schema can be read")
            }
        }
    }

    /// Opens it.
    ///
    /// # Panics
    /// When it cannot be opened.
    pub async fn connect(&self) -> Db {
        Db::connect(&self.settings())
            .await
            .expect("the test's database opens")
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let Place::Schema { server, name } = &self.place else {
            return;
        };
        let (server, name) = (server.clone(), name.clone());
        // The test's runtime may be gone or blocked here; dropping the schema needs one of its own.
        let cleaning = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            // Sessions of the test that still hold a transaction would keep the schema.
            let cleanup = format!(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                     WHERE application_name = '{name}';
                 SET lock_timeout = '5s';
                 DROP SCHEMA {name} CASCADE"
            );
            runtime
                .block_on(on_server(&server, cleanup))
                .map_err(std::io::Error::other)
        });
        if let Ok(Err(error)) = cleaning.join() {
            eprintln!("the schema of a test stays behind: {error}");
        }
    }
}

/// Every row of every table of a schema, one on each line.
async fn rows_of(server: &str, schema: &str) -> Result<String, sqlx::Error> {
    let mut connection = PgConnection::connect(server).await?;
    let tables: Vec<(String,)> =
        sqlx::query_as("SELECT tablename::text FROM pg_tables WHERE schemaname = $1")
            .bind(schema)
            .fetch_all(&mut connection)
            .await?;
    let mut text = String::new();
    for (table,) in tables {
        let sql = format!("SELECT t::text FROM {schema}.{table} t");
        let rows: Vec<(String,)> = sqlx::query_as(AssertSqlSafe(sql))
            .fetch_all(&mut connection)
            .await?;
        for (row,) in rows {
            text.push_str(&row);
            text.push('\n');
        }
    }
    connection.close().await?;
    Ok(text)
}

async fn on_server(server: &str, sql: String) -> Result<(), sqlx::Error> {
    let mut connection = PgConnection::connect(server).await?;
    connection.execute(AssertSqlSafe(sql)).await?;
    connection.close().await
}
