//! Reports over a handful of sales.

use common::auth::Role;
use serde_json::{Value, json};

use crate::harness::Harness;

async fn rows(harness: &Harness, dimension: &str) -> Vec<(String, String, i64, i64, i64)> {
    let path = format!("/api/analytics/sales/by-{dimension}?from=2015-01-01&to=2015-12-31");
    let report = harness.owner.get(&path).await.expect(200);
    let text = |row: &Value, key: &str| row[key].as_str().unwrap().to_owned();
    let items = report["items"].as_array().unwrap();
    items
        .iter()
        .map(|row| {
            (
                text(row, "key"),
                text(row, "name"),
                row["orders"].as_i64().unwrap(),
                row["quantity"].as_i64().unwrap(),
                row["net_sales"]["amount"].as_i64().unwrap(),
            )
        })
        .collect()
}

fn row(
    key: &str,
    name: &str,
    orders: i64,
    quantity: i64,
    net: i64,
) -> (String, String, i64, i64, i64) {
    (key.to_owned(), name.to_owned(), orders, quantity, net)
}

#[tokio::test]
async fn sales_are_summed_and_split() {
    let harness = Harness::start().await;
    let sales = [
        harness.sale(
            "2015-01-01T11:38:36",
            &[("ham", "Classic", 2, 1_000), ("fig", "Veggie", 1, 1_550)],
        ),
        harness.sale("2015-01-05T12:00:00", &[("ham", "Classic", 1, 1_000)]),
        harness.sale(
            "2015-02-05T12:59:59",
            &[("ham", "Classic", 1, 1_000), ("ham", "Classic", 1, 1_000)],
        ),
    ];
    let events: Vec<Value> = sales
        .iter()
        .map(|sale| harness.confirmation(sale))
        .collect();
    assert_eq!(harness.tell(&events).await, ["done", "done", "done"]);

    let usd = |amount: i64| json!({"amount": amount, "currency": "USD"});
    assert_eq!(
        harness.summary().await,
        json!({
            "orders": 3, "items_sold": 6, "gross_sales": usd(6_550), "refunds": usd(0),
            "net_sales": usd(6_550), "average_order_value": usd(2_183), "days_with_sales": 3,
        })
    );
    assert_eq!(
        rows(&harness, "product").await,
        [
            row("ham", "The ham", 3, 5, 5_000),
            row("fig", "The fig", 1, 1, 1_550)
        ]
    );
    assert_eq!(
        rows(&harness, "item").await[0],
        row("ham_m", "The ham M", 3, 5, 5_000)
    );
    assert_eq!(rows(&harness, "category").await[0].0, "Classic");
    assert_eq!(
        rows(&harness, "hour").await,
        [
            row("11", "11:00", 1, 3, 3_550),
            row("12", "12:00", 2, 3, 3_000)
        ]
    );
    assert_eq!(
        rows(&harness, "weekday").await,
        [
            row("1", "Monday", 1, 1, 1_000),
            row("4", "Thursday", 2, 5, 5_550)
        ]
    );
    assert_eq!(
        rows(&harness, "month").await,
        [
            row("2015-01", "2015-01", 2, 4, 4_550),
            row("2015-02", "2015-02", 1, 2, 2_000)
        ]
    );
    assert_eq!(
        rows(&harness, "day").await[0],
        row("2015-01-01", "2015-01-01", 1, 3, 3_550)
    );
    harness.stop().await;
}

#[tokio::test]
async fn a_period_without_sales_is_all_zeros() {
    let harness = Harness::start().await;
    let none = json!({"amount": 0, "currency": "XXX"});
    let summary = harness.summary().await;
    assert_eq!(
        (&summary["orders"], &summary["net_sales"]),
        (&json!(0), &none)
    );
    assert_eq!(rows(&harness, "hour").await, []);
    harness.stop().await;
}

#[tokio::test]
async fn only_own_stores_and_only_sensible_periods() {
    let harness = Harness::start().await;
    let sale = harness.sale("2015-01-01T11:38:36", &[("ham", "Classic", 1, 1_000)]);
    harness.tell(&[harness.confirmation(&sale)]).await;
    let manager = harness.client_of(Role::StoreManager);
    let base = "/api/analytics/sales/summary";
    let own = manager
        .get(&format!("{base}?from=2015-01-01&to=2015-01-02"))
        .await
        .expect(200);
    assert_eq!(own["orders"], 1, "the only store of an account is implied");
    let foreign = uuid::Uuid::new_v4();
    let path = format!("{base}?from=2015-01-01&to=2015-01-02&store_id={foreign}");
    manager.get(&path).await.expect_problem(404, "not_found");
    let crew = harness.client_of(Role::Crew).get(&path).await;
    crew.expect_problem(403, "forbidden");
    let backwards = harness
        .owner
        .get(&format!("{base}?from=2015-01-02&to=2015-01-01"))
        .await;
    assert_eq!(backwards.expect_invalid(), ["to"]);
    let endless = harness
        .owner
        .get(&format!("{base}?from=0001-01-01&to=9999-01-01"))
        .await;
    endless.expect_problem(422, "period_too_long");
    let unknown = "/api/analytics/sales/by-moon?from=2015-01-01&to=2015-01-02";
    harness
        .owner
        .get(unknown)
        .await
        .expect_problem(404, "not_found");
    let missing = harness.owner.get(base).await;
    missing.expect_problem(400, "malformed_query");
    harness.stop().await;
}

#[tokio::test]
async fn two_currencies_are_never_added() {
    let harness = Harness::start().await;
    let usd = harness.sale("2015-01-01T11:00:00", &[("ham", "Classic", 1, 1_000)]);
    let mut krw = harness.sale("2015-01-01T11:00:00", &[("ham", "Classic", 1, 9_000)]);
    krw.currency = "KRW".parse().unwrap();
    krw.store_id = common::ids::StoreId::from_uuid(uuid::Uuid::new_v4());
    harness
        .tell(&[harness.confirmation(&usd), harness.confirmation(&krw)])
        .await;
    let path = "/api/analytics/sales/summary?from=2015-01-01&to=2015-12-31";
    harness
        .owner
        .get(path)
        .await
        .expect_problem(422, "mixed_currencies");
    let one = harness
        .owner
        .get(&format!("{path}&store_id={}", krw.store_id))
        .await
        .expect(200);
    assert_eq!(
        one["net_sales"],
        json!({"amount": 9_000, "currency": "KRW"})
    );
    harness.stop().await;
}
