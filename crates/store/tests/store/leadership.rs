use testkit::wait_until;

use crate::database;

#[tokio::test]
async fn a_name_has_one_holder_until_it_is_dropped() {
    let (first, db) = database().await;
    let (_other, elsewhere) = database().await;
    let same = first.connect().await;

    let mut held = db.try_lead("outbox").await.unwrap().unwrap();
    assert!(held.is_held().await);
    assert!(same.try_lead("outbox").await.unwrap().is_none());
    assert!(same.try_lead("saga").await.unwrap().is_some());
    assert!(elsewhere.try_lead("outbox").await.unwrap().is_some());

    drop(held);
    // PostgreSQL notices the end of a session a moment later.
    wait_until("the name to be free", || async {
        same.try_lead("outbox").await.unwrap().is_some()
    })
    .await;
}
