//! What the service does about events of others.

use common::time::Timestamp;
use contracts::EventPayload as _;
use contracts::events::{InventoryRestocked, OrderCancelled};
use contracts::inventory_v1::ReservationState;
use testkit::assert_outbox_empty;
use testkit::events::EventSource;

use crate::harness::Harness;

#[tokio::test]
async fn a_cancelled_order_is_restocked_once_and_says_so() {
    let harness = Harness::start().await;
    let dough = harness.product("dough").await;
    let pizza = harness.item(&[(dough, 5)]).await;
    harness.receive(dough, 10, None).await;
    let (commands, order) = (harness.commands(), harness.new_order());
    commands.reserve(order, &[(pizza, 1)]).await;
    commands.commit(order).await;
    assert_eq!(harness.balance(dough).await, (5, 0));

    let source = EventSource::new("order", &harness.identity);
    let event = source.event(
        order,
        &OrderCancelled {
            order_id: order,
            store_id: harness.store,
            reason: "guest_left".to_owned(),
            cancelled_at: Timestamp::from_unix_seconds(1_790_000_000),
            was_confirmed: true,
        },
    );
    for _ in 0..3 {
        source
            .deliver(harness.http, std::slice::from_ref(&event))
            .await;
    }
    let restocked = harness
        .order_service
        .wait_for_events(InventoryRestocked::TYPE, 1)
        .await;
    assert_eq!(restocked[0]["data"]["order_id"], order.to_string());
    assert_eq!(harness.balance(dough).await, (10, 0));
    assert_eq!(commands.state(order).await, ReservationState::Restocked);
    harness.assert_ledger_holds().await;
    assert_outbox_empty(&harness.db).await;
    assert_eq!(
        harness
            .order_service
            .events_of(InventoryRestocked::TYPE)
            .len(),
        1
    );
    harness.stop().await;
}
