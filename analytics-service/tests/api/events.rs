//! Events in any order, any number of times.

use serde_json::{Value, json};

use crate::harness::Harness;

/// All orders of `count` things.
fn permutations(count: usize) -> Vec<Vec<usize>> {
    if count == 0 {
        return vec![vec![]];
    }
    let mut all = Vec::new();
    for shorter in permutations(count - 1) {
        for place in 0..count {
            let mut longer = shorter.clone();
            longer.insert(place, count - 1);
            all.push(longer);
        }
    }
    all
}

#[tokio::test]
async fn the_report_does_not_depend_on_the_order_of_events() {
    let mut seen: Option<Value> = None;
    for order in permutations(4) {
        let harness = Harness::start().await;
        let kept = harness.sale("2015-03-01T18:00:00", &[("ham", "Classic", 2, 1_000)]);
        let gone = harness.sale("2015-03-01T19:00:00", &[("fig", "Veggie", 1, 1_500)]);
        let events = [
            harness.confirmation(&kept),
            harness.confirmation(&gone),
            harness.cancellation(&gone),
            harness.refund(&kept, 300),
        ];
        for index in &order {
            // Every event comes twice.
            for _ in 0..2 {
                let outcome = harness.tell(std::slice::from_ref(&events[*index])).await;
                assert_eq!(outcome, ["done"]);
            }
        }
        let summary = harness.summary().await;
        assert_eq!(summary["orders"], 1);
        assert_eq!(
            summary["net_sales"],
            json!({"amount": 1_700, "currency": "USD"})
        );
        assert_eq!(*seen.get_or_insert(summary.clone()), summary, "{order:?}");

        let compared = harness
            .owner
            .post("/api/analytics/read-model/compare", &json!({}))
            .await
            .expect(200);
        assert_eq!(
            (&compared["equal"], &compared["events"]),
            (&json!(true), &json!(4))
        );
        harness.stop().await;
    }
}

#[tokio::test]
async fn the_end_of_a_cancellation_does_not_take_a_refunds_place() {
    let harness = Harness::start().await;
    let sale = harness.sale("2015-03-01T18:00:00", &[("ham", "Classic", 1, 1_000)]);
    let mut refund = harness.refund(&sale, 1_000);
    // A rebuild takes events in the order of their ids, that in which they were made.
    refund["id"] = json!(uuid::Uuid::from_u128(1));
    // What is told when a cancelled order turns out to be refunded already.
    let mut end = refund.clone();
    end["id"] = json!(uuid::Uuid::from_u128(2));
    end["data"]["amount"] = json!(0);
    for event in [harness.confirmation(&sale), end, refund] {
        assert_eq!(harness.tell(&[event]).await, ["done"]);
    }
    let compared = harness
        .owner
        .post("/api/analytics/read-model/compare", &json!({}))
        .await
        .expect(200);
    assert_eq!(compared["equal"], true, "{compared}");
    harness.stop().await;
}

#[tokio::test]
async fn a_rebuilt_read_model_equals_the_live_one_and_survives() {
    let harness = Harness::start().await;
    let sales: Vec<_> = (0..50)
        .map(|n| {
            harness.sale(
                "2015-03-01T18:00:00",
                &[("ham", "Classic", n % 3 + 1, 1_000 + n)],
            )
        })
        .collect();
    let events: Vec<Value> = sales
        .iter()
        .map(|sale| harness.confirmation(sale))
        .collect();
    harness.tell(&events).await;
    let before = harness.summary().await;
    let rebuilt = harness
        .owner
        .post("/api/analytics/read-model/rebuild", &json!({}))
        .await
        .expect(200);
    assert_eq!(rebuilt["equal"], true);
    assert_eq!(rebuilt["live"]["orders"], 50);
    assert_eq!(harness.summary().await, before);
    harness.stop().await;
}

#[tokio::test]
async fn an_unreadable_event_is_parked_and_the_others_count() {
    let harness = Harness::start().await;
    let sale = harness.sale("2015-03-01T18:00:00", &[("ham", "Classic", 1, 1_000)]);
    let mut broken = harness.confirmation(&sale);
    broken["id"] = json!(uuid::Uuid::new_v4());
    broken["data"] = json!({"order_id": "nonsense"});
    let outcomes = harness.tell(&[broken, harness.confirmation(&sale)]).await;
    assert_eq!(outcomes, ["parked", "done"]);
    assert_eq!(harness.summary().await["orders"], 1);
    harness.stop().await;
}
