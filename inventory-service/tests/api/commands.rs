//! The commands of the order saga.

use contracts::inventory_v1::{CommandOutcome, ReservationState, ReserveOutcome};
use testkit::wait_until;
use tonic::Code;

use crate::harness::Harness;

#[tokio::test]
async fn a_sale_consumes_lots_earliest_expiry_first_whatever_is_repeated() {
    let harness = Harness::start().await;
    let (dough, ham) = (harness.product("dough").await, harness.product("ham").await);
    let pizza = harness.item(&[(dough, 250), (ham, 40)]).await;
    harness.receive(dough, 1000, None).await;
    harness.receive(ham, 50, Some("2034-06-01")).await;
    harness.receive(ham, 100, Some("2034-05-01")).await;
    let (commands, order) = (harness.commands(), harness.new_order());

    let first = commands.reserve(order, &[(pizza, 2), (pizza, 1)]).await;
    assert_eq!(first.outcome(), ReserveOutcome::Reserved);
    assert_eq!(
        commands.reserve(order, &[(pizza, 2), (pizza, 1)]).await,
        first
    );
    assert_eq!(harness.balance(dough).await, (1000, 750));

    for _ in 0..2 {
        assert_eq!(commands.commit(order).await, CommandOutcome::Done);
    }
    assert_eq!(harness.balance(dough).await, (250, 0));
    assert_eq!(harness.balance(ham).await, (30, 0));
    let path = format!("/api/inventory/stock/{ham}/lots?store_id={}", harness.store);
    let lots = harness.owner.get(&path).await.expect(200);
    assert_eq!(
        lots["items"].as_array().unwrap().len(),
        1,
        "the earlier lot is empty: {lots}"
    );
    assert_eq!(lots["items"][0]["expires_on"], "2034-06-01");

    assert_eq!(
        commands.release(order).await,
        CommandOutcome::AlreadyCommitted
    );
    for _ in 0..2 {
        assert_eq!(commands.restock(order).await, CommandOutcome::Done);
    }
    assert_eq!(harness.balance(dough).await, (1000, 0));
    assert_eq!(commands.state(order).await, ReservationState::Restocked);
    harness.assert_ledger_holds().await;
    harness.stop().await;
}

#[tokio::test]
async fn too_little_of_one_ingredient_holds_nothing_of_any() {
    let harness = Harness::start().await;
    let (dough, ham) = (harness.product("dough").await, harness.product("ham").await);
    let pizza = harness.item(&[(dough, 250), (ham, 40)]).await;
    harness.receive(dough, 1000, None).await;
    harness.receive(ham, 39, None).await;
    let (commands, order) = (harness.commands(), harness.new_order());

    let reply = commands.reserve(order, &[(pizza, 1)]).await;
    assert_eq!(reply.outcome(), ReserveOutcome::OutOfStock);
    assert_eq!(reply.shortages.len(), 1);
    assert_eq!(
        (reply.shortages[0].wanted, reply.shortages[0].available),
        (40, 39)
    );
    assert_eq!(reply.shortages[0].sku, "ham");
    assert_eq!(harness.balance(dough).await, (1000, 0));
    // More stock does not change the answer to a command that was answered.
    harness.receive(ham, 1000, None).await;
    assert_eq!(commands.reserve(order, &[(pizza, 1)]).await, reply);
    assert_eq!(commands.state(order).await, ReservationState::None);
    harness.assert_ledger_holds().await;
    harness.stop().await;
}

#[tokio::test]
async fn expired_lots_are_not_promised() {
    let harness = Harness::start().await;
    let milk = harness.product("milk").await;
    let shake = harness.item(&[(milk, 10)]).await;
    harness.receive(milk, 100, Some("2020-01-01")).await;
    let reply = harness
        .commands()
        .reserve(harness.new_order(), &[(shake, 1)])
        .await;
    assert_eq!(reply.outcome(), ReserveOutcome::OutOfStock);
    assert_eq!(reply.shortages[0].available, 0);
    harness.stop().await;
}

#[tokio::test]
async fn a_release_that_overtakes_its_reserve_wins() {
    let harness = Harness::start().await;
    let dough = harness.product("dough").await;
    let pizza = harness.item(&[(dough, 1)]).await;
    harness.receive(dough, 10, None).await;
    let (commands, order) = (harness.commands(), harness.new_order());
    assert_eq!(commands.release(order).await, CommandOutcome::Done);
    let late = commands.reserve(order, &[(pizza, 1)]).await;
    assert_eq!(late.outcome(), ReserveOutcome::AlreadyReleased);
    assert_eq!(harness.balance(dough).await, (10, 0));
    assert_eq!(
        commands.commit(order).await,
        CommandOutcome::AlreadyReleased
    );
    assert_eq!(
        commands.commit(harness.new_order()).await,
        CommandOutcome::NotFound
    );
    harness.stop().await;
}

#[tokio::test]
async fn a_hundred_orders_for_the_last_ten_get_ten() {
    let harness = Harness::start().await;
    let last = harness.product("last").await;
    let item = harness.item(&[(last, 1)]).await;
    harness.receive(last, 10, None).await;
    let commands = harness.commands();
    let orders: Vec<_> = (0..100).map(|_| harness.new_order()).collect();
    let lines = [(item, 1)];
    let replies =
        futures_util::future::join_all(orders.iter().map(|order| commands.reserve(*order, &lines)))
            .await;
    let reserved = replies
        .iter()
        .filter(|r| r.outcome() == ReserveOutcome::Reserved)
        .count();
    assert_eq!(reserved, 10);
    for (order, reply) in orders.iter().zip(&replies) {
        if reply.outcome() == ReserveOutcome::Reserved {
            assert_eq!(commands.commit(*order).await, CommandOutcome::Done);
        }
    }
    assert_eq!(harness.balance(last).await, (0, 0));
    harness.assert_ledger_holds().await;
    harness.stop().await;
}

#[tokio::test]
async fn a_reservation_that_nobody_commits_runs_out() {
    let harness =
        Harness::start_with(&[("INVENTORY__RESERVATIONS__SWEEP_INTERVAL_MS", "20")]).await;
    let dough = harness.product("dough").await;
    let pizza = harness.item(&[(dough, 1)]).await;
    harness.receive(dough, 1, None).await;
    let (commands, order) = (harness.commands(), harness.new_order());
    commands.try_reserve(order, &[(pizza, 1)], 1).await.unwrap();
    wait_until("the reservation runs out", || async {
        commands.state(order).await == ReservationState::Expired
    })
    .await;
    assert_eq!(harness.balance(dough).await, (1, 0));
    assert_eq!(commands.commit(order).await, CommandOutcome::Expired);
    harness.stop().await;
}

#[tokio::test]
async fn an_item_without_recipe_is_not_tracked() {
    let harness = Harness::start().await;
    let (commands, order) = (harness.commands(), harness.new_order());
    let reply = commands.reserve(order, &[(harness.new_item(), 3)]).await;
    assert_eq!(reply.outcome(), ReserveOutcome::Reserved);
    assert_eq!(commands.commit(order).await, CommandOutcome::Done);
    harness.stop().await;
}

#[tokio::test]
async fn only_order_service_may_command() {
    let harness = Harness::start().await;
    let (item, order) = (harness.new_item(), harness.new_order());
    for (token, expected) in [
        (harness.identity.owner(), Code::PermissionDenied),
        (harness.identity.service("iot"), Code::PermissionDenied),
        (harness.identity.forged(), Code::Unauthenticated),
        (harness.identity.alg_none(), Code::Unauthenticated),
    ] {
        let commands = harness.commands_with(token);
        let status = commands
            .try_reserve(order, &[(item, 1)], 60)
            .await
            .unwrap_err();
        assert_eq!(status.code(), expected);
    }
    for lines in [vec![], vec![(item, 0)], vec![(item, i64::MAX)]] {
        let status = harness
            .commands()
            .try_reserve(order, &lines, 60)
            .await
            .unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
    }
    harness.stop().await;
}
