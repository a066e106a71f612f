//! Everything that moves stock, at once, as several instances of the service would do it.

use futures_util::future::join_all;

use super::*;
use crate::app::correct::{count, write_off};
use crate::app::release::{expire, release};
use crate::app::restock::restock_within;

const ROUNDS: usize = 8;
const BATCH: usize = 8;

/// The shared stock: two stores and four products, and a recipe for each pair of products.
struct Stage {
    world: World,
    stores: [StoreId; 2],
    products: Vec<ProductId>,
    items: Vec<ItemId>,
}

impl Stage {
    async fn new() -> Self {
        let world = World::new().await;
        let stores = [world.new_store(), world.new_store()];
        let mut products = Vec::new();
        for sku in ["a", "b", "c", "d"] {
            products.push(world.product(sku).await);
        }
        // A count goes through them in the order of locking.
        products.sort_unstable();
        let mut items = Vec::new();
        for (index, one) in products.iter().enumerate() {
            for other in &products[index + 1..] {
                // Against the order of the ids, which is the order of locking.
                items.push(world.item(&[(*other, 1), (*one, 2)]).await);
            }
        }
        for store in stores {
            for product in &products {
                world.receive((store, *product), 4_000, None).await;
            }
        }
        Self {
            world,
            stores,
            products,
            items,
        }
    }

    fn wish(&self, order: OrderId, n: usize) -> Command {
        let item = |n: usize| (self.items[n % self.items.len()], 1);
        wish(order, self.stores[n % 2], &[item(n), item(n * 3 + 1)])
    }

    /// Orders in batches; some are committed, some released, some cancelled after that, some left.
    async fn sell(&self, seed: usize) -> Result<(), UseCaseError> {
        let world = &self.world;
        for round in 0..ROUNDS {
            let mut orders: Vec<OrderId> = (0..BATCH).map(|_| world.new_order()).collect();
            if seed % 2 == 1 {
                orders.reverse();
            }
            let wishes: Vec<_> = (0..)
                .zip(&orders)
                .map(|(n, order)| self.wish(*order, n + seed + round))
                .collect();
            world.work.work(&wishes).await?;
            // The next guests come while these orders are consumed.
            let commands = orders[..5].iter().copied().map(command);
            let next = world.new_order();
            let commands = [self.wish(next, seed + round)].into_iter().chain(commands);
            world.work.work(&commands.collect::<Vec<_>>()).await?;
            release(&world.app, next, "release").await?;
            release(&world.app, orders[5], "release").await?;
            let mut tx = world.app.db.begin().await?;
            let cancelled: Vec<_> = orders[3..5].iter().rev().copied().map(to_commit).collect();
            restock_within(&mut tx, &world.app.clock, &cancelled).await?;
            tx.commit().await?;
        }
        Ok(())
    }

    /// Asks for the same orders at once and in several orders, as sagas that are driven twice do.
    async fn repeat(&self) -> Result<(), UseCaseError> {
        for _ in 0..ROUNDS {
            let orders: Vec<OrderId> = (0..4 * BATCH).map(|_| self.world.new_order()).collect();
            let backwards: Vec<OrderId> = orders.iter().rev().copied().collect();
            let asked = join_all([&orders, &backwards, &orders].map(|orders| self.ask(orders)));
            for result in asked.await {
                result?;
            }
        }
        Ok(())
    }

    async fn ask(&self, orders: &[OrderId]) -> Result<(), UseCaseError> {
        let wishes = (0..).zip(orders).map(|(n, order)| self.wish(*order, n));
        let wishes: Vec<Command> = wishes.collect();
        let commands: Vec<Command> = orders.iter().copied().map(command).collect();
        self.world.work.work(&wishes).await?;
        self.world.work.work(&commands).await?;
        Ok(())
    }

    async fn correct(&self) -> Result<(), UseCaseError> {
        let (world, clock) = (&self.world, &self.world.app.clock);
        for round in 0..ROUNDS * 2 {
            let place = (self.stores[round % 2], self.products[round % 4]);
            world.try_receive(place, 7, Some(20)).await?;
            let mut tx = world.app.db.begin().await?;
            for product in &self.products {
                let place = (self.stores[round % 2], *product);
                let found = ledger::lock_balance(&mut tx, place).await?.on_hand;
                let difference = if round % 3 == 0 { 2 } else { 0 };
                count(
                    &mut tx,
                    clock,
                    place,
                    found + difference,
                    &world.entry("count"),
                )
                .await?;
            }
            write_off(
                &mut tx,
                clock,
                place,
                Quantity::try_from(1).unwrap(),
                &world.entry("waste"),
            )
            .await?;
            tx.commit().await?;
            expire(&world.app, 100).await?;
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_waits_in_a_circle_and_the_books_agree_afterwards() {
    let stage = Stage::new().await;
    let (sold, repeated, corrected) = tokio::join!(
        join_all((0..3).map(|seed| stage.sell(seed))),
        stage.repeat(),
        stage.correct(),
    );
    for result in sold.into_iter().chain([repeated, corrected]) {
        result.expect("no transaction loses against another");
    }
    stage.world.assert_books_agree().await;
    stage.world.app.clock.advance(Duration::from_secs(61));
    while expire(&stage.world.app, 7).await.unwrap() > 0 {}
    stage.world.assert_books_agree().await;
    let places = stage
        .stores
        .iter()
        .flat_map(|s| stage.products.iter().map(|p| (*s, *p)));
    for place in places {
        assert_eq!(
            stage.world.balance(place).await.1,
            0,
            "nothing is held any more"
        );
    }
}
