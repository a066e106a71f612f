use testkit::{assert_outbox_empty, wait_until};

use crate::world::World;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_event_takes_effect_once_and_in_order() {
    let world = World::start().await;
    for chunk in 0..10 {
        world.emit(chunk * 60..(chunk + 1) * 60).await;
    }
    world.expect_effects(0..600).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_of_a_rolled_back_change_is_never_told() {
    let world = World::start().await;
    let mut tx = world.inventory.db.begin().await.unwrap();
    let event = crate::world::restocked();
    world
        .inventory
        .outbox
        .append(&mut tx, "never", &event)
        .await
        .unwrap();
    drop(tx);
    world.emit(["told"]).await;
    world.expect_effects(["told"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscriber_that_is_out_of_reach_gets_everything_in_order_later() {
    let world = World::start().await;
    world.emit(0..10).await;
    world.expect_effects(0..10).await;
    world.cable.cut().await;
    for chunk in 1..21 {
        world.emit(chunk * 10..(chunk + 1) * 10).await;
    }
    wait_until("a failed try", || async {
        last_error(&world).await.is_some()
    })
    .await;
    assert_eq!(world.effects().await.len(), 10);
    world.cable.mend().await;
    world.expect_effects(0..210).await;
    assert!(last_error(&world).await.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_breaks_again_and_again_loses_and_doubles_nothing() {
    let world = World::start().await;
    for chunk in 0..20 {
        world.emit(chunk * 50..(chunk + 1) * 50).await;
        if chunk % 4 == 1 {
            world.cable.cut().await;
            world.cable.mend().await;
        }
    }
    wait_until("every effect", || async {
        world.effects().await.len() >= 1_000
    })
    .await;
    assert_outbox_empty(&world.inventory.db).await;
    let mut effects: Vec<u32> = world
        .effects()
        .await
        .iter()
        .map(|subject| subject.parse().unwrap())
        .collect();
    // What the broker hands out again after a break may come behind what followed it.
    effects.sort_unstable();
    assert_eq!(effects, (0..1_000).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_never_ran_misses_nothing() {
    let mut world = World::without_order().await;
    world.emit(0..100).await;
    world.start_order().await;
    world.expect_effects(0..100).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscriber_that_restarts_in_the_middle_loses_and_doubles_nothing() {
    let mut world = World::start().await;
    for round in 0..3 {
        world.emit(round * 200..round * 200 + 100).await;
        world.stop_order().await;
        world.emit(round * 200 + 100..(round + 1) * 200).await;
        world.start_order().await;
    }
    world.expect_effects(0..600).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_that_dies_between_handing_over_and_marking_tells_twice_with_one_effect() {
    let world = World::start().await;
    world.emit(0..50).await;
    world.expect_effects(0..50).await;
    // As if the mark had never been written.
    let mut tx = world.inventory.db.begin().await.unwrap();
    let sql = "UPDATE outbox SET published_at = NULL";
    assert_eq!(store::execute!(tx, sql).unwrap(), 50);
    tx.commit().await.unwrap();
    world.emit(["after"]).await;
    let expected = (0..50).map(|n| n.to_string()).chain(["after".to_owned()]);
    world.expect_effects(expected).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_replica_takes_over_the_outbox() {
    let mut world = World::start().await;
    let replica = world.inventory_replica().await;
    replica.emit(["by the leader"]).await;
    world.expect_effects(["by the leader"]).await;
    std::mem::replace(&mut world.inventory, replica)
        .stop()
        .await;
    world.emit(["by the successor"]).await;
    world
        .expect_effects(["by the leader", "by the successor"])
        .await;
}

async fn last_error(world: &World) -> Option<String> {
    let mut tx = world.inventory.db.read().await.unwrap();
    let sql = "SELECT last_error FROM outbox WHERE last_error IS NOT NULL LIMIT 1";
    store::fetch_optional!(tx, (String,), sql)
        .unwrap()
        .map(|(error,)| error)
}
