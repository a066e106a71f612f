//! The service dies between the provider's effect and its own record.

use std::time::Duration;

use common::ids::IntentId;
use contracts::payment_v1::{AuthorizeOutcome, CaptureOutcome, IntentState, VoidOutcome};
use testkit::wait_until;

use crate::harness::{AMOUNT, Harness};

/// Sends a command, kills the service once the provider's book shows `kind`, and starts it again.
async fn crash_during<F>(harness: Harness, kind: &str, command: F) -> Harness
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    let sent = tokio::spawn(command);
    wait_until("the provider did it", || async {
        harness.effects(kind).await == 1
    })
    .await;
    let harness = harness.crash_and_restart().await;
    sent.abort();
    harness
}

#[tokio::test]
async fn an_authorization_that_the_provider_made_is_found_after_a_crash() {
    let harness = Harness::start().await;
    let (commands, order) = (harness.commands(), harness.new_order());
    let command = async move { commands.authorize(order, "tok_timeout_after_success").await };
    let harness = crash_during(harness, "authorize", command).await;

    let intent = harness.commands().intent(order).await;
    assert_eq!(intent.state(), IntentState::Authorized);
    assert_eq!(intent.authorized_amount, AMOUNT);
    let again = harness
        .commands()
        .authorize(order, "tok_timeout_after_success")
        .await;
    assert_eq!(again.outcome(), AuthorizeOutcome::Authorized);
    assert_eq!(harness.effects("authorize").await, 1);
    harness.finish().await;
}

#[tokio::test]
async fn a_capture_that_nobody_asks_about_is_found_by_the_resolver() {
    let harness = Harness::start().await;
    let (commands, order) = (harness.commands(), harness.new_order());
    let reply = commands
        .authorize(order, "tok_capture_timeout_after_success")
        .await;
    let id: IntentId = reply.intent_id.parse().unwrap();
    let command = async move { commands.capture(id).await };
    let harness = crash_during(harness, "capture", command).await;

    wait_until("the resolver asked the provider", || async {
        harness.payment(id).await["state"] == "captured"
    })
    .await;
    assert_eq!(
        harness.commands().capture(id).await,
        CaptureOutcome::Captured
    );
    assert_eq!(harness.effects("capture").await, 1);
    harness.finish().await;
}

#[tokio::test]
async fn a_crash_before_the_provider_was_reached_charges_once() {
    let harness = Harness::start().await;
    let (commands, order) = (harness.commands(), harness.new_order());
    let reply = commands.authorize(order, "tok_ok").await;
    let id: IntentId = reply.intent_id.parse().unwrap();
    assert_eq!(commands.capture(id).await, CaptureOutcome::Captured);
    // As if the provider had lost the request, and this service its answer.
    let mut tx = harness.db.begin().await.unwrap();
    let forget = [
        "DELETE FROM sandbox_operations WHERE kind = 'capture'",
        "UPDATE sandbox_payments SET captured = 0",
        "DELETE FROM ledger_entries",
        "DELETE FROM ledger_transactions",
        "UPDATE intents SET state = 'capturing', captured = 0",
        "UPDATE operations SET state = 'pending', settled_at = NULL WHERE kind = 'capture'",
    ];
    for statement in forget {
        store::execute!(tx, statement).unwrap();
    }
    tx.commit().await.unwrap();
    let harness = harness.crash_and_restart().await;
    wait_until("the resolver sent it again", || async {
        harness.payment(id).await["state"] == "captured"
    })
    .await;
    assert_eq!(harness.effects("capture").await, 1);
    assert_eq!(
        harness.commands().intent(order).await.captured_amount,
        AMOUNT
    );
    harness.finish().await;
}

#[tokio::test]
async fn a_void_after_a_crash_lets_go_of_what_the_provider_had_set_aside() {
    let harness = Harness::start().await;
    let (commands, order) = (harness.commands(), harness.new_order());
    let command = async move { commands.authorize(order, "tok_timeout_after_success").await };
    let harness = crash_during(harness, "authorize", command).await;
    assert_eq!(harness.commands().void(order).await, VoidOutcome::Voided);
    assert_eq!(harness.effects("void").await, 1);
    harness.finish().await;
}

#[tokio::test]
async fn a_refund_goes_on_after_a_crash_and_its_key_still_answers() {
    let harness = Harness::start().await;
    let (_, id) = harness.captured("tok_refund_timeout_after_success").await;
    let client = harness.owner.clone();
    let path = format!("/api/payments/{id}/refunds");
    let body = serde_json::json!({"amount": crate::harness::usd(500), "reason": "cold pizza"});
    // The same person asks again after the crash; another token of theirs would do as well.
    let person = harness.identity.owner();
    let client = client.with_token(person.clone());
    let (asked, url) = (body.clone(), path.clone());
    let command = async move {
        let request = client.request(reqwest::Method::POST, &url);
        let request = request.header("idempotency-key", "k-1").json(&asked);
        let _cut_off = request.timeout(Duration::from_secs(3)).send().await;
    };
    let harness = crash_during(harness, "refund", command).await;
    wait_until("the resolver asked the provider", || async {
        harness.payment(id).await["state"] == "partially_refunded"
    })
    .await;
    let client = harness.owner.with_token(person);
    let first = client.post_with_key(&path, "k-1", &body).await.expect(201);
    assert_eq!(first["status"], "succeeded");
    assert_eq!(
        client.post_with_key(&path, "k-1", &body).await.expect(201),
        first
    );
    assert_eq!(harness.effects("refund").await, 1);
    harness.finish().await;
}
