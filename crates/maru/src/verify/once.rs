//! Invariant 4: one idempotency key, one business object; one event, one effect per consumer.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::Result;
use common::time::Timestamp;
use contracts::EventPayload as _;
use contracts::events::{OrderCancelled, OrderConfirmed};
use contracts::services::ServiceName;
use sqlx::FromRow;
use store::Tx;
use uuid::Uuid;

use super::databases::{Databases, MESSAGING};
use super::verdict::Verdict;

/// The services with writes that take an `Idempotency-Key`.
const ANSWERING: [ServiceName; 3] = [
    ServiceName::Inventory,
    ServiceName::Order,
    ServiceName::Payment,
];

/// How long a key is remembered at least; the same key later is another request.
const KEY_MEMORY: Duration = Duration::from_hours(5 * 24);

/// Judges keys and effects.
///
/// # Errors
/// When a database cannot be read.
pub(super) async fn check(databases: &Databases) -> Result<Verdict> {
    let mut verdict = Verdict::new(4, "Once: one key one object, one event one effect");
    let mut tx = databases.read(ServiceName::Order).await?;
    order_keys(&mut tx, &mut verdict).await?;
    external_ids(&mut tx, &mut verdict).await?;
    drop(tx);
    intents(databases, &mut verdict).await?;
    consumptions(databases, &mut verdict).await?;
    stored_answers(databases, &mut verdict).await?;
    inboxes(databases, &mut verdict).await?;
    analysed_events(databases, &mut verdict).await?;
    Ok(verdict)
}

#[derive(FromRow)]
struct KeyRow {
    idempotency_key: String,
    orders: i64,
    first: Timestamp,
    last: Timestamp,
}

async fn order_keys(tx: &mut Tx, verdict: &mut Verdict) -> Result<()> {
    let (keys,) = store::fetch_one!(
        tx,
        (i64,),
        "SELECT CAST(COUNT(*) AS bigint) FROM \
         (SELECT DISTINCT caller, idempotency_key FROM sagas) AS keys"
    )?;
    verdict.figure("order keys", keys);
    let twice = store::fetch_all!(
        tx,
        KeyRow,
        "SELECT s.idempotency_key, CAST(COUNT(*) AS bigint) AS orders, \
                MIN(o.created_at) AS first, MAX(o.created_at) AS last \
         FROM sagas s JOIN orders o ON o.id = s.order_id \
         GROUP BY s.caller, s.idempotency_key HAVING COUNT(*) > 1"
    )?;
    for row in twice {
        if row.last.since(row.first) < KEY_MEMORY {
            verdict.fault(format!(
                "the key {} made {} orders",
                row.idempotency_key, row.orders
            ));
        }
    }
    Ok(())
}

async fn external_ids(tx: &mut Tx, verdict: &mut Verdict) -> Result<()> {
    let (imported, distinct) = store::fetch_one!(
        tx,
        (i64, i64),
        "SELECT CAST(COUNT(*) AS bigint), \
                CAST((SELECT COUNT(*) FROM (SELECT DISTINCT source, external_id FROM orders \
                      WHERE source IS NOT NULL) AS ids) AS bigint) \
         FROM orders WHERE source IS NOT NULL"
    )?;
    verdict.figure("imported orders", imported);
    verdict.expect_equal("imported orders and their ids", imported, distinct);
    Ok(())
}

/// An order is paid by at most one intent.
async fn intents(databases: &Databases, verdict: &mut Verdict) -> Result<()> {
    let mut tx = databases.read(ServiceName::Payment).await?;
    let several = store::fetch_all!(
        tx,
        (Uuid, i64),
        "SELECT order_id, CAST(COUNT(*) AS bigint) FROM intents \
         WHERE state <> 'declined' GROUP BY order_id HAVING COUNT(*) > 1"
    )?;
    for (order, count) in several {
        verdict.fault(format!("order {order} has {count} payments"));
    }
    Ok(())
}

/// What the ledger moved for a product of an order.
#[derive(Clone, Copy, Default)]
struct Moved {
    consumed: i64,
    restocked: i64,
}

/// What an order consumed, and what came back, was booked once.
async fn consumptions(databases: &Databases, verdict: &mut Verdict) -> Result<()> {
    let mut tx = databases.read(ServiceName::Inventory).await?;
    let moved = moved(&mut tx).await?;
    let lines = store::fetch_all!(
        tx,
        (Uuid, Uuid, String, i64),
        "SELECT r.order_id, l.product_id, r.state, l.quantity \
         FROM reservations r JOIN reservation_lines l ON l.reservation_id = r.id"
    )?;
    verdict.count("reservation lines", &lines);
    for (order, product, state, quantity) in lines {
        let found = moved.get(&(order, product)).copied().unwrap_or_default();
        let consumed = if matches!(state.as_str(), "committed" | "restocked") {
            quantity
        } else {
            0
        };
        let restocked = if state == "restocked" { quantity } else { 0 };
        if (found.consumed, found.restocked) != (consumed, restocked) {
            verdict.fault(format!(
                "the {state} reservation of order {order} for {quantity} of {product} consumed {} and \
                 put back {}",
                found.consumed, found.restocked
            ));
        }
    }
    Ok(())
}

async fn moved(tx: &mut Tx) -> Result<HashMap<(Uuid, Uuid), Moved>> {
    let rows = store::fetch_all!(
        tx,
        (String, Uuid, String, i64),
        "SELECT reference, product_id, kind, CAST(SUM(quantity) AS bigint) FROM movements \
         WHERE kind IN ('consumption', 'restock') GROUP BY reference, product_id, kind"
    )?;
    let mut moved: HashMap<(Uuid, Uuid), Moved> = HashMap::new();
    for (reference, product, kind, quantity) in rows {
        // The reference is the order's id in text; anything else matches no reservation.
        let order = reference.parse().unwrap_or_default();
        let entry = moved.entry((order, product)).or_default();
        if kind == "consumption" {
            entry.consumed -= quantity;
        } else {
            entry.restocked += quantity;
        }
    }
    Ok(moved)
}

/// A key whose first answer was lost in a crash must still lead to what it made: order-service finds
/// the order by its saga, and the others write both in one transaction.
async fn stored_answers(databases: &Databases, verdict: &mut Verdict) -> Result<()> {
    let mut answers = 0;
    for service in ANSWERING {
        let mut tx = databases.read(service).await?;
        let (stored, open) = store::fetch_one!(
            tx,
            (i64, i64),
            "SELECT CAST(COUNT(*) AS bigint), \
                    CAST(COALESCE(SUM(CASE WHEN status IS NULL THEN 1 ELSE 0 END), 0) AS bigint) \
             FROM idempotency_keys"
        )?;
        let led = match service {
            ServiceName::Order => open_keys_with_orders(&mut tx).await?,
            _ => 0,
        };
        answers += stored - open;
        if open > led {
            let (name, lost) = (service.binary(), open - led);
            verdict.fault(format!("{lost} keys of {name} lead nowhere"));
        }
    }
    verdict.figure("stored answers", answers);
    Ok(())
}

async fn open_keys_with_orders(tx: &mut Tx) -> Result<i64> {
    let (count,) = store::fetch_one!(
        tx,
        (i64,),
        "SELECT CAST(COUNT(*) AS bigint) FROM idempotency_keys k \
         WHERE k.status IS NULL AND EXISTS (SELECT 1 FROM sagas s \
             WHERE s.caller = k.caller AND s.idempotency_key = k.key)"
    )?;
    Ok(count)
}

/// Every event was taken in once, and none was set aside for good.
async fn inboxes(databases: &Databases, verdict: &mut Verdict) -> Result<()> {
    let (mut received, mut parked) = (0, 0);
    for service in MESSAGING {
        let mut tx = databases.read(service).await?;
        let (rows, distinct, waiting) = store::fetch_one!(
            tx,
            (i64, i64, i64),
            "SELECT CAST(COUNT(*) AS bigint), CAST(COUNT(DISTINCT event_id) AS bigint), \
                    CAST((SELECT COUNT(*) FROM parked_events WHERE redriven_at IS NULL) AS bigint) \
             FROM inbox"
        )?;
        received += rows;
        parked += waiting;
        verdict.expect_equal(
            format_args!("events taken in by {service} and their ids"),
            rows,
            distinct,
        );
    }
    verdict.figure("events taken in", received);
    verdict.figure("events parked", parked);
    if parked > 0 {
        verdict.fault(format!("{parked} events are parked and had no effect"));
    }
    Ok(())
}

/// Each order was confirmed once and cancelled at most once in the eyes of analytics.
async fn analysed_events(databases: &Databases, verdict: &mut Verdict) -> Result<()> {
    let mut tx = databases.read(ServiceName::Analytics).await?;
    let twice = store::fetch_all!(
        tx,
        (String, String, i64),
        "SELECT type, subject, CAST(COUNT(*) AS bigint) FROM event_log \
         WHERE type IN ($1, $2) GROUP BY type, subject HAVING COUNT(*) > 1",
        OrderConfirmed::TYPE,
        OrderCancelled::TYPE
    )?;
    for (event_type, subject, count) in twice {
        verdict.fault(format!("there are {count} {event_type} of {subject}"));
    }
    Ok(())
}
