//! The use cases against a database, with batches as large as a test wants them.

mod batches;
mod counts;
mod crowd;
mod dates;
mod one_by_one;
mod releases;

use std::collections::BTreeMap;
use std::time::Duration;

use ::store::BatchWork as _;
use common::clock::Clock;
use common::ids::{ItemId, OrderId, ProductId, StoreId};
use common::settings::load;
use common::time::Timestamp;
use contracts::services::ServiceName;
use messaging::Outbox;
use testkit::TestDatabase;

use super::order_stock::{Command, Outcome, Work};
use super::receive::{ReceivedLot, receive};
use super::{AppState, Entry, commit, reserve};
use crate::OwnSettings;
use crate::domain::Place;
use crate::domain::quantity::Quantity;
use crate::domain::recipe::RecipeLine;
use crate::error::UseCaseError;
use crate::store::catalog::{self, ProductRow};
use crate::store::ledger;

/// A database with products and recipes.
struct World {
    app: AppState,
    work: Work,
    _database: TestDatabase,
}

impl World {
    async fn new() -> Self {
        let database = TestDatabase::create().await;
        let db = database.connect().await;
        db.migrate(&[&crate::MIGRATIONS, &messaging::MIGRATIONS])
            .await
            .unwrap();
        let settings = load::<OwnSettings>("inventory", crate::DEFAULTS, Vec::new()).unwrap();
        let clock = Clock::manual("2026-03-10T12:00:00Z".parse::<Timestamp>().unwrap());
        let outbox = Outbox::new(
            ServiceName::Inventory,
            &settings.common.events,
            clock.clone(),
        );
        let at_hand = (db.clone(), clock.clone());
        Self {
            app: AppState::new(at_hand, outbox, settings.own.reservations),
            work: Work {
                db,
                clock,
                max_ttl: Duration::from_secs(600),
            },
            _database: database,
        }
    }

    fn new_store(&self) -> StoreId {
        StoreId::new(&self.app.clock)
    }

    fn new_order(&self) -> OrderId {
        OrderId::new(&self.app.clock)
    }

    async fn product(&self, sku: &str) -> ProductId {
        let row = ProductRow {
            id: ProductId::new(&self.app.clock),
            sku: sku.to_owned(),
            name: sku.to_owned(),
            unit: "g".to_owned(),
            updated_at: self.app.clock.now(),
        };
        let mut tx = self.app.db.begin().await.unwrap();
        catalog::upsert_product(&mut tx, &row).await.unwrap();
        tx.commit().await.unwrap();
        row.id
    }

    async fn item(&self, ingredients: &[(ProductId, i64)]) -> ItemId {
        let item_id = ItemId::new(&self.app.clock);
        let lines = ingredients.iter().map(|(product_id, quantity)| RecipeLine {
            item_id,
            product_id: *product_id,
            quantity: *quantity,
        });
        let lines: Vec<RecipeLine> = lines.collect();
        let mut tx = self.app.db.begin().await.unwrap();
        catalog::replace_recipe(&mut tx, item_id, &lines)
            .await
            .unwrap();
        tx.commit().await.unwrap();
        item_id
    }

    /// Receives a lot; `expires_on` is a day of March 2026. Lots that come later have later ids.
    async fn receive(&self, place: Place, units: i64, expires_on: Option<u8>) {
        self.app.clock.advance(Duration::from_millis(1));
        self.try_receive(place, units, expires_on).await.unwrap();
    }

    async fn try_receive(
        &self,
        (store, product_id): Place,
        units: i64,
        expires_on: Option<u8>,
    ) -> Result<(), UseCaseError> {
        let lot = ReceivedLot {
            product_id,
            quantity: Quantity::try_from(units).unwrap(),
            lot_code: None,
            expires_on: expires_on.map(|day| format!("2026-03-{day:02}").parse().unwrap()),
            unit_cost: None,
        };
        let mut tx = self.app.db.begin().await?;
        receive(
            &mut tx,
            &self.app.clock,
            store,
            &[lot],
            &self.entry("receipt"),
        )
        .await?;
        Ok(tx.commit().await?)
    }

    fn entry(&self, kind: &'static str) -> Entry<'static> {
        Entry {
            kind,
            reference: "test",
            reason: None,
            actor: "test",
            now: self.app.clock.now(),
        }
    }

    async fn reserve(&self, wishes: &[Command]) -> Vec<Reply<reserve::Outcome>> {
        let outcomes = self.work.work(wishes).await.unwrap();
        outcomes.into_iter().map(reserved).collect()
    }

    async fn commit(&self, orders: &[OrderId]) -> Vec<Reply<commit::Outcome>> {
        let commands: Vec<Command> = orders.iter().copied().map(command).collect();
        let outcomes = self.work.work(&commands).await.unwrap();
        outcomes.into_iter().map(committed).collect()
    }

    /// On hand and reserved.
    async fn balance(&self, place: Place) -> (i64, i64) {
        let mut tx = self.app.db.begin().await.unwrap();
        let balance = ledger::lock_balance(&mut tx, place).await.unwrap();
        (balance.on_hand, balance.reserved)
    }

    /// What is left of each lot of a place, in the order of receipt.
    async fn lots(&self, (store, product): Place) -> Vec<i64> {
        let mut tx = self.app.db.begin().await.unwrap();
        let sql = "SELECT remaining FROM lots WHERE store_id = $1 AND product_id = $2 ORDER BY id";
        let rows = ::store::fetch_all!(tx, (i64,), sql, store, product).unwrap();
        rows.into_iter().map(|(remaining,)| remaining).collect()
    }

    /// Every balance is the fold of its movements, of its lots and of what orders hold.
    async fn assert_books_agree(&self) {
        let mut tx = self.app.db.read().await.unwrap();
        let mut folds: BTreeMap<Place, [i64; 3]> = BTreeMap::new();
        for (column, sql) in [
            "SELECT store_id, product_id, quantity FROM movements",
            "SELECT store_id, product_id, remaining FROM lots",
            "SELECT r.store_id, l.product_id, l.quantity FROM reservation_lines l
             JOIN reservations r ON r.id = l.reservation_id WHERE r.state = 'held'",
        ]
        .into_iter()
        .enumerate()
        {
            for (store, product, units) in
                ::store::fetch_all!(tx, (StoreId, ProductId, i64), sql).unwrap()
            {
                folds.entry((store, product)).or_default()[column] += units;
            }
        }
        let sql = "SELECT store_id, product_id, on_hand, reserved FROM balances";
        let rows = ::store::fetch_all!(tx, (StoreId, ProductId, i64, i64), sql).unwrap();
        let balances: BTreeMap<Place, [i64; 3]> = rows
            .into_iter()
            .map(|(store, product, on_hand, held)| ((store, product), [on_hand, on_hand, held]))
            .collect();
        assert_eq!(folds, balances);
    }
}

/// An outcome, or the text of the error.
type Reply<T> = Result<T, String>;

fn reserved(outcome: Result<Outcome, UseCaseError>) -> Reply<reserve::Outcome> {
    match outcome {
        Ok(Outcome::Reserve(outcome)) => Ok(outcome),
        Ok(other) => panic!("another command's outcome: {other:?}"),
        Err(error) => Err(error.to_string()),
    }
}

fn committed(outcome: Result<Outcome, UseCaseError>) -> Reply<commit::Outcome> {
    match outcome {
        Ok(Outcome::Commit(outcome)) => Ok(outcome),
        Ok(other) => panic!("another command's outcome: {other:?}"),
        Err(error) => Err(error.to_string()),
    }
}

fn wish(order_id: OrderId, store_id: StoreId, sold: &[(ItemId, i64)]) -> Command {
    wish_on("2026-03-10", order_id, store_id, sold)
}

/// Of an order that is placed on this date at the store.
fn wish_on(
    store_date: &str,
    order_id: OrderId,
    store_id: StoreId,
    sold: &[(ItemId, i64)],
) -> Command {
    Command::Reserve(reserve::Request {
        command_id: format!("{order_id}:reserve"),
        order_id,
        store_id,
        sold: sold.iter().copied().collect(),
        ttl: Duration::from_secs(60),
        store_date: store_date.parse().unwrap(),
    })
}

fn to_commit(order_id: OrderId) -> commit::Request {
    commit::Request {
        order_id,
        command_id: format!("{order_id}:commit"),
    }
}

fn command(order_id: OrderId) -> Command {
    Command::Commit(to_commit(order_id))
}

const fn is_reserved(reply: &Reply<reserve::Outcome>) -> bool {
    matches!(reply, Ok(reserve::Outcome::Reserved(_)))
}

/// What is short, by SKU: wanted and available.
fn shortages(reply: &Reply<reserve::Outcome>) -> Vec<(String, i64, i64)> {
    let Ok(reserve::Outcome::OutOfStock(shortages)) = reply else {
        return Vec::new();
    };
    let mut shortages: Vec<_> = shortages
        .iter()
        .map(|shortage| (shortage.sku.clone(), shortage.wanted, shortage.available))
        .collect();
    shortages.sort_unstable();
    shortages
}
