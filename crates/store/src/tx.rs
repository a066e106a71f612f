//! A transaction, and the connection that the macros run statements on.

use std::sync::Arc;

use sqlx::pool::PoolConnection;
use sqlx::{PgConnection, Postgres, Sqlite, SqliteConnection, Transaction};
use tokio::sync::Notify;

use crate::StoreError;
use crate::sqlite::Member;

/// An open transaction, or for a glance a connection alone. Dropped without [`Tx::commit`], it is
/// rolled back.
///
/// What rests on rows that a write transaction read is only true once it committed, even if it changed
/// nothing: in SQLite it sees what other transactions of its group wrote, and until the group is durable
/// a crash or a full disk takes that back. So whoever tells a caller that something is done already, such
/// as the answer to a repeated request, commits first. An error need not: repeated, the request is judged
/// anew.
#[derive(Debug)]
pub struct Tx {
    kind: Kind,
    woken_by_commit: Vec<Arc<Notify>>,
}

#[derive(Debug)]
enum Kind {
    SqliteWriter(Member),
    SqliteReader(Transaction<'static, Sqlite>),
    Postgres(Transaction<'static, Postgres>),
    SqliteGlance(PoolConnection<Sqlite>),
    PostgresGlance(PoolConnection<Postgres>),
}

/// The native connection of a transaction, for the macros.
#[derive(Debug)]
pub enum Engine<'a> {
    /// A connection to SQLite.
    Sqlite(&'a mut SqliteConnection),
    /// A connection to PostgreSQL.
    Postgres(&'a mut PgConnection),
}

impl Tx {
    const fn of(kind: Kind) -> Self {
        Self {
            kind,
            woken_by_commit: Vec::new(),
        }
    }

    pub(crate) const fn writer(member: Member) -> Self {
        Self::of(Kind::SqliteWriter(member))
    }

    pub(crate) const fn reader(transaction: Transaction<'static, Sqlite>) -> Self {
        Self::of(Kind::SqliteReader(transaction))
    }

    pub(crate) const fn postgres(transaction: Transaction<'static, Postgres>) -> Self {
        Self::of(Kind::Postgres(transaction))
    }

    pub(crate) const fn of_sqlite(connection: PoolConnection<Sqlite>) -> Self {
        Self::of(Kind::SqliteGlance(connection))
    }

    pub(crate) const fn of_postgres(connection: PoolConnection<Postgres>) -> Self {
        Self::of(Kind::PostgresGlance(connection))
    }

    /// Makes the changes durable: when this returns `Ok` they survive a crash of the machine.
    ///
    /// # Errors
    /// After [`StoreError::Unavailable`] it is unknown whether the changes were made; that is why
    /// every command carries an idempotency key.
    pub async fn commit(self) -> Result<(), StoreError> {
        match self.kind {
            Kind::SqliteWriter(member) => member.commit().await?,
            Kind::SqliteReader(transaction) => transaction.commit().await?,
            Kind::Postgres(transaction) => transaction.commit().await?,
            Kind::SqliteGlance(_) | Kind::PostgresGlance(_) => {}
        }
        for sleeper in self.woken_by_commit {
            sleeper.notify_one();
        }
        Ok(())
    }

    /// Wakes whoever waits on `sleeper` once this transaction is committed: how a background task
    /// learns at once of a row that was written for it.
    pub fn wake_on_commit(&mut self, sleeper: &Arc<Notify>) {
        if !self
            .woken_by_commit
            .iter()
            .any(|known| Arc::ptr_eq(known, sleeper))
        {
            self.woken_by_commit.push(Arc::clone(sleeper));
        }
    }

    /// Undoes the changes. Dropping the transaction does the same without waiting for it.
    ///
    /// # Errors
    /// When the connection is lost; the changes are undone nonetheless.
    pub async fn rollback(self) -> Result<(), StoreError> {
        match self.kind {
            Kind::SqliteWriter(member) => {
                drop(member);
                Ok(())
            }
            Kind::SqliteReader(transaction) => Ok(transaction.rollback().await?),
            Kind::Postgres(transaction) => Ok(transaction.rollback().await?),
            Kind::SqliteGlance(_) | Kind::PostgresGlance(_) => Ok(()),
        }
    }

    /// The connection underneath. Use the macros; this is what they expand to.
    #[doc(hidden)]
    pub fn engine(&mut self) -> Engine<'_> {
        match &mut self.kind {
            Kind::SqliteWriter(member) => Engine::Sqlite(member.connection()),
            Kind::SqliteReader(transaction) => Engine::Sqlite(transaction),
            Kind::Postgres(transaction) => Engine::Postgres(transaction),
            Kind::SqliteGlance(connection) => Engine::Sqlite(connection),
            Kind::PostgresGlance(connection) => Engine::Postgres(connection),
        }
    }
}
