use super::*;
use crate::app::correct::{Counted, count};

impl World {
    /// Counts five where `place` has its stock, and commits when `may_end` says so.
    async fn count_five(&self, place: Place, may_end: impl Future<Output = ()>) -> Counted {
        let mut tx = self.app.db.begin().await.unwrap();
        let entry = self.entry("count");
        let counted = count(&mut tx, &self.app.clock, place, 5, &entry).await;
        may_end.await;
        tx.commit().await.unwrap();
        counted.unwrap()
    }
}

#[tokio::test]
async fn of_two_first_counts_the_second_finds_what_the_first_booked() {
    let world = World::new().await;
    let place = (world.new_store(), world.product("basil").await);
    let (end_first, first_may_end) = tokio::sync::oneshot::channel();
    let (counted, mut first_has_counted) = tokio::sync::mpsc::channel(1);
    let first = world.count_five(place, async move {
        counted.send(()).await.unwrap();
        first_may_end.await.unwrap();
    });
    let second = async {
        first_has_counted.recv().await.unwrap();
        let mut second = Box::pin(world.count_five(place, async {}));
        let wait = Duration::from_millis(200);
        let early = tokio::time::timeout(wait, &mut second).await;
        assert!(
            early.is_err(),
            "the second count did not wait for the first"
        );
        end_first.send(()).unwrap();
        second.await
    };
    let (first, second) = tokio::join!(first, second);
    assert_eq!((first.expected, first.difference), (0, 5));
    assert_eq!((second.expected, second.difference), (5, 0));
    assert_eq!(world.balance(place).await, (5, 0));
    world.assert_books_agree().await;
}
