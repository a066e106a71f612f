use crate::{amounts, database};

#[tokio::test]
async fn an_append_only_table_takes_rows_and_keeps_them_as_they_are() {
    let (_database, db) = database().await;
    db.make_append_only("things").await.unwrap();
    db.make_append_only("things").await.unwrap();
    let mut tx = db.begin().await.unwrap();
    store::execute!(tx, "INSERT INTO things (id, amount) VALUES (1, 10)").unwrap();
    tx.commit().await.unwrap();
    for sql in [
        "UPDATE things SET amount = 11 WHERE id = 1",
        "DELETE FROM things",
        "DELETE FROM things WHERE id = 1",
    ] {
        let mut tx = db.begin().await.unwrap();
        let refused = store::execute!(tx, sql).unwrap_err();
        let cause = format!("{:?}", refused);
        assert!(cause.contains("things is append-only"), "{cause}");
    }
    assert_eq!(amounts(&db).await, [(1, 10)]);
}

#[tokio::test]
async fn replicas_that_start_together_make_it_append_only_once() {
    let (_database, db) = database().await;
    let starts = (0..4).map(|_| db.make_append_only("things"));
    for outcome in futures_util::future::join_all(starts).await {
        outcome.unwrap();
    }
}
