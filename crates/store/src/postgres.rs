//! PostgreSQL: a pool of native connections.

use std::time::Duration;

use common::settings::DatabaseSettings;
use secrecy::ExposeSecret;
use sqlx::migrate::Migrator;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, Transaction};

use crate::StoreError;

/// A pooled connection that was idle longer is asked for a sign of life before it is used. One
/// that was used just now is trusted: asking each time would cost a round trip per transaction.
const TRUSTED_IDLE: Duration = Duration::from_secs(1);
/// An idle connection is closed after this time, so that an idle service holds next to none.
const MAX_IDLE: Duration = Duration::from_secs(60);

/// Writes find rows by their keys, often of a whole array of them. One plan serves any number, and is
/// made once for each connection; the server by itself would plan anew each time, because it takes an
/// array of unknown length for a longer one, and planning costs about as much as the write.
const BEGIN_WRITING: &str = "BEGIN; SET LOCAL plan_cache_mode = force_generic_plan";
/// Lists have filters that may be absent, for which different plans are right.
const BEGIN_READING: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

#[derive(Debug)]
pub(crate) struct Postgres {
    pool: PgPool,
    options: PgConnectOptions,
}

impl Postgres {
    pub(crate) async fn connect(settings: &DatabaseSettings) -> Result<Self, StoreError> {
        let options = settings
            .url
            .expose_secret()
            .parse::<PgConnectOptions>()
            .map_err(|error| StoreError::Settings(error.to_string()))?
            .statement_cache_capacity(512)
            .disable_statement_logging();
        let pool = PgPoolOptions::new()
            .max_connections(settings.max_connections)
            .acquire_timeout(Duration::from_millis(settings.acquire_timeout_ms))
            .idle_timeout(MAX_IDLE)
            .test_before_acquire(false)
            .before_acquire(|connection, used| {
                Box::pin(async move {
                    if used.idle_for > TRUSTED_IDLE {
                        connection.ping().await?;
                    }
                    Ok(true)
                })
            })
            .connect_with(options.clone().options([
                // A transaction whose owner hangs must not keep rows locked for ever.
                ("idle_in_transaction_session_timeout", "60s"),
                // Waiting longer for a row than a request may take helps nobody.
                ("lock_timeout", "10s"),
                ("statement_timeout", "60s"),
                // A prepared statement keeps its plan. One that was made while a table was nearly
                // empty would read all of it as it grows, until the server analyses the table.
                ("enable_seqscan", "off"),
                // Short statements end before a compiler would have begun.
                ("jit", "off"),
            ]))
            .await?;
        Ok(Self { pool, options })
    }

    pub(crate) async fn begin(&self) -> Result<Transaction<'static, sqlx::Postgres>, StoreError> {
        Ok(self.pool.begin_with(BEGIN_WRITING).await?)
    }

    pub(crate) async fn read(&self) -> Result<Transaction<'static, sqlx::Postgres>, StoreError> {
        Ok(self.pool.begin_with(BEGIN_READING).await?)
    }

    pub(crate) async fn glance(&self) -> Result<PoolConnection<sqlx::Postgres>, StoreError> {
        Ok(self.pool.acquire().await?)
    }

    /// On a connection of its own, without the time limits of the pool's: building an index may
    /// take long, and so may waiting for another instance that migrates.
    pub(crate) async fn migrate(&self, migrator: &Migrator) -> Result<(), StoreError> {
        let mut connection = self.options.connect().await?;
        migrator.run(&mut connection).await?;
        connection.close().await?;
        Ok(())
    }

    pub(crate) const fn options(&self) -> &PgConnectOptions {
        &self.options
    }

    pub(crate) async fn close(&self) {
        self.pool.close().await;
    }
}
