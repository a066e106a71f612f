use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use futures_util::FutureExt;
use futures_util::future::join_all;
use store::{Db, StoreError};
use tokio::sync::Barrier;

use crate::{amounts, database};

async fn insert(db: &Db, id: i64) -> store::Tx {
    let mut tx = db.begin().await.unwrap();
    let inserted =
        store::execute!(tx, "INSERT INTO things (id, amount) VALUES ($1, 0)", id).unwrap();
    assert_eq!(inserted, 1);
    tx
}

#[tokio::test]
async fn a_committed_transaction_is_seen_and_a_dropped_one_is_not() {
    let (_database, db) = database().await;
    insert(&db, 1).await.commit().await.unwrap();
    drop(insert(&db, 2).await);
    insert(&db, 3).await.rollback().await.unwrap();
    insert(&db, 4).await.commit().await.unwrap();
    assert_eq!(amounts(&db).await, [(1, 0), (4, 0)]);
}

#[tokio::test]
async fn committed_changes_survive_closing_and_opening() {
    let (database, db) = database().await;
    insert(&db, 1).await.commit().await.unwrap();
    db.close().await;
    assert!(matches!(db.read().await, Err(StoreError::Unavailable(_))));
    assert_eq!(amounts(&database.connect().await).await, [(1, 0)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_transactions_lose_no_update() {
    let (_database, db) = database().await;
    insert(&db, 1).await.commit().await.unwrap();
    let add_one = || async {
        let mut tx = db.begin().await.unwrap();
        let (amount,) = store::fetch_optional_locked!(
            tx,
            (i64,),
            "SELECT amount FROM things WHERE id = $1",
            1_i64
        )
        .unwrap()
        .unwrap();
        tokio::task::yield_now().await;
        store::execute!(tx, "UPDATE things SET amount = $1 WHERE id = 1", amount + 1).unwrap();
        tx.commit().await.unwrap();
    };
    join_all((0..200).map(|_| add_one())).await;
    assert_eq!(amounts(&db).await, [(1, 200)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn transactions_that_run_together_are_undone_alone() {
    let (_database, db) = database().await;
    let start = Arc::new(Barrier::new(100));
    let tasks = (0..100).map(|id| {
        let (db, start) = (db.clone(), Arc::clone(&start));
        tokio::spawn(async move {
            start.wait().await;
            let tx = insert(&db, id).await;
            match id % 4 {
                0 => drop(tx),
                1 => tx.rollback().await.unwrap(),
                _ => tx.commit().await.unwrap(),
            }
        })
    });
    for task in join_all(tasks).await {
        task.unwrap();
    }
    let kept: Vec<i64> = amounts(&db).await.into_iter().map(|(id, _)| id).collect();
    let expected: Vec<i64> = (0..100).filter(|id| id % 4 > 1).collect();
    assert_eq!(kept, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_refused_statement_spoils_only_its_own_transaction() {
    let (_database, db) = database().await;
    insert(&db, 50).await.commit().await.unwrap();
    let write = |id: i64| {
        let db = db.clone();
        async move {
            let mut tx = db.begin().await?;
            store::execute!(tx, "INSERT INTO things (id, amount) VALUES ($1, 1)", id)?;
            tx.commit().await
        }
    };
    let results = join_all((0..100).map(write)).await;
    for (id, result) in results.into_iter().enumerate() {
        match result {
            Err(error) => assert!(id == 50 && error.is_unique_violation(), "{id}: {error:?}"),
            Ok(()) => assert_ne!(id, 50),
        }
    }
    assert_eq!(amounts(&db).await.len(), 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn cutting_transactions_off_anywhere_harms_no_other() {
    let (_database, db) = database().await;
    let acknowledged = Arc::new(AtomicU32::new(0));
    let tasks: Vec<_> = (0..300)
        .map(|id| {
            let (db, acknowledged) = (db.clone(), Arc::clone(&acknowledged));
            tokio::spawn(async move {
                insert(&db, id).await.commit().await.unwrap();
                acknowledged.fetch_add(1, Ordering::SeqCst);
            })
        })
        .collect();
    for (task, aborted) in tasks.iter().zip((0..3).cycle()) {
        tokio::task::yield_now().await;
        if aborted == 0 {
            task.abort();
        }
    }
    for task in tasks {
        assert!(task.await.err().is_none_or(|error| error.is_cancelled()));
    }
    insert(&db, 1_000).await.commit().await.unwrap();
    let kept = amounts(&db).await.len();
    assert!(
        kept > acknowledged.load(Ordering::SeqCst) as usize,
        "an acknowledged row is missing"
    );
}

#[tokio::test]
async fn a_reader_sees_one_state_while_writers_go_on() {
    let (_database, db) = database().await;
    let mut reader = db.read().await.unwrap();
    let count = "SELECT count(*) FROM things";
    assert_eq!(store::fetch_one!(reader, (i64,), count).unwrap(), (0,));
    insert(&db, 1).await.commit().await.unwrap();
    assert_eq!(store::fetch_one!(reader, (i64,), count).unwrap(), (0,));
    drop(reader);
    assert_eq!(amounts(&db).await.len(), 1);
}

#[tokio::test]
async fn a_reader_cannot_write() {
    let (_database, db) = database().await;
    let mut tx = db.read().await.unwrap();
    let result = store::execute!(tx, "INSERT INTO things (id, amount) VALUES (1, 1)");
    assert!(result.is_err());
}

#[tokio::test]
async fn waiting_for_a_connection_ends_with_unavailable() {
    let (database, _db) = database().await;
    let mut settings = database.settings();
    settings.max_connections = 1;
    settings.acquire_timeout_ms = 50;
    let db = Db::connect(&settings).await.unwrap();
    let held = insert(&db, 1).await;
    assert!(matches!(db.begin().await, Err(StoreError::Unavailable(_))));
    held.commit().await.unwrap();
    insert(&db, 2).await.commit().await.unwrap();
}

#[tokio::test]
async fn workers_that_skip_locked_rows_share_a_queue() {
    let (_database, db) = database().await;
    for id in 0..4 {
        insert(&db, id).await.commit().await.unwrap();
    }
    let take = || async {
        let mut taken = Vec::new();
        loop {
            let mut tx = db.begin().await.unwrap();
            let next: Vec<(i64,)> = store::fetch_all_skip_locked!(
                tx,
                (i64,),
                "SELECT id FROM things WHERE amount = 0 ORDER BY id LIMIT 1"
            )
            .unwrap();
            let Some((id,)) = next.first() else {
                return taken;
            };
            store::execute!(tx, "UPDATE things SET amount = 1 WHERE id = $1", id).unwrap();
            tx.commit().await.unwrap();
            taken.push(*id);
        }
    };
    let (mut all, more) = tokio::join!(take(), take());
    all.extend(more);
    all.sort_unstable();
    assert_eq!(all, [0, 1, 2, 3]);
}

#[tokio::test]
async fn a_commit_wakes_who_waits_for_it_and_a_rollback_does_not() {
    let (_database, db) = database().await;
    let sleeper = Arc::new(tokio::sync::Notify::new());
    let mut dropped = insert(&db, 1).await;
    dropped.wake_on_commit(&sleeper);
    drop(dropped);
    let mut kept = insert(&db, 1).await;
    assert!(sleeper.notified().now_or_never().is_none());
    kept.wake_on_commit(&sleeper);
    kept.commit().await.unwrap();
    assert!(sleeper.notified().now_or_never().is_some());
}

#[tokio::test]
async fn a_glance_sees_what_is_committed_at_each_of_its_statements() {
    let (_database, db) = database().await;
    let mut transaction = db.read().await.unwrap();
    let mut glance = db.glance().await.unwrap();
    let sql = "SELECT count(*) FROM things";
    for tx in [&mut transaction, &mut glance] {
        assert_eq!(store::fetch_one!(tx, (i64,), sql).unwrap(), (0,));
    }
    let mut writer = db.begin().await.unwrap();
    store::execute!(writer, "INSERT INTO things VALUES (1, 1)").unwrap();
    assert_eq!(store::fetch_one!(glance, (i64,), sql).unwrap(), (0,));
    writer.commit().await.unwrap();
    assert_eq!(store::fetch_one!(glance, (i64,), sql).unwrap(), (1,));
    assert_eq!(store::fetch_one!(transaction, (i64,), sql).unwrap(), (0,));
    glance.commit().await.unwrap();
}

#[tokio::test]
async fn postgresql_keeps_the_plans_of_writes_and_plans_each_read() {
    let (_database, db) = database().await;
    if db.engine_name() != "postgres" {
        return;
    }
    let sql = "SELECT current_setting('plan_cache_mode')";
    // More than there are connections, so that some are used again.
    for _ in 0..20 {
        let mut writer = db.begin().await.unwrap();
        let (mode,) = store::fetch_one!(writer, (String,), sql).unwrap();
        assert_eq!(mode, "force_generic_plan");
        writer.commit().await.unwrap();
        for mut reader in [db.read().await.unwrap(), db.glance().await.unwrap()] {
            let (mode,) = store::fetch_one!(reader, (String,), sql).unwrap();
            assert_eq!(mode, "auto");
        }
    }
}
