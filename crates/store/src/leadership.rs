//! One of many: who, of all processes on a database, does a job that only one may do.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex, PoisonError};

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, PgConnection};

use crate::StoreError;

/// Names that are held on SQLite files. A file belongs to one process, so its memory is the place.
static HELD: LazyLock<Mutex<BTreeSet<Seat>>> = LazyLock::new(Mutex::default);

type Seat = (PathBuf, String);

/// The holding of a name; dropped, it is free for others.
#[derive(Debug)]
pub struct Leadership(Kind);

#[derive(Debug)]
enum Kind {
    Process(Seat),
    /// The lock belongs to the session and ends with it.
    Session(Box<PgConnection>),
}

impl Leadership {
    pub(crate) fn in_process(database: &Path, name: &str) -> Option<Self> {
        let seat = (database.to_owned(), name.to_owned());
        let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
        held.insert(seat.clone()).then(|| Self(Kind::Process(seat)))
    }

    pub(crate) async fn on_server(
        options: &PgConnectOptions,
        name: &str,
    ) -> Result<Option<Self>, StoreError> {
        // A holder whose machine vanished is noticed within a minute, not after hours.
        let keepalive = [
            ("tcp_keepalives_idle", "30"),
            ("tcp_keepalives_interval", "10"),
            ("tcp_keepalives_count", "3"),
        ];
        let mut session = options.clone().options(keepalive).connect().await?;
        // Advisory locks are shared by all schemas of a database; the schema is part of the key.
        let sql = "SELECT pg_try_advisory_lock(hashtextextended(current_schema() || '/' || $1, 0))";
        let (held,): (bool,) = sqlx::query_as(sql)
            .bind(name)
            .fetch_one(&mut session)
            .await?;
        if held {
            return Ok(Some(Self(Kind::Session(Box::new(session)))));
        }
        session.close().await?;
        Ok(None)
    }

    /// Whether the name is still held. A lost connection to PostgreSQL gives it up; work that two
    /// leaders may do at once for a moment must be idempotent.
    pub async fn is_held(&mut self) -> bool {
        match &mut self.0 {
            Kind::Process(_) => true,
            Kind::Session(session) => session.ping().await.is_ok(),
        }
    }
}

impl Drop for Leadership {
    fn drop(&mut self) {
        if let Kind::Process(seat) = &self.0 {
            HELD.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .remove(seat);
        }
    }
}
