//! A batch beside the same requests one by one, and many batches at the same time.

mod world;

use std::time::Duration;

use ::store::BatchWork as _;
use common::ids::OrderId;
use futures_util::future::try_join_all;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use self::world::{Action, Manner, ORDERS, Wish, World};
use crate::error::UseCaseError;

fn wish() -> impl Strategy<Value = Wish> {
    let action = prop_oneof![
        4 => (0_u8..3, prop::bool::weighted(0.2), prop::bool::weighted(0.1))
            .prop_map(|(command, cash, other_terms)| Action::Authorize { command, cash, other_terms }),
        6 => (world::news(), any::<bool>(), any::<bool>())
            .prop_map(|(news, capture, patient)| Action::Step { news, capture, patient }),
    ];
    (0..ORDERS, action).prop_map(|(order, action)| Wish { order, action })
}

/// Wishes that come at the same time, and orders that are cancelled before.
fn round() -> impl Strategy<Value = (Vec<Wish>, Vec<usize>)> {
    let wishes = prop::collection::vec(wish(), 1..12);
    (wishes, prop::collection::vec(0..ORDERS, 0..3))
}

#[test]
fn a_batch_does_what_its_requests_do_one_by_one() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let world = |manner| runtime.block_on(World::new(manner));
    let (together, one_by_one) = (world(Manner::Together), world(Manner::OneByOne));
    let config = ProptestConfig {
        cases: 40,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let rounds = prop::collection::vec(round(), 1..8);
    let outcome = TestRunner::new(config).run(&rounds, |rounds| {
        let orders: Vec<_> = (0..ORDERS).map(|_| OrderId::new(&together.clock)).collect();
        runtime.block_on(async {
            for (wishes, cancelled) in &rounds {
                let cancelled: Vec<_> = cancelled.iter().map(|order| orders[*order]).collect();
                let mut told = Vec::new();
                for world in [&together, &one_by_one] {
                    world.cancel(&cancelled).await;
                    told.push((
                        world.grant(&orders, wishes).await,
                        world.rows(&orders).await,
                    ));
                    world.clock.advance(Duration::from_millis(700));
                }
                prop_assert_eq!(&told[0], &told[1], "{:?}", wishes);
            }
            Ok(())
        })
    });
    outcome.unwrap();
}

/// Several transactions over the same orders, each with its requests in an order of its own: none
/// may end in a deadlock, which the database tells as a serialization failure.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn transactions_over_the_same_orders_never_wait_for_each_other_in_a_circle() {
    let world = World::new(Manner::Together).await;
    let orders: Vec<_> = (0..24).map(|_| OrderId::new(&world.clock)).collect();
    let replica = |seed: usize| {
        let (world, orders) = (&world, &orders);
        async move {
            for turn in 0..16 {
                let nth = |i: usize| orders[(seed * 7 + turn * 5 + i * 11) % orders.len()];
                let mine: Vec<_> = (0..16).map(nth).collect();
                let (first, later) = match (seed + turn) % 4 {
                    0 => {
                        world.try_cancel(&mine[..3]).await?;
                        continue;
                    }
                    1 => mine.split_at(mine.len()),
                    2 => mine.split_at(mine.len() / 2),
                    _ => mine.split_at(0),
                };
                let mut steps = world.authorizations_of(first);
                steps.extend(world.steps_of(later).await);
                drop(world.steps.work(&steps).await?);
            }
            Ok::<_, UseCaseError>(())
        }
    };
    try_join_all((0..4).map(replica)).await.unwrap();
}
