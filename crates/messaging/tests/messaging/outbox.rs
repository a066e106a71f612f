use common::clock::Clock;
use common::ids::{OrderId, StoreId};
use contracts::events::OrderCancelled;
use contracts::services::ServiceName;
use messaging::Outbox;
use store::StoreError;
use testkit::TestDatabase;

use crate::world::{World, events_settings, restocked};

fn cancelled(reason: String) -> OrderCancelled {
    let clock = Clock::system();
    OrderCancelled {
        order_id: OrderId::new(&clock),
        store_id: StoreId::new(&clock),
        reason,
        cancelled_at: clock.now(),
        was_confirmed: true,
    }
}

#[tokio::test]
async fn an_event_waits_for_each_subscriber_or_for_the_broker() {
    let database = TestDatabase::create().await;
    let db = database.connect().await;
    db.migrate(&[&messaging::MIGRATIONS]).await.unwrap();
    let destinations = async |amqp_url: &str| {
        let outbox = Outbox::new(
            ServiceName::Order,
            &events_settings(amqp_url),
            Clock::system(),
        );
        let mut tx = db.begin().await.unwrap();
        let event = cancelled("guest_left".to_owned());
        let id = outbox.append(&mut tx, "order", &event).await.unwrap();
        let rows = store::fetch_all!(
            tx,
            (String, i64),
            "SELECT destination, seq FROM outbox WHERE event_id = $1 ORDER BY destination",
            id
        )
        .unwrap();
        assert!(rows.iter().all(|(_, seq)| *seq == rows[0].1));
        rows.into_iter()
            .map(|(destination, _)| destination)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        destinations("").await,
        ["analytics", "inventory", "payment"]
    );
    assert_eq!(destinations("amqp://broker").await, ["bus"]);
}

#[tokio::test]
async fn events_are_numbered_upwards_even_when_the_clock_stands_still() {
    let database = TestDatabase::create().await;
    let db = database.connect().await;
    db.migrate(&[&messaging::MIGRATIONS]).await.unwrap();
    let clock = Clock::manual(Clock::system().now());
    let outbox = Outbox::new(ServiceName::Inventory, &events_settings(""), clock.clone());
    let mut tx = db.begin().await.unwrap();
    let mut ids = Vec::new();
    for _ in 0..10 {
        ids.push(outbox.append(&mut tx, "same", &restocked()).await.unwrap());
    }
    let sql = "SELECT event_id, seq FROM outbox ORDER BY seq";
    let rows = store::fetch_all!(tx, (common::ids::EventId, i64), sql).unwrap();
    let start = clock.now().as_micros();
    let expected: Vec<_> = ids.into_iter().zip(start..).collect();
    assert_eq!(rows, expected);
}

#[tokio::test]
async fn an_event_that_no_delivery_could_hold_is_refused() {
    let database = TestDatabase::create().await;
    let db = database.connect().await;
    db.migrate(&[&messaging::MIGRATIONS]).await.unwrap();
    let outbox = Outbox::new(ServiceName::Order, &events_settings(""), Clock::system());
    let mut tx = db.begin().await.unwrap();
    let result = outbox
        .append(&mut tx, "order", &cancelled("x".repeat(1 << 20)))
        .await;
    assert!(matches!(result, Err(StoreError::Database(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_written_for_the_other_transport_are_delivered_too() {
    let world = World::start().await;
    let other = if world.amqp_url.is_empty() {
        "amqp://broker"
    } else {
        ""
    };
    let outbox = Outbox::new(
        ServiceName::Inventory,
        &events_settings(other),
        Clock::system(),
    );
    let mut tx = world.inventory.db.begin().await.unwrap();
    outbox
        .append(&mut tx, "from before the switch", &restocked())
        .await
        .unwrap();
    tx.commit().await.unwrap();
    world.expect_effects(["from before the switch"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_events_travel_in_several_batches() {
    let world = World::start().await;
    let subjects: Vec<String> = (0..9)
        .map(|n| format!("{n}{}", "x".repeat(700_000)))
        .collect();
    world.emit(&subjects).await;
    world.expect_effects(subjects).await;
}
