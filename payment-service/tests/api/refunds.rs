//! Refunds that people ask for.

use common::auth::{Role, StoreClaim};
use common::ids::{IntentId, StoreId};
use contracts::EventPayload as _;
use contracts::events::PaymentRefunded;
use contracts::payment_v1::{IntentState, VoidOutcome};
use futures_util::future::join_all;
use serde_json::json;

use crate::harness::{AMOUNT, Harness, usd};

#[tokio::test]
async fn a_payment_is_refunded_in_parts_and_everybody_hears_of_each() {
    let harness = Harness::start().await;
    let (order, id) = harness.captured("tok_ok").await;
    let refund = harness.refund(id, "first", 650).await.expect(201);
    assert_eq!(refund["amount"], usd(650));
    assert_eq!(refund["status"], "succeeded");
    assert_eq!(refund["reason"], "cold pizza");
    assert_eq!(harness.payment(id).await["state"], "partially_refunded");
    let _ = harness.refund(id, "second", 2_000).await.expect(201);
    let payment = harness.payment(id).await;
    assert_eq!(payment["state"], "refunded");
    assert_eq!(payment["refunded"], usd(AMOUNT));
    assert_eq!(payment["refunds"].as_array().unwrap().len(), 2);

    for subscriber in [&harness.order_service, &harness.analytics_service] {
        let events = subscriber.wait_for_events(PaymentRefunded::TYPE, 2).await;
        let data = |index: usize| events[index]["data"].clone();
        assert_eq!(data(0)["order_id"], order.to_string());
        assert_eq!(
            (data(0)["amount"].clone(), data(0)["full"].clone()),
            (json!(650), json!(false))
        );
        assert_eq!(
            (data(1)["amount"].clone(), data(1)["full"].clone()),
            (json!(2_000), json!(true))
        );
        assert_eq!(data(1)["refunded_total"], AMOUNT);
    }
    let path = format!("/api/payments/ledger/balances?store_id={}", harness.store);
    insta::assert_json_snapshot!(harness.owner.get(&path).await.expect(200), @r#"
    {
      "items": [
        {
          "account": "provider_clearing",
          "balance": {
            "amount": 0,
            "currency": "USD"
          }
        },
        {
          "account": "refunds",
          "balance": {
            "amount": 2650,
            "currency": "USD"
          }
        },
        {
          "account": "sales_revenue",
          "balance": {
            "amount": -2650,
            "currency": "USD"
          }
        }
      ]
    }
    "#);
    harness.finish().await;
}

#[tokio::test]
async fn one_key_is_one_refund() {
    let harness = Harness::start().await;
    let (_, id) = harness.captured("tok_ok").await;
    let first = harness.refund(id, "key", 100).await.expect(201);
    assert_eq!(harness.refund(id, "key", 100).await.expect(201), first);
    harness
        .refund(id, "key", 200)
        .await
        .expect_problem(422, "idempotency_key_reused");
    let path = format!("/api/payments/{id}/refunds");
    let body = json!({"amount": usd(100), "reason": "cold pizza"});
    harness
        .owner
        .post(&path, &body)
        .await
        .expect_problem(400, "idempotency_key_missing");

    let replies = join_all((0..20).map(|_| harness.refund(id, "burst", 10))).await;
    for reply in &replies {
        assert!([201, 409].contains(&reply.status), "{reply}");
        if reply.status == 409 {
            assert_eq!(reply.header("retry-after"), Some("1"), "{reply}");
        }
    }
    assert!(replies.iter().any(|reply| reply.status == 201));
    assert_eq!(harness.effects("refund").await, 2);
    assert_eq!(harness.payment(id).await["refunded"], usd(110));
    harness.finish().await;
}

#[tokio::test]
async fn concurrent_refunds_never_exceed_what_was_captured() {
    let harness = Harness::start().await;
    let (_, id) = harness.captured("tok_ok").await;
    let keys: Vec<String> = (0..20).map(|index| format!("refund-{index}")).collect();
    let replies = join_all(keys.iter().map(|key| harness.refund(id, key, 500))).await;
    let refunded = replies.iter().filter(|reply| reply.status == 201).count();
    assert_eq!(refunded, 5, "of 26.50 there are five times 5.00");
    for reply in replies.into_iter().filter(|reply| reply.status != 201) {
        reply.expect_problem(409, "refund_exceeds_rest");
    }
    assert_eq!(harness.effects("refund").await, 5);
    assert_eq!(harness.payment(id).await["refunded"], usd(2_500));
    harness.finish().await;
}

#[tokio::test]
async fn a_refund_whose_answer_is_lost_is_learnt_by_asking() {
    let harness = Harness::start().await;
    let (_, id) = harness.captured("tok_refund_timeout_after_success").await;
    let refund = harness.refund(id, "key", 500).await.expect(201);
    assert_eq!(refund["status"], "succeeded");
    assert_eq!(harness.effects("refund").await, 1);
    harness.finish().await;
}

#[tokio::test]
async fn a_refund_that_the_provider_refuses_says_so_each_time() {
    let harness = Harness::start().await;
    let (_, id) = harness.captured("tok_refund_declined").await;
    for _ in 0..2 {
        harness
            .refund(id, "key", 500)
            .await
            .expect_problem(422, "refund_declined");
    }
    let payment = harness.payment(id).await;
    assert_eq!(payment["state"], "captured");
    assert_eq!(payment["refunds"].as_array().unwrap().len(), 1);
    harness.finish().await;
}

#[tokio::test]
async fn what_cannot_be_refunded_is_not() {
    let harness = Harness::start().await;
    let (order, id) = harness.captured("tok_ok").await;
    harness
        .refund(id, "too-much", AMOUNT + 1)
        .await
        .expect_problem(422, "refund_exceeds_captured");
    let _ = harness.refund(id, "some", 2_000).await.expect(201);
    harness
        .refund(id, "more-than-left", 651)
        .await
        .expect_problem(409, "refund_exceeds_rest");
    let path = format!("/api/payments/{id}/refunds");
    let euro = json!({"amount": {"amount": 1, "currency": "EUR"}, "reason": "why"});
    let reply = harness.owner.post_with_key(&path, "euro", &euro).await;
    reply.expect_problem(422, "currency_mismatch");
    for (amount, reason, field) in [
        (0, "why", "amount.amount"),
        (-1, "why", "amount.amount"),
        (1, " ", "reason"),
        (1, "line\nbreak", "reason"),
    ] {
        let body = json!({"amount": usd(amount), "reason": reason});
        let reply = harness.owner.post_with_key(&path, "bad", &body).await;
        assert_eq!(reply.expect_invalid(), [field]);
    }
    let unknown = IntentId::new(&harness.clock);
    harness
        .refund(unknown, "k", 1)
        .await
        .expect_problem(404, "not_found");

    let reply = harness
        .commands()
        .authorize(harness.new_order(), "tok_ok")
        .await;
    let authorized = reply.intent_id.parse().unwrap();
    harness
        .refund(authorized, "k", 1)
        .await
        .expect_problem(409, "not_captured");

    assert_eq!(harness.commands().void(order).await, VoidOutcome::Refunded);
    harness
        .refund(id, "after-void", 1)
        .await
        .expect_problem(409, "refund_exceeds_rest");
    assert_eq!(
        harness.commands().intent(order).await.state(),
        IntentState::Refunded
    );
    harness.finish().await;
}

#[tokio::test]
async fn only_managers_of_the_store_refund() {
    let harness = Harness::start().await;
    let (_, id) = harness.captured("tok_ok").await;
    let path = format!("/api/payments/{id}/refunds");
    let body = json!({"amount": usd(1), "reason": "why"});
    for role in [Role::Crew, Role::Kiosk] {
        let reply = harness
            .client_of(role)
            .post_with_key(&path, "k", &body)
            .await;
        reply.expect_problem(403, "forbidden");
    }
    let elsewhere = StoreClaim::Only(vec![StoreId::new(&harness.clock)]);
    let foreign = harness.identity.user(&[Role::StoreManager], elsewhere);
    let foreign = harness.owner.with_token(foreign);
    let reply = foreign.post_with_key(&path, "k", &body).await;
    reply.expect_problem(404, "not_found");
    let manager = harness.client_of(Role::StoreManager);
    let _ = manager.post_with_key(&path, "k", &body).await.expect(201);
    harness.finish().await;
}
