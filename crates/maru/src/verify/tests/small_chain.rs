//! A chain of one store with five orders: one confirmed, one out of stock, one confirmed and then
//! cancelled, one declined, and one imported.

use std::collections::BTreeMap;

use common::time::{CivilDate, Timestamp};
use contracts::services::ServiceName;
use sqlx::migrate::Migrator;
use store::{Db, Tx};
use testkit::TestDatabase;
use uuid::Uuid;

use crate::verify::databases::Databases;

static INVENTORY: Migrator = sqlx::migrate!("../../migrations/inventory");
static ORDER: Migrator = sqlx::migrate!("../../migrations/order");
static PAYMENT: Migrator = sqlx::migrate!("../../migrations/payment");
static ANALYTICS: Migrator = sqlx::migrate!("../../migrations/analytics");
static MESSAGING: Migrator = sqlx::migrate!("../../migrations/shared/messaging");
static IDEMPOTENCY: Migrator = sqlx::migrate!("../../migrations/shared/idempotency");

const NOW: Timestamp = Timestamp::from_micros(1_767_225_600_000_000);

pub(super) struct SmallChain {
    pub(super) databases: Databases,
    /// Confirmed, out of stock, cancelled after its confirmation, declined.
    pub(super) live_orders: [Uuid; 4],
    _places: Vec<TestDatabase>,
}

/// Ids that are the same in every database.
fn id(number: u128) -> Uuid {
    Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 + number)
}

const CONFIRMED: u128 = 1;
const OUT_OF_STOCK: u128 = 2;
const CANCELLED: u128 = 3;
const DECLINED: u128 = 4;
const IMPORTED: u128 = 5;
const STORE: u128 = 10;
const PRODUCT: u128 = 20;
const LOT: u128 = 21;
const CAPTURED_INTENT: u128 = 30;
const REFUNDED_INTENT: u128 = 31;

impl SmallChain {
    pub(super) async fn create() -> Self {
        let mut places = Vec::new();
        let mut databases = BTreeMap::new();
        for (service, migrations) in [
            (ServiceName::Inventory, &INVENTORY),
            (ServiceName::Order, &ORDER),
            (ServiceName::Payment, &PAYMENT),
            (ServiceName::Analytics, &ANALYTICS),
        ] {
            let place = TestDatabase::create().await;
            let database = place.connect().await;
            let sets = [migrations, &MESSAGING, &IDEMPOTENCY];
            database.migrate(&sets).await.expect("migrated");
            fill(service, &database).await;
            databases.insert(service, database);
            places.push(place);
        }
        Self {
            databases: Databases::of(databases),
            live_orders: [id(CONFIRMED), id(OUT_OF_STOCK), id(CANCELLED), id(DECLINED)],
            _places: places,
        }
    }

    /// Runs a statement that changes something.
    pub(super) async fn run(&self, service: ServiceName, statement: &'static str) {
        let mut tx = self.databases.write(service).await;
        let rows = store::execute!(tx, statement).expect("runs");
        assert!(rows > 0, "{statement} changes nothing");
        tx.commit().await.expect("committed");
    }
}

async fn fill(service: ServiceName, database: &Db) {
    let mut tx = database.begin().await.expect("begins");
    match service {
        ServiceName::Inventory => fill_inventory(&mut tx).await,
        ServiceName::Order => fill_orders(&mut tx).await,
        ServiceName::Payment => fill_payments(&mut tx).await,
        _ => fill_analytics(&mut tx).await,
    }
    tx.commit().await.expect("committed");
}

async fn fill_inventory(tx: &mut Tx) {
    insert_stock(tx).await;
    for (order, state, quantity) in [
        (CONFIRMED, "committed", 3),
        (OUT_OF_STOCK, "refused", 500),
        (CANCELLED, "restocked", 2),
        (DECLINED, "released", 4),
    ] {
        let reservation = id(100 + order);
        store::execute!(
            tx,
            "INSERT INTO reservations (order_id, id, store_id, state, command_id, expires_at, created_at) \
             VALUES ($1, $2, $3, $4, 'c', $5, $5)",
            id(order), reservation, id(STORE), state, NOW
        )
        .expect("inserted");
        store::execute!(
            tx,
            "INSERT INTO reservation_lines (reservation_id, product_id, quantity) VALUES ($1, $2, $3)",
            reservation, id(PRODUCT), quantity
        )
        .expect("inserted");
    }
    for (number, kind, quantity, reference) in [
        (1, "receipt", 100, id(90)),
        (2, "consumption", -3, id(CONFIRMED)),
        (3, "consumption", -2, id(CANCELLED)),
        (4, "restock", 2, id(CANCELLED)),
    ] {
        store::execute!(
            tx,
            "INSERT INTO movements (id, store_id, product_id, lot_id, kind, quantity, reference, actor, \
                                    recorded_at) VALUES ($1, $2, $3, $4, $5, $6, $7, 'a', $8)",
            id(200 + number), id(STORE), id(PRODUCT), id(LOT), kind, i64::from(quantity),
            reference.to_string(), NOW
        )
        .expect("inserted");
    }
}

async fn insert_stock(tx: &mut Tx) {
    store::execute!(
        tx,
        "INSERT INTO products (id, sku, name, unit, updated_at) VALUES ($1, 'flour', 'Flour', 'g', $2)",
        id(PRODUCT), NOW
    )
    .expect("inserted");
    store::execute!(
        tx,
        "INSERT INTO lots (id, store_id, product_id, received_at, remaining) VALUES ($1, $2, $3, $4, 97)",
        id(LOT), id(STORE), id(PRODUCT), NOW
    )
    .expect("inserted");
    store::execute!(
        tx,
        "INSERT INTO balances (store_id, product_id, on_hand, reserved) VALUES ($1, $2, 97, 0)",
        id(STORE),
        id(PRODUCT)
    )
    .expect("inserted");
}

async fn fill_orders(tx: &mut Tx) {
    store::execute!(
        tx,
        "INSERT INTO stores (id, name, time_zone, currency, cutoff, created_at) \
         VALUES ($1, 'Store', 'UTC', 'USD', '04:00', $2)",
        id(STORE),
        NOW
    )
    .expect("inserted");
    for (order, status, total, confirmed) in [
        (CONFIRMED, "confirmed", 900, true),
        (OUT_OF_STOCK, "cancelled", 100, false),
        (CANCELLED, "cancelled", 500, true),
        (DECLINED, "cancelled", 200, false),
        (IMPORTED, "confirmed", 700, true),
    ] {
        let live = order != IMPORTED;
        store::execute!(
            tx,
            "INSERT INTO orders (id, store_id, channel, status, origin, placed_at, local_time, \
                                 business_date, currency, total_amount, lines, source, external_id, \
                                 created_at, confirmed_at, refunded_at, restocked_at) \
             VALUES ($1, $2, 'takeaway', $3, $4, $5, '2026-01-01T00:00:00', $6, 'USD', $7, $8, $9, $9, \
                     $5, $10, $11, $11)",
            id(order), id(STORE), status, if live { "live" } else { "imported" }, NOW, date(),
            i64::from(total), store::json(serde_json::json!([])), (!live).then_some("e1"),
            confirmed.then_some(NOW), (order == CANCELLED).then_some(NOW)
        )
        .expect("inserted");
        if live {
            insert_saga(tx, order, if confirmed { "confirmed" } else { "cancelled" }).await;
        }
    }
}

async fn insert_saga(tx: &mut Tx, order: u128, position: &'static str) {
    store::execute!(
        tx,
        "INSERT INTO sagas (order_id, position, failed, undo, deadline, version, steps_logged, caller, \
                            idempotency_key, request_id, traceparent, updated_at) \
         VALUES ($1, $2, 0, $3, $4, 1, 0, 'caller', $5, 'r', 't', $4)",
        id(order), position, store::json(serde_json::json!([])), NOW, format!("key-{order}")
    )
    .expect("inserted");
    // One key was answered, the other's answer was lost.
    let answered = (position == "confirmed").then_some(201_i64);
    store::execute!(
        tx,
        "INSERT INTO idempotency_keys (caller, method, path, key, body_hash, status, created_at) \
         VALUES ('caller', 'POST', '/api/orders', $1, 'h', $2, $3)",
        format!("key-{order}"),
        answered,
        NOW
    )
    .expect("inserted");
}

async fn fill_payments(tx: &mut Tx) {
    for order in [CONFIRMED, CANCELLED, DECLINED] {
        store::execute!(
            tx,
            "INSERT INTO payment_orders (order_id, created_at) VALUES ($1, $2)",
            id(order),
            NOW
        )
        .expect("inserted");
    }
    for (intent, order, state, amount, captured, refunded, reference) in [
        (
            CAPTURED_INTENT,
            CONFIRMED,
            "captured",
            900,
            900,
            0,
            Some("p1"),
        ),
        (
            REFUNDED_INTENT,
            CANCELLED,
            "refunded",
            500,
            500,
            500,
            Some("p2"),
        ),
        (32, DECLINED, "declined", 200, 0, 0, None),
    ] {
        store::execute!(
            tx,
            "INSERT INTO intents (id, order_id, store_id, attempt, command_id, method, amount, currency, \
                                  state, captured, refunded, provider_reference, created_at, updated_at) \
             VALUES ($1, $2, $3, 1, 'c', 'card', $4, 'USD', $5, $6, $7, $8, $9, $9)",
            id(intent), id(order), id(STORE), i64::from(amount), state, i64::from(captured),
            i64::from(refunded), reference, NOW
        )
        .expect("inserted");
        if let Some(reference) = reference {
            store::execute!(
                tx,
                "INSERT INTO sandbox_payments (reference, amount, currency, script, captured, refunded, \
                                               voided, created_at) \
                 VALUES ($1, $2, 'USD', 'ok', $3, $4, $5, $6)",
                reference, i64::from(amount), i64::from(captured), i64::from(refunded), false, NOW
            )
            .expect("inserted");
        }
    }
    book(tx, 300, CAPTURED_INTENT, "capture", 900).await;
    book(tx, 301, REFUNDED_INTENT, "capture", 500).await;
    book(tx, 302, REFUNDED_INTENT, "refund", 500).await;
}

async fn book(tx: &mut Tx, operation: u128, intent: u128, kind: &'static str, amount: i64) {
    store::execute!(
        tx,
        "INSERT INTO operations (id, intent_id, kind, attempt, amount, currency, state, uncertain, sends, \
                                 asks, next_ask_at, created_at, settled_at) \
         VALUES ($1, $2, $3, 1, $4, 'USD', 'succeeded', $5, 1, 0, $6, $6, $6)",
        id(operation), id(intent), kind, amount, false, NOW
    )
    .expect("inserted");
    store::execute!(
        tx,
        "INSERT INTO ledger_transactions (id, intent_id, store_id, booked_at) VALUES ($1, $2, $3, $4)",
        id(operation), id(intent), id(STORE), NOW
    )
    .expect("inserted");
    let entries = match kind {
        "capture" => [("provider_clearing", amount), ("sales_revenue", -amount)],
        _ => [("refunds", amount), ("provider_clearing", -amount)],
    };
    for (number, (account, amount)) in (1_i64..).zip(entries) {
        store::execute!(
            tx,
            "INSERT INTO ledger_entries (transaction_id, entry_no, store_id, account, amount, currency) \
             VALUES ($1, $2, $3, $4, $5, 'USD')",
            id(operation), number, id(STORE), account, amount
        )
        .expect("inserted");
    }
}

async fn fill_analytics(tx: &mut Tx) {
    for (event, kind, order) in [
        (400, "order.confirmed.v1", CONFIRMED),
        (401, "order.confirmed.v1", CANCELLED),
        (402, "order.confirmed.v1", IMPORTED),
        (403, "order.cancelled.v1", CANCELLED),
    ] {
        store::execute!(
            tx,
            "INSERT INTO event_log (event_id, type, subject, data, received_at) VALUES ($1, $2, $3, '', $4)",
            id(event), kind, id(order).to_string(), NOW
        )
        .expect("inserted");
    }
    for (order, origin, amount) in [(CONFIRMED, "live", 900), (IMPORTED, "imported", 700)] {
        store::execute!(
            tx,
            "INSERT INTO sales_orders (order_id, store_id, currency, channel, origin, business_date, \
                                       month, hour, weekday, items, net_amount) \
             VALUES ($1, $2, 'USD', 'takeaway', $3, $4, '2026-01', 0, 4, 1, $5)",
            id(order), id(STORE), origin, date(), i64::from(amount)
        )
        .expect("inserted");
    }
    store::execute!(
        tx,
        "INSERT INTO cancelled_orders (order_id) VALUES ($1)",
        id(CANCELLED)
    )
    .expect("inserted");
    store::execute!(
        tx,
        "INSERT INTO refunds (intent_id, refunded_total, order_id, amount) VALUES ($1, 500, $2, 500)",
        id(REFUNDED_INTENT), id(CANCELLED)
    )
    .expect("inserted");
}

fn date() -> CivilDate {
    "2026-01-01".parse().expect("a date")
}
