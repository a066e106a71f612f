//! The commands of the order saga: repeated, at once, out of order, from the wrong caller.

use std::collections::BTreeSet;

use common::auth::Role;
use common::ids::{IntentId, StoreId};
use contracts::payment_v1::{
    AuthorizeOutcome, AuthorizeRequest, CaptureOutcome, IntentState, VoidOutcome,
};
use futures_util::future::join_all;
use tonic::Code;

use crate::harness::{AMOUNT, Harness};

#[tokio::test]
async fn twenty_authorizations_at_once_are_one() {
    let harness = Harness::start().await;
    let (commands, order) = (harness.commands(), harness.new_order());
    let replies = join_all((0..20).map(|_| commands.authorize(order, "tok_slow"))).await;
    let intents: BTreeSet<&str> = replies
        .iter()
        .map(|reply| reply.intent_id.as_str())
        .collect();
    assert_eq!(intents.len(), 1);
    let authorized = |outcome| outcome == AuthorizeOutcome::Authorized;
    assert!(replies.iter().all(|reply| authorized(reply.outcome())));
    assert_eq!(harness.effects("authorize").await, 1);
    harness.finish().await;
}

#[tokio::test]
async fn twenty_captures_at_once_take_the_money_once() {
    let harness = Harness::start().await;
    let (commands, order) = (harness.commands(), harness.new_order());
    let reply = commands
        .authorize(order, "tok_capture_timeout_after_success")
        .await;
    let id: IntentId = reply.intent_id.parse().unwrap();
    let outcomes = join_all((0..20).map(|_| commands.capture(id))).await;
    assert_eq!(outcomes, [CaptureOutcome::Captured; 20]);
    assert_eq!(harness.effects("capture").await, 1);
    assert_eq!(commands.intent(order).await.captured_amount, AMOUNT);
    assert_eq!(commands.capture(id).await, CaptureOutcome::Captured);
    harness.finish().await;
}

#[tokio::test]
async fn a_void_lets_go_of_what_was_set_aside() {
    let harness = Harness::start().await;
    let (commands, order) = (harness.commands(), harness.new_order());
    let reply = commands.authorize(order, "tok_ok").await;
    for _ in 0..2 {
        assert_eq!(commands.void(order).await, VoidOutcome::Voided);
    }
    assert_eq!(harness.effects("void").await, 1);
    assert_eq!(commands.intent(order).await.state(), IntentState::Voided);
    let id = reply.intent_id.parse().unwrap();
    assert_eq!(commands.capture(id).await, CaptureOutcome::Failed);
    let late = commands.authorize(order, "tok_ok").await;
    assert_eq!(late.outcome(), AuthorizeOutcome::Voided);
    harness.finish().await;
}

#[tokio::test]
async fn an_authorization_after_the_void_sets_nothing_aside() {
    let harness = Harness::start().await;
    let (commands, order) = (harness.commands(), harness.new_order());
    assert_eq!(commands.void(order).await, VoidOutcome::Voided);
    let late = commands.authorize(order, "tok_ok").await;
    assert_eq!(late.outcome(), AuthorizeOutcome::Voided);
    assert_eq!(harness.effects("authorize").await, 0);
    assert_eq!(commands.intent(order).await.state(), IntentState::None);
    harness.finish().await;
}

#[tokio::test]
async fn a_void_during_an_authorization_ends_with_no_money_held() {
    let harness = Harness::start().await;
    let (commands, order) = (harness.commands(), harness.new_order());
    let (_authorized, voided) = tokio::join!(
        commands.authorize(order, "tok_timeout_after_success"),
        async {
            testkit::wait_until("the provider has the authorization", || async {
                harness.effects("authorize").await == 1
            })
            .await;
            commands.void(order).await
        }
    );
    assert_eq!(voided, VoidOutcome::Voided);
    assert_eq!(harness.effects("void").await, 1);
    harness.finish().await;
}

#[tokio::test]
async fn a_void_after_the_capture_refunds_everything() {
    let harness = Harness::start().await;
    let (order, _) = harness.captured("tok_ok").await;
    let commands = harness.commands();
    for _ in 0..2 {
        assert_eq!(commands.void(order).await, VoidOutcome::Refunded);
    }
    assert_eq!(harness.effects("refund").await, 1);
    let intent = commands.intent(order).await;
    assert_eq!(intent.state(), IntentState::Refunded);
    assert_eq!(intent.refunded_amount, AMOUNT);
    harness.finish().await;
}

#[tokio::test]
async fn a_refund_that_is_refused_is_not_settled_and_not_hammered() {
    let harness = Harness::start().await;
    let (order, intent) = harness.captured("tok_refund_declined").await;
    let commands = harness.commands();
    assert_eq!(commands.void(order).await, VoidOutcome::Unknown);
    let payment = harness.payment(intent).await;
    let refunds = payment["refunds"].as_array().unwrap();
    assert!(
        refunds.len() < 8,
        "it waits longer after each refusal: {}",
        refunds.len()
    );
    assert_eq!(refunds[0]["decline_code"], "refund_declined");
    assert_eq!(payment["refunded"]["amount"], 0);
    harness.stop().await;
}

#[tokio::test]
async fn a_declined_order_may_be_paid_with_another_card() {
    let harness = Harness::start().await;
    let (commands, order) = (harness.commands(), harness.new_order());
    let first = commands.authorize(order, "tok_declined").await;
    let again = AuthorizeRequest {
        command_id: "another-card".to_owned(),
        ..commands.authorization(order, "tok_ok")
    };
    let second = commands.try_authorize(again).await.unwrap();
    assert_eq!(second.outcome(), AuthorizeOutcome::Authorized);
    assert_ne!(second.intent_id, first.intent_id);
    assert_eq!(commands.intent(order).await.intent_id, second.intent_id);
    harness.finish().await;
}

#[tokio::test]
async fn one_order_is_not_paid_on_two_terms() {
    let harness = Harness::start().await;
    let (commands, order) = (harness.commands(), harness.new_order());
    commands.authorize(order, "tok_ok").await;
    let good = commands.authorization(order, "tok_ok");
    for other in [
        AuthorizeRequest {
            amount: AMOUNT + 1,
            ..good.clone()
        },
        AuthorizeRequest {
            currency: "EUR".to_owned(),
            ..good.clone()
        },
        AuthorizeRequest {
            method: "cash".to_owned(),
            token: String::new(),
            ..good.clone()
        },
        AuthorizeRequest {
            store_id: StoreId::new(&harness.clock).to_string(),
            ..good
        },
    ] {
        let status = commands.try_authorize(other).await.unwrap_err();
        assert_eq!(status.code(), Code::FailedPrecondition);
    }
    harness.finish().await;
}

#[tokio::test]
async fn only_order_service_may_send_commands() {
    let harness = Harness::start().await;
    let order = harness.new_order();
    for (token, code) in [
        (None, Code::Unauthenticated),
        (Some("not-a-token".to_owned()), Code::Unauthenticated),
        (Some(harness.identity.expired()), Code::Unauthenticated),
        (Some(harness.identity.owner()), Code::PermissionDenied),
        (
            Some(harness.identity.user_of(Role::StoreManager, harness.store)),
            Code::PermissionDenied,
        ),
        (
            Some(harness.identity.service("analytics")),
            Code::PermissionDenied,
        ),
    ] {
        let commands = harness.commands_with(token);
        let request = commands.authorization(order, "tok_ok");
        let status = commands.try_authorize(request).await.unwrap_err();
        assert_eq!(status.code(), code);
    }
    assert_eq!(harness.effects("authorize").await, 0);
    harness.finish().await;
}

#[tokio::test]
async fn nonsense_is_refused_by_field() {
    let harness = Harness::start().await;
    let commands = harness.commands();
    let good = commands.authorization(harness.new_order(), "tok_ok");
    type Spoil = fn(&mut AuthorizeRequest);
    let faults: [(&str, Spoil); 12] = [
        ("amount", |request| request.amount = 0),
        ("amount", |request| request.amount = -5),
        ("amount", |request| request.amount = i64::MAX),
        ("currency", |request| request.currency = "usd".to_owned()),
        ("method", |request| request.method = "barter".to_owned()),
        ("token", |request| request.token = String::new()),
        ("token", |request| request.token = "tok_ÜBER".to_owned()),
        ("token", |request| request.method = "cash".to_owned()),
        ("order_id", |request| request.order_id = "7".to_owned()),
        ("store_id", |request| request.store_id = String::new()),
        ("command_id", |request| request.command_id = String::new()),
        ("command_id", |request| request.command_id = "x".repeat(201)),
    ];
    for (field, spoil) in faults {
        let mut request = good.clone();
        spoil(&mut request);
        let status = commands.try_authorize(request).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{field}");
        assert!(status.message().starts_with(field), "{}", status.message());
    }
    let unknown = IntentId::new(&harness.clock);
    assert_eq!(commands.capture(unknown).await, CaptureOutcome::NotFound);
    harness.finish().await;
}
