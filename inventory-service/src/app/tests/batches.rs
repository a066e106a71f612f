//! What one batch makes of requests that have to do with each other.

use super::*;
use crate::app::release::{expire, release};
use crate::domain::reservation::State;

#[tokio::test]
async fn a_repeated_order_in_one_batch_is_held_once_and_answered_alike() {
    let world = World::new().await;
    let (store, dough) = (world.new_store(), world.product("dough").await);
    let pizza = world.item(&[(dough, 3)]).await;
    world.receive((store, dough), 10, None).await;
    let (a, b) = (world.new_order(), world.new_order());
    let ask = |order| wish(order, store, &[(pizza, 1)]);

    let replies = world.reserve(&[ask(a), ask(b), ask(a), ask(a)]).await;
    assert!(replies.iter().all(is_reserved), "{replies:?}");
    assert_eq!(replies[0], replies[2]);
    assert_eq!(replies[0], replies[3]);
    assert_ne!(replies[0], replies[1]);
    assert_eq!(world.balance((store, dough)).await, (10, 6));

    let later = world
        .reserve(&[ask(world.new_order()), ask(b), ask(a)])
        .await;
    assert_eq!(later[1..], [replies[1].clone(), replies[0].clone()]);
    assert_eq!(world.balance((store, dough)).await, (10, 9));
    world.assert_books_agree().await;
}

#[tokio::test]
async fn a_refused_request_and_one_that_is_too_much_leave_their_neighbours_alone() {
    let world = World::new().await;
    let store = world.new_store();
    let (dough, ham) = (world.product("dough").await, world.product("ham").await);
    let (plain, large) = (
        world.item(&[(dough, 4)]).await,
        world.item(&[(dough, 5), (ham, 1)]).await,
    );
    world.receive((store, dough), 10, None).await;
    let orders: Vec<OrderId> = (0..5).map(|_| world.new_order()).collect();
    let requests = [
        wish(orders[0], store, &[(plain, 1)]),
        wish(orders[1], store, &[(large, 1), (plain, 1)]),
        wish(orders[2], store, &[(plain, 1_000_000_000)]),
        wish(orders[3], store, &[(plain, 1)]),
        wish(orders[4], store, &[(plain, 1)]),
    ];
    let replies = world.reserve(&requests).await;
    assert!(
        is_reserved(&replies[0]) && is_reserved(&replies[3]),
        "{replies:?}"
    );
    let short = [("dough".to_owned(), 9, 6), ("ham".to_owned(), 1, 0)];
    assert_eq!(shortages(&replies[1]), short);
    assert!(
        replies[2].as_ref().unwrap_err().contains("more than"),
        "{replies:?}"
    );
    assert_eq!(shortages(&replies[4]), [("dough".to_owned(), 4, 2)]);
    assert_eq!(world.balance((store, dough)).await, (10, 8));

    // A repeat finds the same answers, whatever came in since.
    world.receive((store, ham), 100, None).await;
    world.receive((store, dough), 100, None).await;
    assert_eq!(world.reserve(&requests).await, replies);
    assert_eq!(
        world.commit(&orders).await,
        [
            Ok(commit::Outcome::Done),
            Ok(commit::Outcome::Refused(State::Refused)),
            Ok(commit::Outcome::NotFound),
            Ok(commit::Outcome::Done),
            Ok(commit::Outcome::Refused(State::Refused)),
        ]
    );
    assert_eq!(world.balance((store, dough)).await, (102, 0));
    world.assert_books_agree().await;
}

#[tokio::test]
async fn two_stores_that_share_a_product_are_kept_apart() {
    let world = World::new().await;
    let (here, there) = (world.new_store(), world.new_store());
    let dough = world.product("dough").await;
    let pizza = world.item(&[(dough, 5)]).await;
    world.receive((here, dough), 7, None).await;
    world.receive((there, dough), 5, None).await;
    let orders: Vec<OrderId> = (0..4).map(|_| world.new_order()).collect();
    let stores = [here, there, there, here];
    let requests = orders
        .iter()
        .zip(stores)
        .map(|(order, store)| wish(*order, store, &[(pizza, 1)]));
    let replies = world.reserve(&requests.collect::<Vec<_>>()).await;
    let reserved: Vec<bool> = replies.iter().map(is_reserved).collect();
    assert_eq!(reserved, [true, true, false, false]);
    assert_eq!(shortages(&replies[2]), [("dough".to_owned(), 5, 0)]);
    assert_eq!(shortages(&replies[3]), [("dough".to_owned(), 5, 2)]);
    let done = Ok(commit::Outcome::Done);
    assert_eq!(world.commit(&orders[..2]).await, [done.clone(), done]);
    assert_eq!(world.lots((here, dough)).await, [2]);
    assert_eq!(world.lots((there, dough)).await, [0]);
    world.assert_books_agree().await;
}

#[tokio::test]
async fn later_commits_of_a_batch_take_the_lots_that_earlier_ones_left() {
    let world = World::new().await;
    let (store, milk) = (world.new_store(), world.product("milk").await);
    let shake = world.item(&[(milk, 4)]).await;
    for (units, day) in [(5, Some(20)), (5, Some(12)), (5, None), (5, Some(9))] {
        world.receive((store, milk), units, day).await;
    }
    let orders: Vec<OrderId> = (0..4).map(|_| world.new_order()).collect();
    let ask = |order: &OrderId| wish(*order, store, &[(shake, 1)]);
    let replies = world
        .reserve(&orders.iter().map(ask).collect::<Vec<_>>())
        .await;
    // The lot of the 9th is past its day and promised to nobody.
    assert_eq!(shortages(&replies[3]), [("milk".to_owned(), 4, 3)]);

    let unknown = world.new_order();
    let done = Ok(commit::Outcome::Done);
    let outcomes = world
        .commit(&[orders[1], orders[0], orders[1], unknown])
        .await;
    assert_eq!(
        outcomes,
        [
            done.clone(),
            done.clone(),
            done.clone(),
            Ok(commit::Outcome::NotFound)
        ]
    );
    assert_eq!(world.lots((store, milk)).await, [2, 0, 5, 5]);
    assert_eq!(
        world.commit(&[orders[2], orders[0]]).await,
        [done.clone(), done]
    );
    assert_eq!(world.lots((store, milk)).await, [0, 0, 3, 5]);
    assert_eq!(world.balance((store, milk)).await, (8, 0));
    world.assert_books_agree().await;
}

#[tokio::test]
async fn one_batch_consumes_for_some_orders_and_reserves_for_others() {
    let world = World::new().await;
    let (store, dough) = (world.new_store(), world.product("dough").await);
    let roll = world.item(&[(dough, 1)]).await;
    world.receive((store, dough), 10, None).await;
    let orders: Vec<OrderId> = (0..4).map(|_| world.new_order()).collect();
    let ask = |n: usize, rolls| wish(orders[n], store, &[(roll, rolls)]);
    assert!(world.reserve(&[ask(0, 6)]).await.iter().all(is_reserved));

    let commands = [ask(1, 4), command(orders[0]), ask(2, 1), command(orders[3])];
    let mut outcomes = world.work.work(&commands).await.unwrap().into_iter();
    let mut next = || outcomes.next().unwrap();
    assert!(is_reserved(&reserved(next())));
    assert_eq!(committed(next()), Ok(commit::Outcome::Done));
    // What was consumed was promised before, and frees nothing.
    assert_eq!(shortages(&reserved(next())), [("dough".to_owned(), 1, 0)]);
    assert_eq!(committed(next()), Ok(commit::Outcome::NotFound));
    assert_eq!(world.balance((store, dough)).await, (4, 4));
    assert_eq!(world.lots((store, dough)).await, [4]);
    world.assert_books_agree().await;
}

#[tokio::test]
async fn many_that_ran_out_are_freed_together_and_their_commits_refused() {
    let world = World::new().await;
    let (here, there) = (world.new_store(), world.new_store());
    let (dough, ham) = (world.product("dough").await, world.product("ham").await);
    let pizza = world.item(&[(dough, 2), (ham, 1)]).await;
    for place in [(here, dough), (here, ham), (there, dough), (there, ham)] {
        world.receive(place, 100, None).await;
    }
    let orders: Vec<OrderId> = (0..9).map(|_| world.new_order()).collect();
    let ask = |(order, store): (&OrderId, StoreId)| wish(*order, store, &[(pizza, 1)]);
    let stores = [here, there, there].into_iter().cycle();
    let requests: Vec<_> = orders.iter().zip(stores).map(ask).collect();
    assert!(world.reserve(&requests).await.iter().all(is_reserved));
    assert_eq!(
        release(&world.app, orders[8], "r").await.unwrap(),
        commit::Outcome::Done
    );
    assert_eq!(world.balance((there, dough)).await, (100, 10));
    assert_eq!(expire(&world.app, 100).await.unwrap(), 0);
    world.app.clock.advance(Duration::from_secs(61));
    assert_eq!(expire(&world.app, 100).await.unwrap(), 8);
    assert_eq!(world.balance((there, dough)).await, (100, 0));
    let expired = Ok(commit::Outcome::Refused(State::Expired));
    assert_eq!(world.commit(&orders[..2]).await, [expired.clone(), expired]);
    assert_eq!(
        world.reserve(&requests[..1]).await,
        [Ok(reserve::Outcome::AlreadyReleased)]
    );
    world.assert_books_agree().await;
}

#[tokio::test]
async fn an_order_whose_lots_are_gone_fails_alone() {
    let world = World::new().await;
    let store = world.new_store();
    let (dough, ham) = (world.product("dough").await, world.product("ham").await);
    let (pizza, toast) = (
        world.item(&[(dough, 2)]).await,
        world.item(&[(ham, 2), (dough, 1)]).await,
    );
    world.receive((store, dough), 10, None).await;
    world.receive((store, ham), 10, None).await;
    let (a, b) = (world.new_order(), world.new_order());
    world
        .reserve(&[wish(a, store, &[(toast, 1)]), wish(b, store, &[(pizza, 1)])])
        .await;
    let mut tx = world.app.db.begin().await.unwrap();
    ::store::execute!(
        tx,
        "UPDATE lots SET remaining = 1 WHERE product_id = $1",
        ham
    )
    .unwrap();
    tx.commit().await.unwrap();
    let outcomes = world.commit(&[a, b]).await;
    assert!(
        outcomes[0].as_ref().unwrap_err().contains("inconsistent"),
        "{outcomes:?}"
    );
    assert_eq!(outcomes[1], Ok(commit::Outcome::Done));
    assert_eq!(world.balance((store, dough)).await, (8, 1));
}
