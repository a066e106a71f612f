//! What can go wrong with a database, told apart by what the caller does about it.

use sqlx::error::{DatabaseError, ErrorKind};
use sqlx::migrate::MigrateError;

/// A failure of the database.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Out of reach, overloaded, full or shutting down: try again later.
    #[error("the database cannot be used now")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A row with the same unique key exists.
    #[error("the unique constraint {constraint} is violated")]
    Conflict {
        /// PostgreSQL's name of the constraint, or SQLite's list of columns.
        constraint: String,
    },
    /// Lost against a concurrent transaction (deadlock or serialization): run it again.
    #[error("the transaction lost against a concurrent one")]
    Serialization(#[source] sqlx::Error),
    /// A value that this engine cannot hold: a text with a NUL, a time out of its range. Whoever sent
    /// it may send another.
    #[error("the database cannot hold a value")]
    Unstorable(#[source] sqlx::Error),
    /// The statement or its result is wrong: a fault of the program.
    #[error("the database refused a statement")]
    Database(#[source] sqlx::Error),
    /// The schema could not be brought up to date.
    #[error("the migrations could not be applied")]
    Migration(#[from] MigrateError),
    /// The settings or the migrations contradict themselves.
    #[error("the database is set up wrongly: {0}")]
    Settings(String),
}

impl StoreError {
    /// Whether a row with the same unique key exists.
    #[must_use]
    pub const fn is_unique_violation(&self) -> bool {
        matches!(self, Self::Conflict { .. })
    }

    /// Whether the same transaction may succeed when it is run again.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Serialization(_))
    }

    pub(crate) fn unavailable(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Unavailable(cause.into())
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        use sqlx::Error as E;
        match &error {
            E::Database(cause) => match verdict(cause.as_ref()) {
                Verdict::Conflict(constraint) => Self::Conflict { constraint },
                Verdict::Serialization => Self::Serialization(error),
                Verdict::Unavailable => Self::unavailable(error),
                Verdict::Unstorable => Self::Unstorable(error),
                Verdict::Fault => Self::Database(error),
            },
            E::Io(_)
            | E::Tls(_)
            | E::PoolTimedOut
            | E::PoolClosed
            | E::WorkerCrashed
            | E::BeginFailed => Self::unavailable(error),
            _ => Self::Database(error),
        }
    }
}

enum Verdict {
    Conflict(String),
    Serialization,
    Unavailable,
    Unstorable,
    Fault,
}

fn verdict(error: &dyn DatabaseError) -> Verdict {
    if error.kind() == ErrorKind::UniqueViolation {
        let columns = || error.message().rsplit(": ").next().unwrap_or_default();
        return Verdict::Conflict(error.constraint().unwrap_or_else(columns).to_owned());
    }
    let code = error.code().unwrap_or_default();
    if error
        .try_downcast_ref::<sqlx::sqlite::SqliteError>()
        .is_some()
    {
        sqlite_verdict(&code)
    } else {
        postgres_verdict(&code)
    }
}

/// By SQLSTATE: appendix A of PostgreSQL's manual.
fn postgres_verdict(code: &str) -> Verdict {
    match code {
        // serialization_failure, deadlock_detected
        "40001" | "40P01" => Verdict::Serialization,
        // too_many_connections, lock_not_available, query_canceled (statement_timeout),
        // idle_in_transaction_session_timeout, disk_full; admin_shutdown, crash_shutdown,
        // cannot_connect_now; read_only_sql_transaction (a failover is under way)
        "53300" | "55P03" | "57014" | "25P03" | "53100" | "57P01" | "57P02" | "57P03" | "25006" => {
            Verdict::Unavailable
        }
        // connection exceptions
        _ if code.starts_with("08") => Verdict::Unavailable,
        // datetime_field_overflow, character_not_in_repertoire, untranslatable_character. The rest of
        // the data exceptions, such as a division by zero, is the statement's fault.
        "22008" | "22021" | "22P05" => Verdict::Unstorable,
        _ => Verdict::Fault,
    }
}

/// By primary result code, the lowest byte: <https://www.sqlite.org/rescode.html>.
fn sqlite_verdict(code: &str) -> Verdict {
    let primary = code.parse::<u32>().map_or(0, |code| code & 0xff);
    match primary {
        // BUSY, LOCKED, IOERR, FULL, CANTOPEN
        5 | 6 | 10 | 13 | 14 => Verdict::Unavailable,
        _ => Verdict::Fault,
    }
}
