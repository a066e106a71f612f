//! Listing orders.

use common::auth::{Role, StoreClaim};
use serde_json::{Value, json};

use crate::harness::{Harness, new_key};
use crate::neighbours::Trouble;

async fn ids(client: &testkit::ApiClient, query: &str) -> Vec<Value> {
    let mut seen = Vec::new();
    let mut path = format!("/api/orders?limit=2{query}");
    loop {
        let page = client.get(&path).await.expect(200);
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= 2);
        seen.extend(items.iter().map(|order| order["id"].clone()));
        match page["next_cursor"].as_str() {
            Some(cursor) => path = format!("/api/orders?limit=2{query}&cursor={cursor}"),
            None => return seen,
        }
    }
}

#[tokio::test]
async fn orders_come_newest_first_in_pages_and_by_filter() {
    let harness = Harness::start().await;
    let api = &harness.api;
    let second = api.new_store();
    api.open_store(second).await;
    let mut placed = Vec::new();
    for number in 0..5 {
        let mut body = api.order_body();
        if number % 2 == 1 {
            body["store_id"] = json!(second);
        }
        let order = api.post_order(&new_key(), &body).await.expect(201);
        placed.insert(0, order["id"].clone());
    }
    harness.world().trouble("reserve", &[Trouble::Refuse]);
    let cancelled = api.place().await["id"].clone();
    placed.insert(0, cancelled.clone());

    let owner = &api.owner;
    assert_eq!(ids(owner, "").await, placed);
    assert_eq!(ids(owner, "&status=cancelled").await, [cancelled]);
    assert_eq!(ids(owner, "&status=confirmed").await, placed[1..]);
    assert_eq!(ids(owner, "&origin=live").await, placed);
    assert!(ids(owner, "&origin=imported").await.is_empty());
    let of_second = [placed[2].clone(), placed[4].clone()];
    assert_eq!(ids(owner, &format!("&store_id={second}")).await, of_second);
    let today = api.order(&placed[0]).await["business_date"].clone();
    let today = today.as_str().unwrap();
    assert_eq!(
        ids(owner, &format!("&from={today}&to={today}")).await,
        placed
    );
    assert!(ids(owner, "&to=2015-12-31").await.is_empty());

    let both = StoreClaim::Only(vec![second, api.store]);
    let manager = harness.around.identity.user(&[Role::AreaManager], both);
    assert_eq!(ids(&owner.with_token(manager), "").await, placed);
    let crew = harness.around.identity.user_of(Role::Crew, second);
    assert_eq!(ids(&owner.with_token(crew), "").await, of_second);
    harness.stop().await;
}

#[tokio::test]
async fn a_query_that_makes_no_sense_is_refused() {
    let harness = Harness::start().await;
    let owner = &harness.api.owner;
    for (query, fields) in [
        ("limit=0", vec!["limit"]),
        ("limit=201", vec!["limit"]),
        ("from=2015-02-01&to=2015-01-01", vec!["to"]),
    ] {
        let reply = owner.get(&format!("/api/orders?{query}")).await;
        assert_eq!(reply.expect_invalid(), fields, "{query}");
    }
    for query in [
        "status=eaten",
        "from=2015-02-30",
        "colour=red",
        "store_id=7",
    ] {
        let reply = owner.get(&format!("/api/orders?{query}")).await;
        reply.expect_problem(400, "malformed_query");
    }
    let reply = owner.get("/api/orders?cursor=bm90aGluZw").await;
    reply.expect_problem(400, "malformed_cursor");
    owner
        .get("/api/orders/7")
        .await
        .expect_problem(404, "not_found");
    let unknown = format!("/api/orders/{}", new_key());
    owner.get(&unknown).await.expect_problem(404, "not_found");
    let timeline = owner.get(&format!("{unknown}/timeline")).await;
    timeline.expect_problem(404, "not_found");
    harness.stop().await;
}
