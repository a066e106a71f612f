//! What a repeated release is told.

use super::*;
use crate::app::release::release;

/// On this runtime, which has one thread, the three stand in SQLite's line in their order before the
/// first one's group is committed.
#[tokio::test]
async fn a_repeated_release_is_not_told_of_one_that_is_lost() {
    let world = World::new().await;
    let order = world.new_order();
    // What a full disk does by itself: SQLite's whole group is gone.
    let lose_the_group = async {
        let mut tx = world.app.db.begin().await.unwrap();
        ::store::execute!(tx, "ROLLBACK").unwrap();
    };
    let (first, repeated, ()) = tokio::join!(
        release(&world.app, order, "release"),
        release(&world.app, order, "release"),
        lose_the_group
    );
    let is_kept = world.app.db.engine_name() == "postgres";
    for told in [first, repeated] {
        assert_eq!(told.is_ok(), is_kept, "{told:?}");
    }
}
