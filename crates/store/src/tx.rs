//! A transaction, and the connection that the macros run statements on.

use sqlx::{PgConnection, Postgres, Sqlite, SqliteConnection, Transaction};

use crate::StoreError;
use crate::sqlite::Member;

/// An open transaction. Dropped without [`Tx::commit`], it is rolled back.
#[derive(Debug)]
pub struct Tx(Kind);

#[derive(Debug)]
enum Kind {
    SqliteWriter(Member),
    SqliteReader(Transaction<'static, Sqlite>),
    Postgres(Transaction<'static, Postgres>),
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
    pub(crate) const fn writer(member: Member) -> Self {
        Self(Kind::SqliteWriter(member))
    }

    pub(crate) const fn reader(transaction: Transaction<'static, Sqlite>) -> Self {
        Self(Kind::SqliteReader(transaction))
    }

    pub(crate) const fn postgres(transaction: Transaction<'static, Postgres>) -> Self {
        Self(Kind::Postgres(transaction))
    }

    /// Makes the changes durable: when this returns `Ok` they survive a crash of the machine.
    ///
    /// # Errors
    /// After [`StoreError::Unavailable`] it is unknown whether the changes were made; that is why
    /// every command carries an idempotency key.
    pub async fn commit(self) -> Result<(), StoreError> {
        match self.0 {
            Kind::SqliteWriter(member) => member.commit().await,
            Kind::SqliteReader(transaction) => Ok(transaction.commit().await?),
            Kind::Postgres(transaction) => Ok(transaction.commit().await?),
        }
    }

    /// Undoes the changes. Dropping the transaction does the same without waiting for it.
    ///
    /// # Errors
    /// When the connection is lost; the changes are undone nonetheless.
    pub async fn rollback(self) -> Result<(), StoreError> {
        match self.0 {
            Kind::SqliteWriter(member) => {
                drop(member);
                Ok(())
            }
            Kind::SqliteReader(transaction) => Ok(transaction.rollback().await?),
            Kind::Postgres(transaction) => Ok(transaction.rollback().await?),
        }
    }

    /// The connection underneath. Use the macros; this is what they expand to.
    #[doc(hidden)]
    pub fn engine(&mut self) -> Engine<'_> {
        match &mut self.0 {
            Kind::SqliteWriter(member) => Engine::Sqlite(member.connection()),
            Kind::SqliteReader(transaction) => Engine::Sqlite(transaction),
            Kind::Postgres(transaction) => Engine::Postgres(transaction),
        }
    }
}
