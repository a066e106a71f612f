//! SQLite: one file, one writer, a few readers.

mod file;
mod writer;

use std::path::{Path, PathBuf};
use std::time::Duration;

use common::settings::DatabaseSettings;
use secrecy::ExposeSecret;
use sqlx::migrate::Migrator;
use sqlx::pool::PoolConnection;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{ConnectOptions, Transaction};

pub(crate) use self::writer::Member;
use self::writer::Writer;
use crate::StoreError;

/// More readers than there are processors, or than this, only wait for each other and keep memory: the
/// pool takes them in turn, so that all of them stay open as long as there is anything to read.
const MAX_READERS: usize = 4;
/// One may stand still behind a client that takes its time.
const MIN_READERS: usize = 2;
/// A reader that nobody needed for this time is closed, with its thread and its cache.
const MAX_IDLE: Duration = Duration::from_secs(30);
/// How long to wait for another process that writes to the file, such as a backup.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(crate) struct Sqlite {
    writer: Writer,
    readers: SqlitePool,
    path: PathBuf,
}

impl Sqlite {
    pub(crate) async fn open(settings: &DatabaseSettings) -> Result<Self, StoreError> {
        let options = connect_options(settings.url.expose_secret())?;
        file::create_private(options.get_filename()).map_err(StoreError::unavailable)?;
        let path = options
            .get_filename()
            .canonicalize()
            .map_err(StoreError::unavailable)?;
        let patience = Duration::from_millis(settings.acquire_timeout_ms);
        let readers = SqlitePoolOptions::new()
            .max_connections(settings.max_connections.min(useful_readers()))
            .acquire_timeout(patience)
            .idle_timeout(MAX_IDLE)
            // The connection is a thread of this process; it has no need to be asked.
            .test_before_acquire(false)
            .connect_lazy_with(options.clone().pragma("query_only", "on"));
        let options = options
            .journal_mode(SqliteJournalMode::Wal)
            // FULL syncs the log at each commit; NORMAL would lose the last ones with the power.
            .synchronous(SqliteSynchronous::Full)
            // What a savepoint may have to undo is kept in memory, not in a file made for it.
            .pragma("temp_store", "memory")
            // A log that grew in a bulk load is cut back to this many bytes.
            .pragma("journal_size_limit", "16777216");
        let writer = Writer::open(options, patience).await?;
        Ok(Self {
            writer,
            readers,
            path,
        })
    }

    pub(crate) async fn begin(&self) -> Result<Member, StoreError> {
        self.writer.begin().await
    }

    pub(crate) async fn read(&self) -> Result<Transaction<'static, sqlx::Sqlite>, StoreError> {
        Ok(self.readers.begin().await?)
    }

    pub(crate) async fn glance(&self) -> Result<PoolConnection<sqlx::Sqlite>, StoreError> {
        Ok(self.readers.acquire().await?)
    }

    pub(crate) async fn migrate(&self, migrator: &Migrator) -> Result<(), StoreError> {
        self.writer.migrate(migrator).await
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

fn useful_readers() -> u32 {
    let processors = std::thread::available_parallelism().map_or(MIN_READERS, usize::from);
    u32::try_from(processors.clamp(MIN_READERS, MAX_READERS)).unwrap_or(u32::MAX)
}

fn connect_options(url: &str) -> Result<SqliteConnectOptions, StoreError> {
    if url.contains(":memory:") || url.contains("mode=memory") {
        let detail = "an SQLite database in memory has no second connection to read from";
        return Err(StoreError::Settings(detail.to_owned()));
    }
    let options = url
        .parse::<SqliteConnectOptions>()
        .map_err(|error| StoreError::Settings(error.to_string()))?;
    Ok(options
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        // In KiB: what one connection keeps of the file; the system's page cache has the rest.
        .pragma("cache_size", "-1024")
        .disable_statement_logging())
}
