//! What a finished test leaves behind: nothing that was promised and not delivered.

use std::time::Duration;

use store::Db;

use crate::wait::{PATIENCE, eventually};

#[derive(sqlx::FromRow)]
struct Waiting {
    destination: String,
    r#type: String,
    attempts: i64,
    last_error: Option<String>,
}

impl Waiting {
    fn describe(&self) -> String {
        let error = self.last_error.as_deref().unwrap_or("no error");
        let (kind, destination) = (&self.r#type, &self.destination);
        format!(
            "  {kind} to {destination}: {} attempts, {error}",
            self.attempts
        )
    }
}

/// Waits until every event of the service's outbox is delivered.
///
/// # Panics
/// When some are still waiting after the usual patience; lists them with their last errors.
pub async fn assert_outbox_empty(db: &Db) {
    assert_empty_within(PATIENCE, db).await;
}

async fn assert_empty_within(patience: Duration, db: &Db) {
    let empty = eventually(patience, || async {
        waiting(db).await.is_empty().then_some(())
    });
    if empty.await.is_none() {
        let left: Vec<String> = waiting(db).await.iter().map(Waiting::describe).collect();
        panic!(
            "undelivered events stay in the outbox:\n{}",
            left.join("\n")
        );
    }
}

async fn waiting(db: &Db) -> Vec<Waiting> {
    let mut tx = db.read().await.expect("the database can be read");
    store::fetch_all!(
        tx,
        Waiting,
        "SELECT destination, type, attempts, last_error FROM outbox \
         WHERE published_at IS NULL ORDER BY seq LIMIT 20"
    )
    .expect("the service has an outbox")
}

#[cfg(test)]
mod tests {
    use std::panic::AssertUnwindSafe;

    use super::*;
    use crate::TestDatabase;

    async fn outbox_with(published_at: Option<i64>) -> (TestDatabase, Db) {
        let database = TestDatabase::create().await;
        let db = database.connect().await;
        let mut tx = db.begin().await.unwrap();
        store::execute!(
            tx,
            "CREATE TABLE outbox (seq bigint, destination text, type text, attempts bigint, \
             last_error text, published_at bigint)"
        )
        .unwrap();
        store::execute!(
            tx,
            "INSERT INTO outbox (seq, destination, type, attempts, published_at) \
             VALUES (1, 'payment', 'order.cancelled.v1', 3, $1)",
            published_at
        )
        .unwrap();
        tx.commit().await.unwrap();
        (database, db)
    }

    #[tokio::test]
    async fn a_delivered_event_is_not_waited_for() {
        let (_database, db) = outbox_with(Some(1)).await;
        assert_outbox_empty(&db).await;
    }

    #[tokio::test]
    async fn an_undelivered_event_is_named() {
        use futures_util::FutureExt as _;
        let (_database, db) = outbox_with(None).await;
        let panic = AssertUnwindSafe(assert_empty_within(Duration::ZERO, &db))
            .catch_unwind()
            .await;
        let panic = panic.unwrap_err();
        let text = panic.downcast_ref::<String>().unwrap();
        assert!(
            text.contains("order.cancelled.v1 to payment: 3 attempts"),
            "{text}"
        );
    }
}
