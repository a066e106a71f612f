//! The provider's book beside ours.

use common::auth::Role;
use serde_json::json;

use crate::harness::Harness;

const PATH: &str = "/internal/reconciliation";

#[tokio::test]
async fn books_that_agree_show_no_difference() {
    let harness = Harness::start().await;
    let commands = harness.commands();
    let (_, id) = harness.captured("tok_ok").await;
    let _ = harness.refund(id, "k", 100).await.expect(201);
    commands
        .authorize(harness.new_order(), "tok_declined")
        .await;
    commands
        .authorize(harness.new_order(), "tok_network_error")
        .await;
    commands.pay_cash(harness.new_order()).await;
    let report = harness.owner.get(PATH).await.expect(200);
    assert_eq!(report["agrees"], true, "{report}");
    assert_eq!(
        (report["operations"].clone(), report["book_entries"].clone()),
        (json!(5), json!(4))
    );
    assert_eq!(report["difference_count"], 0);
    assert_eq!(report["unbalanced_transactions"], 0);
    assert_eq!(report["accounts"].as_array().unwrap().len(), 2, "{report}");
    harness.finish().await;
}

#[tokio::test]
async fn every_kind_of_difference_is_found() {
    let harness = Harness::start().await;
    for _ in 0..3 {
        harness.captured("tok_ok").await;
    }
    let mut tx = harness.db.begin().await.unwrap();
    let keys: Vec<(uuid::Uuid,)> = store::fetch_all!(
        tx,
        (uuid::Uuid,),
        "SELECT key FROM sandbox_operations WHERE kind = 'capture' ORDER BY key"
    )
    .unwrap();
    let stranger = uuid::Uuid::new_v4();
    store::execute!(
        tx,
        "UPDATE sandbox_operations SET amount = 1 WHERE key = $1",
        keys[0].0
    )
    .unwrap();
    store::execute!(
        tx,
        "DELETE FROM sandbox_operations WHERE key = $1",
        keys[1].0
    )
    .unwrap();
    store::execute!(
        tx,
        "INSERT INTO sandbox_operations
             (key, kind, reference, amount, currency, decline, done_at, recorded_at)
         SELECT $1, kind, reference, amount, currency, decline, done_at, recorded_at
         FROM sandbox_operations WHERE key = $2",
        stranger,
        keys[2].0
    )
    .unwrap();
    tx.commit().await.unwrap();

    let report = harness.owner.get(PATH).await.expect(200);
    assert_eq!(report["agrees"], false);
    assert_eq!(report["difference_count"], 3);
    let mut found: Vec<(String, String)> = report["differences"]
        .as_array()
        .unwrap()
        .iter()
        .map(|difference| {
            let text = |field: &str| difference[field].as_str().unwrap().to_owned();
            (text("kind"), text("operation_id"))
        })
        .collect();
    found.sort();
    let expected = [
        ("differs".to_owned(), keys[0].0.to_string()),
        ("missing_here".to_owned(), stranger.to_string()),
        ("missing_there".to_owned(), keys[1].0.to_string()),
    ];
    assert_eq!(found, expected);
    harness.stop().await;
}

#[tokio::test]
async fn a_tampered_ledger_is_found() {
    let harness = Harness::start().await;
    harness.captured("tok_ok").await;
    let mut tx = harness.db.begin().await.unwrap();
    store::execute!(
        tx,
        "UPDATE ledger_entries SET amount = amount + 1 WHERE account = 'provider_clearing'"
    )
    .unwrap();
    tx.commit().await.unwrap();
    let report = harness.owner.get(PATH).await.expect(200);
    assert_eq!(report["agrees"], false);
    assert_eq!(report["unbalanced_transactions"], 1);
    assert_eq!(report["difference_count"], 0);
    harness.stop().await;
}

#[tokio::test]
async fn only_services_and_operators_compare_books() {
    let harness = Harness::start().await;
    let service = harness.owner.with_token(harness.identity.service("order"));
    let _ = service.get(PATH).await.expect(200);
    let manager = harness.client_of(Role::StoreManager);
    manager.get(PATH).await.expect_problem(403, "forbidden");
    let nobody = harness.owner.without_token();
    nobody.get(PATH).await.expect_problem(401, "token_missing");
    harness.finish().await;
}
