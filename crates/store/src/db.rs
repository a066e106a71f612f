//! The handle of a service's database.

use std::sync::Arc;

use common::settings::DatabaseSettings;
use secrecy::ExposeSecret;
use sqlx::migrate::{Migration, Migrator};
use tokio::sync::{Mutex, MutexGuard};

use crate::StoreError;
use crate::append_only;
use crate::leadership::Leadership;
use crate::postgres::Postgres;
use crate::sqlite::Sqlite;
use crate::tx::Tx;

/// A service's database. Clones share the connections.
#[derive(Clone, Debug)]
pub struct Db {
    backend: Backend,
    batch_turn: Arc<Mutex<()>>,
}

#[derive(Clone, Debug)]
enum Backend {
    Sqlite(Arc<Sqlite>),
    Postgres(Arc<Postgres>),
}

impl Db {
    /// Opens the database. SQLite's file and its folder are created when missing, for the owner's
    /// eyes only; PostgreSQL's schema is the server's choice for the role, or the URL's
    /// `?options[search_path]=name`.
    ///
    /// # Errors
    /// [`StoreError::Settings`] for another kind of URL, [`StoreError::Unavailable`] when the
    /// database cannot be reached or its file not be opened.
    pub async fn connect(settings: &DatabaseSettings) -> Result<Self, StoreError> {
        let scheme = settings
            .url
            .expose_secret()
            .split(':')
            .next()
            .unwrap_or_default();
        let backend = match scheme {
            "sqlite" => Backend::Sqlite(Arc::new(Sqlite::open(settings).await?)),
            "postgres" | "postgresql" => {
                Backend::Postgres(Arc::new(Postgres::connect(settings).await?))
            }
            other => {
                let detail =
                    format!("a database URL starts with sqlite: or postgres:, not {other:?}");
                return Err(StoreError::Settings(detail));
            }
        };
        Ok(Self {
            backend,
            batch_turn: Arc::default(),
        })
    }

    /// Begins a write transaction. SQLite lets one in at a time, in the order of asking: hold it
    /// shortly, and never ask for a second one while holding one.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when no connection is free in time.
    pub async fn begin(&self) -> Result<Tx, StoreError> {
        match &self.backend {
            Backend::Sqlite(sqlite) => Ok(Tx::writer(sqlite.begin().await?)),
            Backend::Postgres(postgres) => Ok(Tx::postgres(postgres.begin().await?)),
        }
    }

    /// Begins a read-only transaction that sees one state of the whole database.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when no connection is free in time.
    pub async fn read(&self) -> Result<Tx, StoreError> {
        match &self.backend {
            Backend::Sqlite(sqlite) => Ok(Tx::reader(sqlite.read().await?)),
            Backend::Postgres(postgres) => Ok(Tx::postgres(postgres.read().await?)),
        }
    }

    /// A connection for one read, without a transaction around it: two round trips less. Of several
    /// statements each sees a state of its own.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when no connection is free in time.
    pub async fn glance(&self) -> Result<Tx, StoreError> {
        match &self.backend {
            Backend::Sqlite(sqlite) => Ok(Tx::of_sqlite(sqlite.glance().await?)),
            Backend::Postgres(postgres) => Ok(Tx::of_postgres(postgres.glance().await?)),
        }
    }

    /// Waits, in the order of asking, until no other batch is at work; see [`Batcher`](crate::Batcher).
    pub(crate) async fn batch_turn(&self) -> MutexGuard<'_, ()> {
        self.batch_turn.lock().await
    }

    /// Applies what is missing of all `sets`, in the order of their versions.
    ///
    /// Migrations that the database has and `sets` do not are left alone: during a rolling update
    /// the older program starts against the newer schema.
    ///
    /// # Errors
    /// [`StoreError::Migration`] when two sets share a version, an applied migration was edited, or
    /// one fails.
    pub async fn migrate(&self, sets: &[&Migrator]) -> Result<(), StoreError> {
        let mut migrations: Vec<Migration> =
            sets.iter().flat_map(|set| set.iter().cloned()).collect();
        migrations.sort();
        if let Some(twice) = migrations.windows(2).find_map(|pair| match pair {
            [a, b] if a == b => Some(a.version),
            _ => None,
        }) {
            let detail = format!("migration version {twice} is used twice");
            return Err(StoreError::Settings(detail));
        }
        let mut migrator = Migrator::with_migrations(migrations);
        migrator.set_ignore_missing(true);
        match &self.backend {
            Backend::Sqlite(sqlite) => sqlite.migrate(&migrator).await,
            Backend::Postgres(postgres) => postgres.migrate(&migrator).await,
        }
    }

    /// Makes the database itself refuse to change or delete rows of `table`, for good. Repeating it
    /// changes nothing.
    ///
    /// # Errors
    /// When the table does not exist, or the database does not answer.
    pub async fn make_append_only(&self, table: &'static str) -> Result<(), StoreError> {
        match &self.backend {
            Backend::Sqlite(_) => append_only::in_sqlite(self.begin().await?, table).await,
            Backend::Postgres(_) => append_only::in_postgres(self.begin().await?, table).await,
        }
    }

    /// Asks the database for a sign of life.
    ///
    /// # Errors
    /// Whatever keeps it from answering.
    pub async fn ping(&self) -> Result<(), StoreError> {
        let mut tx = self.glance().await?;
        let _: (i64,) = crate::fetch_one!(tx, (i64,), "SELECT CAST(1 AS bigint)")?;
        Ok(())
    }

    /// [`Db::ping`] as a health check, which says in general words what is wrong.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn check(self) -> Result<(), String> {
        let answer = self.ping().await;
        answer.map_err(|_cause| "the database does not answer".to_owned())
    }

    /// `sqlite` or `postgres`, for logs and status pages.
    #[must_use]
    pub fn engine_name(&self) -> &'static str {
        match &self.backend {
            Backend::Sqlite(_) => "sqlite",
            Backend::Postgres(_) => "postgres",
        }
    }

    /// Tries to become the one holder of `name` among all processes on this database; `None` when
    /// another holds it. Given up by dropping it, and by dying.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database cannot be reached.
    pub async fn try_lead(&self, name: &str) -> Result<Option<Leadership>, StoreError> {
        match &self.backend {
            Backend::Sqlite(sqlite) => Ok(Leadership::in_process(sqlite.path(), name)),
            Backend::Postgres(postgres) => Leadership::on_server(postgres.options(), name).await,
        }
    }

    /// Waits for open transactions and closes every connection.
    pub async fn close(&self) {
        match &self.backend {
            Backend::Sqlite(sqlite) => sqlite.close().await,
            Backend::Postgres(postgres) => postgres.close().await,
        }
    }
}
