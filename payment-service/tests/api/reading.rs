//! Payments and the ledger, as people read them.

use common::auth::{Role, StoreClaim};
use common::ids::{IntentId, StoreId};
use serde_json::Value;

use crate::harness::{AMOUNT, Harness, usd};

#[tokio::test]
async fn a_payment_shows_everything_but_its_token() {
    let harness = Harness::start().await;
    let (order, id) = harness.captured("tok_ok").await;
    let payment = harness.payment(id).await;
    assert_eq!(payment["order_id"], order.to_string());
    assert_eq!(
        (payment["method"].as_str(), payment["state"].as_str()),
        (Some("card"), Some("captured"))
    );
    assert_eq!(
        (payment["amount"].clone(), payment["captured"].clone()),
        (usd(AMOUNT), usd(AMOUNT))
    );
    let kinds: Vec<&str> = payment["operations"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|operation| operation["kind"].as_str())
        .collect();
    assert_eq!(kinds, ["authorize", "capture"]);
    assert!(!payment.to_string().contains("tok_"));
    let unknown = IntentId::new(&harness.clock);
    let reply = harness.owner.get(&format!("/api/payments/{unknown}")).await;
    reply.expect_problem(404, "not_found");
    harness.finish().await;
}

#[tokio::test]
async fn a_list_is_paged_newest_first_and_filtered() {
    let harness = Harness::start().await;
    let mut made = Vec::new();
    for _ in 0..5 {
        made.push(harness.captured("tok_ok").await);
    }
    made.reverse();
    let mut listed = Vec::new();
    let mut path = "/api/payments?limit=2".to_owned();
    loop {
        let page = harness.owner.get(&path).await.expect(200);
        listed.extend(page["items"].as_array().unwrap().iter().map(id_of));
        match page["next_cursor"].as_str() {
            Some(cursor) => path = format!("/api/payments?limit=2&cursor={cursor}"),
            None => break,
        }
    }
    let expected: Vec<String> = made.iter().map(|(_, id)| id.to_string()).collect();
    assert_eq!(listed, expected);

    let (order, id) = made[2];
    let page = harness
        .owner
        .get(&format!("/api/payments?order_id={order}"))
        .await
        .expect(200);
    assert_eq!(
        page["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(id_of)
            .collect::<Vec<_>>(),
        [id.to_string()]
    );
    let bad = harness.owner.get("/api/payments?limit=201").await;
    assert_eq!(bad.expect_invalid(), ["limit"]);
    let bad = harness.owner.get("/api/payments?cursor=nonsense").await;
    bad.expect_problem(400, "malformed_cursor");
    harness.finish().await;
}

#[tokio::test]
async fn a_store_sees_its_own_payments_only() {
    let harness = Harness::start().await;
    let (order, id) = harness.captured("tok_ok").await;
    let other = StoreId::new(&harness.clock);
    let both = StoreClaim::Only(vec![other, harness.store]);
    let area = harness
        .owner
        .with_token(harness.identity.user(&[Role::AreaManager], both));
    let own = harness.client_of(Role::StoreManager);
    for client in [&area, &own] {
        let page = client.get("/api/payments").await.expect(200);
        assert_eq!(page["items"].as_array().unwrap().len(), 1);
        let balances = client
            .get("/api/payments/ledger/balances")
            .await
            .expect(200);
        assert_eq!(balances["items"][0]["balance"], usd(AMOUNT));
    }
    let foreign = StoreClaim::Only(vec![other]);
    let foreign = harness
        .owner
        .with_token(harness.identity.user(&[Role::StoreManager], foreign));
    for path in [
        "/api/payments".to_owned(),
        format!("/api/payments?order_id={order}"),
    ] {
        let page = foreign.get(&path).await.expect(200);
        assert_eq!(page["items"].as_array().unwrap().len(), 0, "{path}");
    }
    let balances = foreign
        .get("/api/payments/ledger/balances")
        .await
        .expect(200);
    assert_eq!(balances["items"].as_array().unwrap().len(), 0);
    for path in [
        format!("/api/payments/{id}"),
        format!("/api/payments?store_id={}", harness.store),
        format!("/api/payments/ledger/balances?store_id={}", harness.store),
    ] {
        foreign.get(&path).await.expect_problem(404, "not_found");
    }
    harness.finish().await;
}

#[tokio::test]
async fn crew_and_strangers_read_no_payments() {
    let harness = Harness::start().await;
    for path in ["/api/payments", "/api/payments/ledger/balances"] {
        harness
            .client_of(Role::Crew)
            .get(path)
            .await
            .expect_problem(403, "forbidden");
        harness
            .owner
            .without_token()
            .get(path)
            .await
            .expect_problem(401, "token_missing");
    }
    harness.finish().await;
}

fn id_of(payment: &Value) -> String {
    payment["id"].as_str().unwrap_or_default().to_owned()
}
