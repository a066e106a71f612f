//! The judgements over a small system whose services' databases are filled by hand: all hold, and
//! every damage is noticed by exactly the invariants that it breaks.

mod doors;
mod small_chain;

use std::collections::BTreeSet;

use contracts::services::ServiceName;

use super::databases::Databases;
use super::verdict::Verdict;
use super::{access, acknowledged, money, once, orders, read_model, sagas, settle, stock};
use small_chain::SmallChain;

async fn judge(databases: &Databases) -> Vec<(u8, Verdict)> {
    let read = "the databases are readable";
    vec![
        (1, stock::check(databases).await.expect(read)),
        (2, money::check(databases).await.expect(read)),
        (3, orders::check(databases).await.expect(read)),
        (4, once::check(databases).await.expect(read)),
        (6, sagas::check(databases).await.expect(read)),
        (7, read_model::check(databases, None).await.expect(read)),
    ]
}

/// Damages one database and compares the invariants that fail with `broken`.
async fn check(service: ServiceName, damage: &'static str, broken: &[u8]) {
    let chain = SmallChain::create().await;
    chain.run(service, damage).await;
    let verdicts = judge(&chain.databases).await;
    let failed: BTreeSet<u8> = verdicts
        .iter()
        .filter(|(_, verdict)| !verdict.passed())
        .map(|&(number, _)| number)
        .collect();
    let told: Vec<String> = verdicts.iter().map(|(_, v)| v.to_string()).collect();
    let expected = broken.iter().copied().collect();
    assert_eq!(failed, expected, "{damage}\n{}", told.join("\n"));
}

#[tokio::test]
async fn a_sound_system_passes_and_is_settled() {
    let chain = SmallChain::create().await;
    for (_, verdict) in judge(&chain.databases).await {
        assert!(verdict.passed(), "{verdict}");
    }
    let unsettled = settle::settle(&chain.databases, std::time::Duration::ZERO).await;
    assert_eq!(unsettled.expect("readable"), settle::Unsettled::default());
}

#[tokio::test]
async fn damaged_stock_is_noticed() {
    let inventory = ServiceName::Inventory;
    check(inventory, "UPDATE balances SET on_hand = on_hand + 1", &[1]).await;
    check(inventory, "UPDATE balances SET reserved = 1", &[1]).await;
    check(inventory, "UPDATE lots SET remaining = remaining + 1", &[1]).await;
    let held = "UPDATE reservations SET state = 'held' WHERE state = 'refused'";
    check(inventory, held, &[1, 3]).await;
    let twice = "UPDATE movements SET quantity = quantity * 2 WHERE kind = 'consumption'";
    check(inventory, twice, &[1, 3, 4]).await;
    let lost = "UPDATE reservations SET state = 'released' WHERE state = 'committed'";
    check(inventory, lost, &[3, 4]).await;
}

#[tokio::test]
async fn damaged_money_is_noticed() {
    let payment = ServiceName::Payment;
    let unbalanced = "UPDATE ledger_entries SET amount = amount + 1 \
                      WHERE account = 'provider_clearing' AND amount = 900";
    check(payment, unbalanced, &[2]).await;
    let unbooked = "UPDATE ledger_entries SET amount = amount * 2";
    check(payment, unbooked, &[2]).await;
    let provider = "UPDATE sandbox_payments SET captured = captured - 1 WHERE refunded = 0";
    check(payment, provider, &[2]).await;
    let forgotten = "INSERT INTO sandbox_payments (reference, amount, currency, script, captured, \
                                                   refunded, voided, created_at) \
                     SELECT 'forgotten', amount, currency, script, 0, 0, voided, created_at \
                     FROM sandbox_payments WHERE refunded = 0";
    check(payment, forgotten, &[2]).await;
    let set_aside = "UPDATE intents SET state = 'authorized' WHERE state = 'declined'";
    check(payment, set_aside, &[3]).await;
    let open = "UPDATE operations SET settled_at = NULL WHERE kind = 'refund'";
    check(payment, open, &[6]).await;
}

#[tokio::test]
async fn damaged_orders_are_noticed() {
    let order = ServiceName::Order;
    let unpaid = "UPDATE orders SET total_amount = total_amount + 1 \
                  WHERE status = 'confirmed' AND origin = 'live'";
    check(order, unpaid, &[3, 7]).await;
    check(order, "UPDATE sagas SET idempotency_key = 'same'", &[4]).await;
    let lost = "UPDATE idempotency_keys SET key = 'lost' WHERE key = 'key-2'";
    check(order, lost, &[4]).await;
    let stuck = "UPDATE sagas SET position = 'capture' WHERE position = 'confirmed'";
    check(order, stuck, &[6]).await;
    let waiting = "UPDATE orders SET status = 'cancelling' \
                   WHERE status = 'cancelled' AND confirmed_at IS NOT NULL";
    check(order, waiting, &[6]).await;
    let forgotten = "UPDATE orders SET status = 'cancelled' \
                     WHERE status = 'confirmed' AND origin = 'live'";
    check(order, forgotten, &[3, 6, 7]).await;
}

#[tokio::test]
async fn a_damaged_read_model_is_noticed() {
    let analytics = ServiceName::Analytics;
    check(analytics, "DELETE FROM sales_orders", &[7]).await;
    check(
        analytics,
        "UPDATE sales_orders SET net_amount = net_amount + 1",
        &[7],
    )
    .await;
    check(analytics, "DELETE FROM refunds", &[7]).await;
    check(analytics, "UPDATE event_log SET subject = 'same'", &[4]).await;
}

#[tokio::test]
async fn what_was_acknowledged_is_looked_for() {
    let chain = SmallChain::create().await;
    let file = tempfile::NamedTempFile::new().expect("a file");
    let passes = async |list: String| {
        std::fs::write(file.path(), list).expect("written");
        let verdict = acknowledged::check(&chain.databases, Some(file.path())).await;
        verdict.expect("readable").passed()
    };
    let [confirmed, refused, ..] = chain.live_orders;
    assert!(passes(format!("{confirmed} confirmed\n{refused} cancelled\n")).await);
    assert!(!passes(format!("{refused} confirmed\n")).await);
    assert!(!passes(format!("{}\n", uuid::Uuid::max())).await);
}

#[tokio::test]
async fn an_open_door_is_noticed() {
    let good = secrecy::SecretString::from("e30.e30.c2lnbmF0dXJl");
    let passes = async |status| {
        let layout = doors::system_that_answers(status).await;
        let verdict = access::check(&layout, Some(&good), 1_767_225_600).await;
        verdict.expect("it answers").passed()
    };
    assert!(passes("401 Unauthorized").await);
    assert!(!passes("200 OK").await);
    assert!(!passes("503 Service Unavailable").await);
}
