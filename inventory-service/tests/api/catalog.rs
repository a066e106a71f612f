//! Products and recipes.

use common::auth::Role;
use common::page::encode_cursor;
use serde_json::json;
use testkit::ApiClient;

use crate::harness::Harness;

#[tokio::test]
async fn a_product_is_saved_twice_and_exists_once() {
    let harness = Harness::start().await;
    let product = harness.product("mozzarella").await;
    let path = format!("/api/inventory/products/{product}");
    let body = json!({"sku": "mozzarella", "name": "Mozzarella", "unit": "g"});
    let saved = harness.owner.put(&path, &body).await.expect(200);
    assert_eq!(saved["name"], "Mozzarella");
    let page = harness
        .owner
        .get("/api/inventory/products")
        .await
        .expect(200);
    assert_eq!(page["items"].as_array().unwrap().len(), 1);
    harness.stop().await;
}

#[tokio::test]
async fn two_products_cannot_share_a_sku() {
    let harness = Harness::start().await;
    harness.product("flour").await;
    let path = format!("/api/inventory/products/{}", uuid::Uuid::new_v4());
    let body = json!({"sku": "flour", "name": "Other flour", "unit": "g"});
    harness
        .owner
        .put(&path, &body)
        .await
        .expect_problem(409, "sku_taken");
    harness.stop().await;
}

#[tokio::test]
async fn products_come_in_pages_without_gaps() {
    let harness = Harness::start().await;
    for sku in ["a", "b", "c", "d", "e"] {
        harness.product(sku).await;
    }
    let mut seen = Vec::new();
    let mut path = "/api/inventory/products?limit=2".to_owned();
    loop {
        let page = harness.owner.get(&path).await.expect(200);
        let items = page["items"].as_array().unwrap();
        seen.extend(
            items
                .iter()
                .map(|item| item["sku"].as_str().unwrap().to_owned()),
        );
        match page["next_cursor"].as_str() {
            Some(cursor) => path = format!("/api/inventory/products?limit=2&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(seen, ["a", "b", "c", "d", "e"]);
    let bad = harness
        .owner
        .get("/api/inventory/products?cursor=nonsense")
        .await;
    bad.expect_problem(400, "malformed_cursor");
    // No SKU holds a NUL, and PostgreSQL has no text that does.
    let path = format!("/api/inventory/products?cursor={}", encode_cursor(&"a\0"));
    let bad = harness.owner.get(&path).await;
    bad.expect_problem(400, "malformed_cursor");
    harness.stop().await;
}

#[tokio::test]
async fn a_recipe_is_replaced_as_a_whole() {
    let harness = Harness::start().await;
    let (dough, sauce) = (
        harness.product("dough").await,
        harness.product("sauce").await,
    );
    let item = harness.item(&[(dough, 250), (sauce, 80)]).await;
    let path = format!("/api/inventory/recipes/{item}");
    let body = json!({"lines": [{"product_id": dough, "quantity": 300}]});
    let _ = harness.owner.put(&path, &body).await.expect(200);
    let recipe = harness.owner.get(&path).await.expect(200);
    assert_eq!(
        recipe["lines"],
        json!([{"product_id": dough, "quantity": 300}])
    );
    harness.stop().await;
}

#[tokio::test]
async fn a_recipe_with_bad_lines_changes_nothing() {
    let harness = Harness::start().await;
    let dough = harness.product("dough").await;
    let item = harness.item(&[(dough, 250)]).await;
    let path = format!("/api/inventory/recipes/{item}");
    let unknown = json!({"lines": [{"product_id": uuid::Uuid::new_v4(), "quantity": 1}]});
    harness
        .owner
        .put(&path, &unknown)
        .await
        .expect_problem(422, "unknown_product");
    let twice = json!({"lines": [
        {"product_id": dough, "quantity": 1},
        {"product_id": dough, "quantity": 0},
    ]});
    let fields = harness.owner.put(&path, &twice).await.expect_invalid();
    assert_eq!(fields, ["lines[1].quantity", "lines[1].product_id"]);
    let recipe = harness.owner.get(&path).await.expect(200);
    assert_eq!(recipe["lines"][0]["quantity"], 250);
    harness.stop().await;
}

#[tokio::test]
async fn only_those_who_may_change_the_catalog() {
    let harness = Harness::start().await;
    let path = format!("/api/inventory/products/{}", uuid::Uuid::new_v4());
    let body = json!({"sku": "x", "name": "X", "unit": "g"});
    let crew = harness.client_of(Role::Crew);
    crew.put(&path, &body)
        .await
        .expect_problem(403, "forbidden");
    crew.get(&path).await.expect_problem(404, "not_found");
    let nobody: ApiClient = harness.owner.without_token();
    nobody
        .put(&path, &body)
        .await
        .expect_problem(401, "token_missing");
    harness.stop().await;
}
