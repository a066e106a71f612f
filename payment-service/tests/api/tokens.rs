//! What each token of the sandbox makes of an order.

use common::ids::IntentId;
use contracts::payment_v1::{AuthorizeOutcome, CaptureOutcome, IntentState, VoidOutcome};

use crate::harness::{AMOUNT, Harness};

#[tokio::test]
async fn a_good_card_is_authorized_then_captured() {
    let harness = Harness::start().await;
    let (commands, order) = (harness.commands(), harness.new_order());
    assert_eq!(commands.intent(order).await.state(), IntentState::None);
    let reply = commands.authorize(order, "tok_ok").await;
    assert_eq!(reply.outcome(), AuthorizeOutcome::Authorized);
    let intent = commands.intent(order).await;
    assert_eq!(intent.state(), IntentState::Authorized);
    assert_eq!(
        (intent.authorized_amount, intent.captured_amount),
        (AMOUNT, 0)
    );

    let id: IntentId = reply.intent_id.parse().unwrap();
    assert_eq!(commands.capture(id).await, CaptureOutcome::Captured);
    let intent = commands.intent(order).await;
    assert_eq!(intent.state(), IntentState::Captured);
    assert_eq!(
        (intent.captured_amount, intent.refunded_amount),
        (AMOUNT, 0)
    );
    harness.finish().await;
}

#[tokio::test]
async fn a_refused_or_unknown_token_is_declined_with_its_code() {
    let harness = Harness::start().await;
    let commands = harness.commands();
    for (token, code) in [
        ("tok_declined", "card_declined"),
        ("tok_anything_else", "unknown_token"),
        ("tok_network_error", "provider_unavailable"),
    ] {
        let order = harness.new_order();
        let reply = commands.authorize(order, token).await;
        assert_eq!(reply.outcome(), AuthorizeOutcome::Declined, "{token}");
        assert_eq!(reply.decline_code, code);
        assert_eq!(commands.authorize(order, token).await, reply, "repeated");
        let intent = commands.intent(order).await;
        assert_eq!(intent.state(), IntentState::Declined);
        assert_eq!(
            (intent.authorized_amount, intent.decline_code.as_str()),
            (0, code)
        );
        let id = reply.intent_id.parse().unwrap();
        assert_eq!(commands.capture(id).await, CaptureOutcome::Failed);
        assert_eq!(commands.void(order).await, VoidOutcome::Voided);
    }
    assert_eq!(harness.effects("authorize").await, 0);
    harness.finish().await;
}

#[tokio::test]
async fn a_lost_answer_is_learnt_by_asking() {
    let harness = Harness::start().await;
    let (commands, order) = (harness.commands(), harness.new_order());
    let reply = commands.authorize(order, "tok_timeout_after_success").await;
    assert_eq!(reply.outcome(), AuthorizeOutcome::Authorized);
    assert_eq!(harness.effects("authorize").await, 1);
    let payment = harness.payment(reply.intent_id.parse().unwrap()).await;
    assert_eq!(
        payment["operations"][0]["sends"], 1,
        "it was asked about, not sent again"
    );
    harness.captured("tok_capture_timeout_after_success").await;
    assert_eq!(harness.effects("capture").await, 1);
    harness.finish().await;
}

#[tokio::test]
async fn a_slow_provider_is_waited_for() {
    let harness = Harness::start().await;
    let reply = harness
        .commands()
        .authorize(harness.new_order(), "tok_slow")
        .await;
    assert_eq!(reply.outcome(), AuthorizeOutcome::Authorized);
    harness.finish().await;
}

#[tokio::test]
async fn a_capture_that_is_refused_leaves_something_to_let_go_of() {
    let harness = Harness::start().await;
    let (commands, order) = (harness.commands(), harness.new_order());
    let reply = commands.authorize(order, "tok_capture_declined").await;
    let id = reply.intent_id.parse().unwrap();
    for _ in 0..2 {
        assert_eq!(commands.capture(id).await, CaptureOutcome::Failed);
    }
    let intent = commands.intent(order).await;
    assert_eq!(intent.state(), IntentState::Failed);
    assert_eq!(intent.decline_code, "capture_declined");
    assert_eq!(commands.void(order).await, VoidOutcome::Voided);
    assert_eq!(harness.effects("void").await, 1);
    harness.finish().await;
}

#[tokio::test]
async fn cash_is_taken_at_once_and_asks_no_provider() {
    let harness = Harness::start().await;
    let (commands, order) = (harness.commands(), harness.new_order());
    let reply = commands.pay_cash(order).await;
    assert_eq!(reply.outcome(), AuthorizeOutcome::Authorized);
    assert_eq!(commands.pay_cash(order).await, reply);
    assert_eq!(commands.intent(order).await.state(), IntentState::Captured);
    let id = reply.intent_id.parse().unwrap();
    assert_eq!(commands.capture(id).await, CaptureOutcome::Captured);

    let path = format!("/api/payments/ledger/balances?store_id={}", harness.store);
    let balances = harness.owner.get(&path).await.expect(200);
    assert_eq!(balances["items"][0]["account"], "cash_drawer");
    assert_eq!(balances["items"][0]["balance"]["amount"], AMOUNT);

    assert_eq!(commands.void(order).await, VoidOutcome::Refunded);
    assert_eq!(commands.void(order).await, VoidOutcome::Refunded);
    for kind in ["authorize", "capture", "refund"] {
        assert_eq!(harness.effects(kind).await, 0, "{kind}");
    }
    let balances = harness.owner.get(&path).await.expect(200);
    assert_eq!(balances["items"][0]["balance"]["amount"], 0);
    harness.finish().await;
}
