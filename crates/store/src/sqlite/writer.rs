//! The one writer of an SQLite file, and how concurrent transactions share a sync of the disk.
//!
//! Writers stand in a fair line for one connection. The first opens a transaction, and each member
//! of the line works inside a savepoint of it, so that it can be undone alone. A member that
//! commits leaves the line and waits; the committer then joins at the end of the line, so whoever
//! stood there already does its work first, and when the committer's turn comes one `COMMIT` makes
//! all of them durable and answers them. Nobody waits for a timer: a lone writer commits at once,
//! and under load a group is as large as the line was long.
//!
//! A member sees what earlier members of its group wrote. That is sound because they become
//! durable together or not at all, as long as a member that only read also commits before anybody
//! is told what it saw. Deferred constraints would only be checked for the group.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, Executor, SqliteConnection};
use tokio::sync::{Mutex, OwnedMutexGuard, mpsc, oneshot};

use crate::StoreError;

/// The way to the writer's connection.
pub(super) struct Writer {
    line: Arc<Mutex<Line>>,
    left: mpsc::Sender<()>,
    patience: Duration,
}

impl Writer {
    /// Opens the connection and starts the committer on the current runtime.
    pub(super) async fn open(
        options: SqliteConnectOptions,
        patience: Duration,
    ) -> Result<Self, StoreError> {
        let mut line = Line {
            options,
            link: None,
            last: Last::None,
            group: Vec::new(),
        };
        line.link().await?;
        let line = Arc::new(Mutex::new(line));
        // One slot is enough: a signal that is not yet taken also stands for the next member.
        let (left, leaving) = mpsc::channel(1);
        tokio::spawn(commit_groups(Arc::clone(&line), leaving));
        Ok(Self {
            line,
            left,
            patience,
        })
    }

    pub(super) async fn begin(&self) -> Result<Member, StoreError> {
        let turn = Arc::clone(&self.line).lock_owned();
        let line = tokio::time::timeout(self.patience, turn)
            .await
            .map_err(|elapsed| {
                tracing::warn!(
                    waited_ms = self.patience.as_millis(),
                    "the line of writers stands still"
                );
                StoreError::unavailable(elapsed)
            })?;
        // From here on the member exists: cut off while it is admitted, it leaves like any other.
        let mut member = Member {
            line,
            left: self.left.clone(),
        };
        member.line.admit().await?;
        Ok(member)
    }

    /// On a connection of its own, while the line stands still.
    pub(super) async fn migrate(&self, migrator: &Migrator) -> Result<(), StoreError> {
        let mut line = self.line.lock().await;
        line.commit_group().await;
        let mut connection = line.options.connect().await?;
        migrator.run(&mut connection).await?;
        connection.close().await?;
        Ok(())
    }

    pub(super) async fn close(&self) {
        let mut line = self.line.lock().await;
        line.commit_group().await;
        if let Some(link) = line.link.take()
            && let Err(error) = link.connection.close().await
        {
            tracing::warn!(%error, "the database was not closed cleanly");
        }
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").finish_non_exhaustive()
    }
}

/// Commits a group whenever the line is free after a member left it; ends with the last handle.
async fn commit_groups(line: Arc<Mutex<Line>>, mut leaving: mpsc::Receiver<()>) {
    while leaving.recv().await.is_some() {
        line.lock().await.commit_group().await;
    }
}

/// A write transaction: the front of the line until it is dropped.
pub(crate) struct Member {
    line: OwnedMutexGuard<Line>,
    left: mpsc::Sender<()>,
}

impl Member {
    pub(crate) fn connection(&mut self) -> &mut SqliteConnection {
        let link = self.line.link.as_mut();
        &mut link
            .expect("an admitted member's line has a connection")
            .connection
    }

    /// Leaves the line and waits until the group is durable, with what other members wrote. There is
    /// no point at which cutting this off would leave half a commit.
    pub(crate) async fn commit(mut self) -> Result<(), StoreError> {
        let (answer, committed) = oneshot::channel();
        self.line.group.push(answer);
        self.line.last = Last::Kept;
        drop(self);
        match committed.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(cause)) => Err(StoreError::unavailable(cause)),
            Err(gone) => Err(StoreError::unavailable(gone)),
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        // The committer cleans up after members that leave without a commit, too.
        let _already_signalled = self.left.try_send(());
    }
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Member").finish_non_exhaustive()
    }
}

/// What the member before left behind. Whoever is next deals with it, which is why leaving needs
/// no statement of its own.
#[derive(Clone, Copy)]
enum Last {
    /// No transaction is open.
    None,
    /// The savepoint is to be kept.
    Kept,
    /// The savepoint is to be undone: its member was dropped, or is still at work.
    Undone,
    /// The next member was cut off while `Kept` was dealt with. The savepoint may be gone, and
    /// nothing was written since.
    Released,
    /// A `BEGIN` or `COMMIT` was cut off; there is no telling whether it ran.
    Uncertain,
}

type Answer = oneshot::Sender<Result<(), Arc<sqlx::Error>>>;

struct Line {
    options: SqliteConnectOptions,
    link: Option<Link>,
    last: Last,
    /// Members that left with a commit and wait for the group's.
    group: Vec<Answer>,
}

struct Link {
    connection: SqliteConnection,
    /// Set when SQLite ended the whole transaction by itself, as it does when the disk is full or
    /// fails: <https://www.sqlite.org/lang_transaction.html>, section 3.
    rolled_back: Arc<AtomicBool>,
}

impl Line {
    /// Opens the next member's savepoint.
    async fn admit(&mut self) -> Result<(), StoreError> {
        if matches!(self.last, Last::Uncertain) {
            self.abandon(sqlx::Error::BeginFailed);
        }
        let statements = match self.last {
            Last::None | Last::Uncertain => {
                self.last = Last::Uncertain;
                "BEGIN IMMEDIATE; SAVEPOINT member"
            }
            // SQLite's thread stops between two statements when nobody waits for it any more.
            Last::Kept => {
                self.last = Last::Released;
                "RELEASE member; SAVEPOINT member"
            }
            // A savepoint inside the one that may be left serves as well.
            Last::Released => "SAVEPOINT member",
            Last::Undone => "ROLLBACK TO member",
        };
        if let Err(error) = self.run(statements).await {
            return Err(StoreError::unavailable(self.abandon(error)));
        }
        self.last = Last::Undone;
        Ok(())
    }

    /// Makes the group durable and answers its members.
    async fn commit_group(&mut self) {
        let statements = match self.last {
            Last::None => return,
            Last::Kept | Last::Released => "COMMIT",
            Last::Undone => "ROLLBACK TO member; COMMIT",
            Last::Uncertain => {
                self.abandon(sqlx::Error::BeginFailed);
                return;
            }
        };
        self.last = Last::Uncertain;
        match self.run(statements).await {
            Ok(()) => {
                self.last = Last::None;
                for member in self.group.drain(..) {
                    let _gone = member.send(Ok(()));
                }
            }
            Err(error) => {
                tracing::error!(%error, members = self.group.len(), "a group of transactions is lost");
                self.abandon(error);
            }
        }
    }

    async fn run(&mut self, statements: &'static str) -> Result<(), sqlx::Error> {
        let link = self.link().await?;
        link.connection.execute(statements).await?;
        if link.rolled_back.load(Ordering::Acquire) {
            let cause = "SQLite rolled the transaction back by itself";
            return Err(sqlx::Error::Io(io::Error::other(cause)));
        }
        Ok(())
    }

    async fn link(&mut self) -> Result<&mut Link, sqlx::Error> {
        let link = match self.link.take() {
            Some(link) => link,
            None => Link::open(&self.options).await?,
        };
        Ok(self.link.insert(link))
    }

    /// Tells the group that it failed, and starts over with a new connection: closing the old one
    /// undoes whatever it still holds.
    fn abandon(&mut self, cause: sqlx::Error) -> Arc<sqlx::Error> {
        let cause = Arc::new(cause);
        self.link = None;
        self.last = Last::None;
        for member in self.group.drain(..) {
            let _gone = member.send(Err(Arc::clone(&cause)));
        }
        cause
    }
}

impl Link {
    async fn open(options: &SqliteConnectOptions) -> Result<Self, sqlx::Error> {
        let mut connection = options.connect().await?;
        let rolled_back = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&rolled_back);
        let mut handle = connection.lock_handle().await?;
        handle.set_rollback_hook(move || flag.store(true, Ordering::Release));
        drop(handle);
        Ok(Self {
            connection,
            rolled_back,
        })
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    async fn insert(member: &mut Member, sql: &'static str) -> Result<(), sqlx::Error> {
        member.connection().execute(sql).await.map(drop)
    }

    async fn writer(folder: &tempfile::TempDir) -> Writer {
        let options = SqliteConnectOptions::new()
            .filename(folder.path().join("test.db"))
            .create_if_missing(true);
        let writer = Writer::open(options, Duration::from_secs(5)).await.unwrap();
        let mut member = writer.begin().await.unwrap();
        insert(&mut member, "CREATE TABLE t (id integer PRIMARY KEY)")
            .await
            .unwrap();
        member.commit().await.unwrap();
        writer
    }

    async fn ids(writer: &Writer) -> Vec<i64> {
        let mut member = writer.begin().await.unwrap();
        let query = sqlx::query_scalar("SELECT id FROM t ORDER BY id");
        query.fetch_all(member.connection()).await.unwrap()
    }

    /// On this runtime, which has one thread, the second member stands in line before the first
    /// one's group can be committed.
    #[tokio::test]
    async fn a_group_that_sqlite_rolls_back_is_never_acknowledged() {
        let folder = tempfile::tempdir().unwrap();
        let writer = writer(&folder).await;
        let mut first = writer.begin().await.unwrap();
        insert(&mut first, "INSERT INTO t VALUES (1)")
            .await
            .unwrap();
        let second = async {
            let mut second = writer.begin().await.unwrap();
            // What a full disk does by itself: the whole transaction is gone.
            let all_gone = "INSERT OR ROLLBACK INTO t VALUES (1)";
            assert!(insert(&mut second, all_gone).await.is_err());
        };
        let (committed, ()) = tokio::join!(first.commit(), second);
        assert!(
            matches!(committed, Err(StoreError::Unavailable(_))),
            "{committed:?}"
        );

        let mut third = writer.begin().await.unwrap();
        insert(&mut third, "INSERT INTO t VALUES (3)")
            .await
            .unwrap();
        third.commit().await.unwrap();
        assert_eq!(ids(&writer).await, [3]);
    }

    /// In the same order as above: the reader stands in line before the writer's group is committed.
    #[tokio::test]
    async fn a_member_that_only_read_is_told_no_earlier_than_the_group_and_no_better() {
        for group_fails in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            let writer = writer(&folder).await;
            let mut first = writer.begin().await.unwrap();
            insert(&mut first, "INSERT INTO t VALUES (1)")
                .await
                .unwrap();
            let reader = async {
                let mut reader = writer.begin().await.unwrap();
                let count = sqlx::query_scalar("SELECT count(*) FROM t");
                let seen: i64 = count.fetch_one(reader.connection()).await.unwrap();
                let committed = reader.commit().await;
                (seen, committed)
            };
            let last = async {
                let mut last = writer.begin().await.unwrap();
                if group_fails {
                    insert(&mut last, "ROLLBACK").await.unwrap();
                }
            };
            let (written, (seen, read), ()) = tokio::join!(first.commit(), reader, last);
            assert_eq!(seen, 1);
            assert_eq!(written.is_err(), group_fails, "{written:?}");
            assert_eq!(read.is_err(), group_fails, "{read:?}");
            assert_eq!(ids(&writer).await.is_empty(), group_fails);
        }
    }

    #[tokio::test]
    async fn members_of_one_group_see_each_other_and_fail_alone() {
        let folder = tempfile::tempdir().unwrap();
        let writer = writer(&folder).await;
        let mut first = writer.begin().await.unwrap();
        insert(&mut first, "INSERT INTO t VALUES (1)")
            .await
            .unwrap();
        let dropped = async {
            let mut dropped = writer.begin().await.unwrap();
            insert(&mut dropped, "INSERT INTO t VALUES (2)")
                .await
                .unwrap();
        };
        let third = async {
            let mut third = writer.begin().await.unwrap();
            assert!(
                insert(&mut third, "INSERT INTO t VALUES (1)")
                    .await
                    .is_err()
            );
            insert(&mut third, "INSERT INTO t SELECT max(id) + 2 FROM t")
                .await
                .unwrap();
            third.commit().await
        };
        let (first, (), third) = tokio::join!(first.commit(), dropped, third);
        first.unwrap();
        third.unwrap();
        assert_eq!(ids(&writer).await, [1, 3]);
    }

    #[tokio::test]
    async fn members_cut_off_while_they_are_admitted_harm_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let writer = writer(&folder).await;
        for id in 0..200 {
            let mut kept = writer.begin().await.unwrap();
            let sql = sqlx::query("INSERT INTO t VALUES ($1)").bind(id);
            sql.execute(kept.connection()).await.unwrap();
            let cut_off = async { drop(writer.begin().now_or_never()) };
            let after = async {
                let mut after = writer.begin().await?;
                let sql = sqlx::query("INSERT INTO t VALUES ($1)").bind(1_000 + id);
                sql.execute(after.connection()).await?;
                after.commit().await
            };
            let (committed, (), after) = tokio::join!(kept.commit(), cut_off, after);
            committed.unwrap();
            after.unwrap();
        }
        assert_eq!(
            ids(&writer).await,
            Vec::from_iter((0..200).chain(1_000..1_200))
        );
    }
}
