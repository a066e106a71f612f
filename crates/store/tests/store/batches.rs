use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::FutureExt;
use futures_util::future::join_all;
use store::{BatchResult, BatchWork, Batcher, Db, MAX_BATCH, StoreError};

use crate::{amounts, database};

/// Inserts ids. Answers how large the batch was; a negative id is refused by itself, 1,000 panics.
struct Insert {
    db: Db,
    batches: &'static AtomicUsize,
}

#[derive(Debug, thiserror::Error)]
enum InsertError {
    #[error("refused")]
    Refused,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl BatchWork for Insert {
    type Request = i64;
    type Answer = usize;
    type Error = InsertError;

    fn db(&self) -> &Db {
        &self.db
    }

    async fn work(&self, requests: &[i64]) -> BatchResult<Self> {
        assert!(!requests.contains(&1_000), "asked to panic");
        self.batches.fetch_add(1, Ordering::SeqCst);
        let mut tx = self.db.begin().await?;
        let good: Vec<i64> = requests.iter().copied().filter(|id| *id >= 0).collect();
        store::insert_many!(tx, "INSERT INTO things (id, amount)", good, |id| [
            id, 0_i64
        ])?;
        tx.commit().await?;
        let answer = |id: &i64| {
            if *id < 0 {
                Err(InsertError::Refused)
            } else {
                Ok(requests.len())
            }
        };
        Ok(requests.iter().map(answer).collect())
    }
}

fn inserts(db: &Db) -> (Batcher<Insert>, &'static AtomicUsize) {
    let batches: &'static AtomicUsize = Box::leak(Box::default());
    let db = db.clone();
    (Batcher::new(Insert { db, batches }), batches)
}

#[tokio::test]
async fn requests_at_the_same_time_share_transactions_and_none_is_lost() {
    let (_database, db) = database().await;
    let (batcher, batches) = inserts(&db);
    let sizes = join_all((0..500).map(|id| batcher.run(id))).await;
    let sizes: Vec<usize> = sizes.into_iter().map(Result::unwrap).collect();
    assert_eq!(sizes.iter().max(), Some(&MAX_BATCH));
    assert!(batches.load(Ordering::SeqCst) < 20, "{batches:?}");
    let ids: Vec<i64> = amounts(&db).await.into_iter().map(|(id, _)| id).collect();
    assert_eq!(ids, Vec::from_iter(0..500));
}

#[tokio::test]
async fn a_request_alone_begins_at_once() {
    let (_database, db) = database().await;
    let (batcher, _) = inserts(&db);
    assert_eq!(batcher.run(1).await.unwrap(), 1);
    assert_eq!(batcher.run(2).await.unwrap(), 1);
}

#[tokio::test]
async fn requests_that_come_one_after_another_share_a_batch_without_a_timer() {
    let (_database, db) = database().await;
    let (batcher, batches) = inserts(&db);
    let late = |id: i64| {
        let batcher = batcher.clone();
        tokio::spawn(async move {
            // Each arrives two rounds after the one before.
            for _ in 0..2 * id {
                tokio::task::yield_now().await;
            }
            batcher.run(id).await.unwrap()
        })
    };
    let sizes = join_all((0..20).map(late)).await;
    assert!(sizes.into_iter().all(|size| size.unwrap() == 20));
    assert_eq!(batches.load(Ordering::SeqCst), 1);
}

/// Tells how many batches are at work while it is, in whichever batcher.
struct Meet {
    db: Db,
    at_work: &'static AtomicUsize,
}

impl BatchWork for Meet {
    type Request = ();
    type Answer = usize;
    type Error = StoreError;

    fn db(&self) -> &Db {
        &self.db
    }

    async fn work(&self, requests: &[()]) -> BatchResult<Self> {
        let met = self.at_work.fetch_add(1, Ordering::SeqCst) + 1;
        self.db.ping().await?;
        self.at_work.fetch_sub(1, Ordering::SeqCst);
        Ok(requests.iter().map(|()| Ok(met)).collect())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_in_one_database_take_turns_and_those_in_two_do_not() {
    let (_database, db) = database().await;
    let (_other_database, other_db) = database().await;
    let most_met = async |dbs: [&Db; 2]| {
        let at_work: &'static AtomicUsize = Box::leak(Box::default());
        let batchers = dbs.map(|db| {
            let db = db.clone();
            Batcher::new(Meet { db, at_work })
        });
        let mut most = 0;
        for _ in 0..100 {
            let [one, two] = &batchers;
            for met in <[_; 2]>::from(tokio::join!(one.run(()), two.run(()))) {
                most = most.max(met.unwrap());
            }
        }
        most
    };
    assert_eq!(most_met([&db, &db]).await, 1);
    assert_eq!(most_met([&db, &other_db]).await, 2);
}

#[tokio::test]
async fn a_refused_request_is_refused_alone() {
    let (_database, db) = database().await;
    let (batcher, _) = inserts(&db);
    let results = join_all((-1..63).map(|id| batcher.run(id))).await;
    assert!(matches!(results.first(), Some(Err(InsertError::Refused))));
    assert!(results.iter().skip(1).all(Result::is_ok));
}

#[tokio::test]
async fn a_request_that_spoils_its_batch_fails_alone() {
    let (_database, db) = database().await;
    let (batcher, _) = inserts(&db);
    batcher.run(20).await.unwrap();
    let results = join_all((0..32).map(|id| batcher.run(id))).await;
    for (id, result) in results.iter().enumerate() {
        match result {
            Err(InsertError::Store(error)) => assert!(id == 20 && error.is_unique_violation()),
            other => assert!(other.is_ok(), "{id}: {other:?}"),
        }
    }
    assert_eq!(amounts(&db).await.len(), 32);
}

#[tokio::test]
async fn a_request_whose_caller_has_gone_is_done() {
    let (_database, db) = database().await;
    let (batcher, _) = inserts(&db);
    assert!(batcher.run(1).now_or_never().is_none());
    batcher.run(2).await.unwrap();
    assert_eq!(amounts(&db).await, [(1, 0), (2, 0)]);
}

#[tokio::test]
async fn work_that_panics_turns_its_callers_away_and_the_next_one_is_served() {
    let (_database, db) = database().await;
    let (batcher, _) = inserts(&db);
    let results = join_all([1_000, 1, 2].map(|id| batcher.run(id))).await;
    for result in results {
        let turned_away = matches!(result, Err(InsertError::Store(StoreError::Unavailable(_))));
        assert!(turned_away, "{result:?}");
    }
    batcher.run(3).await.unwrap();
    assert_eq!(amounts(&db).await, [(3, 0)]);
}
