//! The saga between neighbours that fail.

use serde_json::Value;

use crate::harness::{Harness, new_key};
use crate::neighbours::Trouble;

const ACTIONS: [&str; 4] = ["reserve", "authorize", "commit", "capture"];

/// What must hold after every order: the books agree, and the token is gone.
async fn assert_finished(harness: &Harness, order: &Value) {
    harness.assert_books_agree(order);
    let mut tx = harness.db.read().await.unwrap();
    let (kept,): (i64,) = store::fetch_one!(
        tx,
        (i64,),
        "SELECT COUNT(*) FROM sagas
         WHERE payment_token IS NOT NULL OR next_attempt_at IS NOT NULL"
    )
    .unwrap();
    assert_eq!(kept, 0, "a saga that has ended keeps something");
}

#[tokio::test]
async fn every_step_may_be_repeated() {
    let harness = Harness::start().await;
    harness.world().repeat_commands(2);
    let order = harness.api.place().await;
    assert_eq!(order["status"], "confirmed");
    assert_finished(&harness, &order).await;
    harness.stop().await;
}

#[tokio::test]
async fn a_step_whose_answer_is_lost_is_resolved_by_asking() {
    let harness = Harness::start().await;
    for step in ACTIONS {
        for trouble in [
            Trouble::FailBefore,
            Trouble::FailAfter,
            Trouble::TimeoutBefore,
            Trouble::TimeoutAfter,
        ] {
            let sent_before = harness.world().count(step);
            harness.world().trouble(step, &[trouble]);
            let order = harness.api.place().await;
            assert_eq!(order["status"], "confirmed", "{step} {trouble:?}");
            assert_finished(&harness, &order).await;
            // What was done is found by asking and not commanded again.
            let done = matches!(trouble, Trouble::FailAfter | Trouble::TimeoutAfter);
            let sent = harness.world().count(step) - sent_before;
            assert_eq!(sent, if done { 1 } else { 2 }, "{step} {trouble:?}");
            let steps = harness.api.steps(&order).await;
            let attempts: Vec<_> = steps.iter().filter(|s| s.starts_with(step)).collect();
            let (unclear, done) = (format!("{step} unclear"), format!("{step} done"));
            assert_eq!(attempts, [&unclear, &done], "{trouble:?}");
        }
    }
    harness.stop().await;
}

#[tokio::test]
async fn an_unknown_outcome_at_the_provider_is_waited_for() {
    let harness = Harness::start().await;
    for step in ["authorize", "capture"] {
        harness.world().trouble(step, &[Trouble::Unknown]);
        harness
            .world()
            .trouble("get_intent", &[Trouble::Unknown, Trouble::Unknown]);
        let order = harness.api.place().await;
        assert_eq!(order["status"], "confirmed", "{step}");
        assert_finished(&harness, &order).await;
        let sent = harness.world().commands();
        let id = order["id"].as_str().unwrap();
        let command = (step, format!("{id}/{step}"));
        assert_eq!(sent.iter().filter(|sent| **sent == command).count(), 1);
    }
    harness.stop().await;
}

/// What is refused, the reason, and the steps that follow.
const REFUSALS: [(&str, &str, &[&str]); 4] = [
    ("reserve", "out_of_stock", &["reserve refused"]),
    (
        "authorize",
        "payment_declined",
        &["reserve done", "authorize refused", "release done"],
    ),
    (
        "commit",
        "reservation_expired",
        &[
            "reserve done",
            "authorize done",
            "commit refused",
            "void done",
            "release done",
        ],
    ),
    (
        "capture",
        "payment_failed",
        &[
            "reserve done",
            "authorize done",
            "commit done",
            "capture refused",
            "void done",
            "restock done",
        ],
    ),
];

#[tokio::test]
async fn a_refused_step_undoes_the_steps_before_it() {
    let harness = Harness::start().await;
    for (step, reason, expected) in REFUSALS {
        harness.world().trouble(step, &[Trouble::Refuse]);
        let order = harness.api.place().await;
        assert_eq!(order["status"], "cancelled", "{step}");
        assert_eq!(order["cancel_reason"], reason);
        assert_eq!(harness.api.steps(&order).await, expected);
        assert_finished(&harness, &order).await;
    }
    let timeline = {
        harness.world().trouble("reserve", &[Trouble::Refuse]);
        let order = harness.api.place().await;
        harness.api.timeline(&order).await
    };
    let shortage = timeline["entries"][1]["detail"].as_str().unwrap();
    assert_eq!(shortage, "out_of_stock: mozzarella (250 of 300)");
    assert!(timeline["under_way"].is_null());
    // Nothing was confirmed, so nobody was told anything.
    assert!(harness.around.subscriber.events().is_empty());
    harness.stop().await;
}

#[tokio::test]
async fn every_undo_may_fail_and_be_repeated() {
    let harness = Harness::start().await;
    harness.world().repeat_commands(1);
    for trouble in [Trouble::FailBefore, Trouble::FailAfter, Trouble::Reject] {
        for (step, reason, _) in REFUSALS {
            for undo in ["void", "release", "restock"] {
                harness.world().trouble(undo, &[trouble, trouble]);
            }
            harness.world().trouble(step, &[Trouble::Refuse]);
            let order = harness.api.place().await;
            assert_eq!(order["cancel_reason"], reason, "{trouble:?}");
            assert_finished(&harness, &order).await;
            harness.world().heal();
        }
    }
    // The provider does not know whether the money was let go, and then the answer is lost.
    harness.world().trouble("capture", &[Trouble::Refuse]);
    let silence = [Trouble::Unknown, Trouble::TimeoutAfter, Trouble::Unknown];
    harness.world().trouble("void", &silence);
    let order = harness.api.place().await;
    assert_eq!(order["cancel_reason"], "payment_failed");
    assert_finished(&harness, &order).await;
    harness.stop().await;
}

#[tokio::test]
async fn a_neighbour_that_rejects_a_command_ends_the_order() {
    let harness = Harness::start().await;
    for (step, reason) in [
        ("reserve", "inventory_unavailable"),
        ("authorize", "payment_unavailable"),
        ("commit", "inventory_unavailable"),
        ("capture", "payment_unavailable"),
    ] {
        harness.world().trouble(step, &[Trouble::Reject]);
        let order = harness.api.place().await;
        assert_eq!(order["cancel_reason"], reason);
        assert_finished(&harness, &order).await;
    }
    harness.stop().await;
}

#[tokio::test]
async fn a_step_without_an_answer_is_given_up_at_the_deadline() {
    let (failed, landed) = (Trouble::FailBefore, Trouble::FailAfter);
    for (step, ask, trouble, reason) in [
        (
            "reserve",
            "get_reservation",
            failed,
            "inventory_unavailable",
        ),
        (
            "reserve",
            "get_reservation",
            landed,
            "inventory_unavailable",
        ),
        ("authorize", "get_intent", failed, "payment_unavailable"),
        ("authorize", "get_intent", landed, "payment_unavailable"),
        ("commit", "get_reservation", landed, "inventory_unavailable"),
        ("capture", "get_intent", landed, "payment_unavailable"),
    ] {
        // A service of its own for each: so many failures open its circuit breaker.
        let settings = [("ORDER__SAGA__FORWARD_DEADLINE_MS", "200")];
        let harness = Harness::start_with(&settings).await;
        harness.world().lasting_trouble(step, trouble);
        harness.world().lasting_trouble(ask, Trouble::FailBefore);
        let order = harness.api.place().await;
        assert_eq!(order["status"], "cancelled", "{step} {trouble:?}");
        assert_eq!(order["cancel_reason"], reason);
        assert_finished(&harness, &order).await;
        harness.stop().await;
    }
}

#[tokio::test]
async fn a_release_that_finds_the_stock_consumed_restocks_it() {
    let harness = Harness::start_with(&[("ORDER__SAGA__FORWARD_DEADLINE_MS", "200")]).await;
    harness
        .world()
        .lasting_trouble("commit", Trouble::FailAfter);
    harness
        .world()
        .lasting_trouble("get_reservation", Trouble::FailBefore);
    let order = harness.api.place().await;
    assert_eq!(order["cancel_reason"], "inventory_unavailable");
    let steps = harness.api.steps(&order).await;
    let undone = &steps[steps.len() - 3..];
    assert_eq!(
        undone,
        ["void done", "release already_committed", "restock done"]
    );
    assert_finished(&harness, &order).await;
    harness.stop().await;
}

#[tokio::test]
async fn a_saga_that_is_driven_twice_has_one_effect() {
    // The lease runs out while the first driver waits for an answer, and the recovery takes over.
    let harness = Harness::start_with(&[
        ("ORDER__SAGA__STEP_TIMEOUT_MS", "3000"),
        ("ORDER__SAGA__LEASE_MS", "6001"),
    ])
    .await;
    for step in ACTIONS {
        harness.world().trouble(step, &[Trouble::HoldAfter]);
        let (api, key) = (harness.api.clone(), new_key());
        let body = api.order_body();
        let call = tokio::spawn(async move { api.post_order(&key, &body).await });
        harness.world().wait_for_held_call().await;
        let listed = harness
            .api
            .owner
            .get("/api/orders?status=pending")
            .await
            .expect(200);
        let id = listed["items"][0]["id"].clone();
        let path = format!("/api/orders/{}/redrive", id.as_str().unwrap());
        let _ = harness
            .api
            .owner
            .post(&path, &serde_json::json!({}))
            .await
            .expect(202);
        let order = harness.api.wait_for_end(&id).await;
        assert_eq!(order["status"], "confirmed", "{step}");
        harness.world().go_on();
        let answered = call.await.unwrap().expect(201);
        assert_eq!(answered, order, "{step}");
        assert_finished(&harness, &order).await;
    }
    harness.stop().await;
}
