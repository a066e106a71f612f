//! The menu.

use common::auth::Role;
use serde_json::json;

use crate::harness::{Harness, item_body};

#[tokio::test]
async fn an_item_is_saved_under_the_id_of_the_clients_choice() {
    let harness = Harness::start().await;
    let (api, id) = (&harness.api, harness.api.new_item());
    let path = format!("/api/menu/items/{id}");
    api.owner.get(&path).await.expect_problem(404, "not_found");
    let saved = api.put_item(id, "veggie_s", 1_200).await.expect(200);
    assert_eq!(api.put_item(id, "veggie_s", 1_200).await.expect(200), saved);
    assert_eq!(api.owner.get(&path).await.expect(200), saved);
    assert_eq!(saved["active"], true);
    assert_eq!(saved["price"], json!({"amount": 1_200, "currency": "USD"}));

    let taken = api.put_item(api.new_item(), "veggie_s", 1).await;
    taken.expect_problem(409, "sku_taken");
    harness.stop().await;
}

#[tokio::test]
async fn what_cannot_be_sold_is_refused_field_by_field() {
    let harness = Harness::start().await;
    let path = format!("/api/menu/items/{}", harness.api.new_item());
    let mut body = item_body("", -1);
    body["name"] = json!("a\nb");
    let reply = harness.api.owner.put(&path, &body).await;
    assert_eq!(reply.expect_invalid(), ["sku", "name", "price.amount"]);
    let mut body = item_body("x", 1);
    body["id"] = json!(harness.api.new_item());
    let reply = harness.api.owner.put(&path, &body).await;
    assert_eq!(reply.expect_invalid(), ["id"]);
    let reply = harness.api.owner.put("/api/menu/items/7", &body).await;
    reply.expect_problem(404, "not_found");
    let crew = harness.client_of(Role::Crew);
    let reply = crew.put(&path, &item_body("x", 1)).await;
    reply.expect_problem(403, "forbidden");
    harness.stop().await;
}

#[tokio::test]
async fn the_menu_comes_in_pages_and_by_category() {
    let harness = Harness::start().await;
    let api = &harness.api;
    for sku in ["a", "b", "c"] {
        let mut body = item_body(sku, 100);
        body["category"] = json!("Drinks");
        body["active"] = json!(sku != "b");
        let path = format!("/api/menu/items/{}", api.new_item());
        let _ = api.owner.put(&path, &body).await.expect(200);
    }
    let mut seen = Vec::new();
    let mut path = "/api/menu/items?category=Drinks&limit=2".to_owned();
    loop {
        let page = api.owner.get(&path).await.expect(200);
        let items = page["items"].as_array().unwrap().clone();
        seen.extend(items.iter().map(|item| item["sku"].clone()));
        match page["next_cursor"].as_str() {
            Some(cursor) => {
                path = format!("/api/menu/items?category=Drinks&limit=2&cursor={cursor}");
            }
            None => break,
        }
    }
    assert_eq!(seen, ["a", "b", "c"]);
    let path = "/api/menu/items?category=Drinks&active=false";
    let inactive = api.owner.get(path).await.expect(200);
    assert_eq!(inactive["items"].as_array().unwrap().len(), 1);
    let bad = api.owner.get("/api/menu/items?cursor=%2B").await;
    bad.expect_problem(400, "malformed_cursor");
    harness.stop().await;
}
