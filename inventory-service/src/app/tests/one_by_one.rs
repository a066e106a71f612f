//! A batch is worth what its requests are worth one by one.

use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::*;

const ORDERS: usize = 6;
const STORES: usize = 2;
const PRODUCTS: usize = 3;

/// Receipts, what each order wants of which store, who asks in which order, who commits.
#[derive(Clone, Debug)]
struct Script {
    lots: Vec<(usize, usize, i64, Option<u8>)>,
    wishes: Vec<(usize, Vec<(usize, i64)>)>,
    asking: Vec<usize>,
    committing: Vec<usize>,
}

fn script() -> impl Strategy<Value = Script> {
    let lot = (
        0..STORES,
        0..PRODUCTS,
        1_i64..20,
        prop::option::of(8_u8..14),
    );
    let pieces = prop_oneof![9 => 1_i64..4, 1 => Just(1_000_000_000_i64)];
    let sold = prop::collection::vec((0..PRODUCTS, pieces), 0..3);
    (
        prop::collection::vec(lot, 0..12),
        prop::collection::vec((0..STORES, sold), ORDERS),
        prop::collection::vec(0..ORDERS, 1..12),
        prop::collection::vec(0..ORDERS, 1..12),
    )
        .prop_map(|(lots, wishes, asking, committing)| Script {
            lots,
            wishes,
            asking,
            committing,
        })
}

/// What is seen of a run, without the ids that each run has of its own.
#[derive(Debug, PartialEq)]
struct Seen {
    reserved: Vec<String>,
    committed: Vec<Reply<commit::Outcome>>,
    stock: Vec<((i64, i64), Vec<i64>)>,
}

/// Plays the script in stores and orders of its own, `size` requests at a time.
async fn play(
    world: &World,
    script: &Script,
    (products, items): (&[ProductId], &[ItemId]),
    size: usize,
) -> Seen {
    let stores: Vec<StoreId> = (0..STORES).map(|_| world.new_store()).collect();
    let orders: Vec<OrderId> = (0..ORDERS).map(|_| world.new_order()).collect();
    for (store, product, units, day) in &script.lots {
        world
            .receive((stores[*store], products[*product]), *units, *day)
            .await;
    }
    let mut seen = Seen {
        reserved: Vec::new(),
        committed: Vec::new(),
        stock: Vec::new(),
    };
    let request = |order: &usize| {
        let (store, sold) = &script.wishes[*order];
        let sold: Vec<(ItemId, i64)> = sold.iter().map(|(item, n)| (items[*item], *n)).collect();
        wish(orders[*order], stores[*store], &sold)
    };
    for chunk in script.asking.chunks(size) {
        let replies = world
            .reserve(&chunk.iter().map(request).collect::<Vec<_>>())
            .await;
        let told = |reply: &Reply<_>| format!("{} {:?}", is_reserved(reply), shortages(reply));
        seen.reserved.extend(replies.iter().map(told));
    }
    for chunk in script.committing.chunks(size) {
        let orders: Vec<OrderId> = chunk.iter().map(|order| orders[*order]).collect();
        seen.committed.extend(world.commit(&orders).await);
    }
    for store in &stores {
        for product in products {
            let place = (*store, *product);
            seen.stock
                .push((world.balance(place).await, world.lots(place).await));
        }
    }
    seen
}

#[test]
fn a_batch_has_the_outcomes_and_leaves_the_stock_of_its_requests_one_by_one() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let world = runtime.block_on(World::new());
    let (products, items) = runtime.block_on(async {
        let mut products = Vec::new();
        for sku in ["a", "b", "c"] {
            products.push(world.product(sku).await);
        }
        let (a, b, c) = (products[0], products[1], products[2]);
        let items = vec![
            world.item(&[(a, 2)]).await,
            world.item(&[(a, 1), (b, 3)]).await,
            world.item(&[(b, 1), (c, 1)]).await,
        ];
        (products, items)
    });
    let config = ProptestConfig {
        cases: 24,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let outcome = TestRunner::new(config).run(&script(), |script| {
        let (together, alone) = runtime.block_on(async {
            let together = play(&world, &script, (&products, &items), usize::MAX).await;
            (
                together,
                play(&world, &script, (&products, &items), 1).await,
            )
        });
        prop_assert_eq!(together, alone);
        Ok(())
    });
    runtime.block_on(world.assert_books_agree());
    outcome.unwrap();
    drop(world);
}
