//! Placing an order.

use common::auth::{Role, StoreClaim};
use contracts::EventPayload as _;
use contracts::events::OrderConfirmed;
use serde_json::json;

use crate::harness::{Harness, item_body, new_key};
use crate::neighbours::Trouble;

#[tokio::test]
async fn a_good_order_is_confirmed_paid_and_told() {
    let harness = Harness::start().await;
    let api = &harness.api;
    let body = api.order_of(&[(api.pizza, 2), (api.water, 1), (api.pizza, 1)]);
    let reply = api.post_order(&new_key(), &body).await;
    let location = reply.header("location").unwrap().to_owned();
    let order = reply.expect(201);
    assert_eq!(order["status"], "confirmed");
    assert_eq!(order["total"], json!({"amount": 3_750, "currency": "USD"}));
    assert_eq!(order["lines"].as_array().unwrap().len(), 3);
    assert_eq!(order["payment"], json!({"method": "card"}));
    assert_eq!(api.owner.get(&location).await.expect(200), order);
    harness.assert_books_agree(&order);

    let steps = [
        "reserve done",
        "authorize done",
        "commit done",
        "capture done",
    ];
    assert_eq!(api.steps(&order).await, steps);
    let id = order["id"].as_str().unwrap();
    let books = harness.world().books(id);
    assert_eq!(
        (books.token.as_str(), books.method.as_str()),
        ("tok_ok", "card")
    );
    assert_eq!(books.reserved_lines.len(), 3);
    let local_time = order["local_time"].as_str().unwrap();
    assert_eq!(local_time.get(..10), Some(books.store_date.as_str()));
    for (step, command) in harness.world().commands() {
        assert_eq!(command, format!("{id}/{step}"));
    }

    let told = harness
        .around
        .subscriber
        .wait_for_events(OrderConfirmed::TYPE, 1)
        .await;
    let event: OrderConfirmed = serde_json::from_value(told[0]["data"].clone()).unwrap();
    assert_eq!(event.order_id.to_string(), id);
    assert_eq!(event.net_amount, 3_750);
    assert_eq!(event.origin.as_str(), "live");
    let line_numbers: Vec<i32> = event.lines.iter().map(|line| line.line_no).collect();
    assert_eq!(line_numbers, [1, 2, 3]);
    assert_eq!(event.lines[0].item_sku, "hawaiian_m");
    assert_eq!(order["local_time"], event.local_time.to_string());
    harness.stop().await;
}

#[tokio::test]
async fn a_free_order_is_confirmed_without_a_payment() {
    let harness = Harness::start().await;
    let api = &harness.api;
    let body = api.order_of(&[(api.water, 3)]);
    let order = api.post_order(&new_key(), &body).await.expect(201);
    assert_eq!(order["status"], "confirmed");
    assert_eq!(harness.world().steps(), ["reserve", "commit"]);
    harness.stop().await;
}

#[tokio::test]
async fn cash_needs_no_token() {
    let harness = Harness::start().await;
    let mut body = harness.api.order_body();
    body["payment"] = json!({"method": "cash"});
    let order = harness.api.post_order(&new_key(), &body).await.expect(201);
    assert_eq!(order["status"], "confirmed");
    let books = harness.world().books(order["id"].as_str().unwrap());
    assert_eq!((books.token.as_str(), books.method.as_str()), ("", "cash"));
    harness.stop().await;
}

#[tokio::test]
async fn the_same_key_gives_the_same_order_fifty_times_at_once() {
    let harness = Harness::start().await;
    let (api, key) = (&harness.api, new_key());
    harness.world().trouble("authorize", &[Trouble::HoldAfter]);
    let body = api.order_body();
    let first = {
        let (api, key, body) = (api.clone(), key.clone(), body.clone());
        tokio::spawn(async move { api.post_order(&key, &body).await })
    };
    let asked = (0..50).map(|_| api.post_order(&key, &body));
    let ((), replies) = tokio::join!(
        harness.world().wait_for_held_call(),
        futures_util::future::join_all(asked)
    );
    // Whoever came first places the order and waits; the others are told that it is in flight.
    let in_flight = replies.iter().filter(|reply| reply.status == 409).count();
    assert!(in_flight >= 49, "{in_flight} of 50");
    harness.world().go_on();
    let mut orders = Vec::new();
    for reply in replies.into_iter().chain([first.await.unwrap()]) {
        match reply.status {
            409 => assert!(reply.header("retry-after").is_some()),
            _ => orders.push(reply.expect(201)),
        }
    }
    assert_eq!(orders.len(), 1);
    for _ in 0..3 {
        assert_eq!(api.post_order(&key, &body).await.expect(201), orders[0]);
    }
    let listed = api.owner.get("/api/orders").await.expect(200);
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
    assert_eq!(harness.world().count("reserve"), 1);

    let other = api.order_of(&[(api.pizza, 3)]);
    let refused = api.post_order(&key, &other).await;
    refused.expect_problem(422, "idempotency_key_reused");
    let missing = api.owner.post("/api/orders", &body).await;
    missing.expect_problem(400, "idempotency_key_missing");
    harness.stop().await;
}

#[tokio::test]
async fn the_stored_answer_outlives_changes_of_menu_and_order() {
    let harness = Harness::start().await;
    let (api, key) = (&harness.api, new_key());
    let order = api.post_order(&key, &api.order_body()).await.expect(201);
    let mut retired = item_body("hawaiian_m", 9_999);
    retired["active"] = json!(false);
    let path = format!("/api/menu/items/{}", api.pizza);
    let _ = api.owner.put(&path, &retired).await.expect(200);
    let again = api.post_order(&key, &api.order_body()).await.expect(201);
    assert_eq!(again, order);
    assert_eq!(api.order(&order["id"]).await["total"], order["total"]);
    let fresh = api.post_order(&new_key(), &api.order_body()).await;
    assert_eq!(fresh.expect_invalid(), ["lines[0].item_id"]);
    harness.stop().await;
}

#[tokio::test]
async fn a_slow_saga_is_answered_202_and_later_with_its_end() {
    let harness = Harness::start_with(&[("ORDER__ORDERS__ANSWER_WITHIN_MS", "50")]).await;
    let (api, key) = (&harness.api, new_key());
    harness.world().trouble("authorize", &[Trouble::HoldBefore]);
    let reply = api.post_order(&key, &api.order_body()).await;
    let location = reply.header("location").unwrap().to_owned();
    let pending = reply.expect(202);
    assert_eq!(pending["status"], "pending");
    assert!(pending["closed_at"].is_null());
    let again = api.post_order(&key, &api.order_body()).await;
    assert_eq!(again.header("location"), Some(location.as_str()));
    assert_eq!(again.expect(202), pending);

    harness.world().go_on();
    let order = api.wait_for_end(&pending["id"]).await;
    assert_eq!(order["status"], "confirmed");
    let answer = api.post_order(&key, &api.order_body()).await.expect(201);
    assert_eq!(answer, order);
    harness.assert_books_agree(&order);
    harness.stop().await;
}

#[tokio::test]
async fn a_client_that_hangs_up_gets_its_order_nonetheless() {
    let harness = Harness::start().await;
    let api = &harness.api;
    harness.world().trouble("reserve", &[Trouble::HoldAfter]);
    let request = api.owner.request("POST".parse().unwrap(), "/api/orders");
    let request = request
        .header("idempotency-key", new_key())
        .json(&api.order_body());
    let call = tokio::spawn(request.send());
    harness.world().wait_for_held_call().await;
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    harness.world().go_on();
    let listed = api.owner.get("/api/orders").await.expect(200);
    let order = api.wait_for_end(&listed["items"][0]["id"]).await;
    assert_eq!(order["status"], "confirmed");
    harness.stop().await;
}

#[tokio::test]
async fn what_cannot_be_ordered_is_refused_line_by_line() {
    let harness = Harness::start().await;
    let api = &harness.api;
    let (retired, won) = (api.new_item(), api.new_item());
    for (id, sku, change) in [
        (retired, "old", json!({"active": false})),
        (
            won,
            "kimchi",
            json!({"price": {"amount": 5, "currency": "KRW"}}),
        ),
    ] {
        let mut body = item_body(sku, 100);
        for (name, value) in change.as_object().unwrap() {
            body[name] = value.clone();
        }
        let path = format!("/api/menu/items/{id}");
        let _ = api.owner.put(&path, &body).await.expect(200);
    }
    let lines = [(api.pizza, 1), (api.new_item(), 1), (retired, 1), (won, 1)];
    let reply = api.post_order(&new_key(), &api.order_of(&lines)).await;
    let problem = reply.expect_problem(422, "invalid_fields");
    let named: Vec<_> = problem
        .errors
        .iter()
        .map(|error| format!("{} {}", error.field, error.code))
        .collect();
    assert_eq!(
        named,
        [
            "lines[1].item_id unknown_item",
            "lines[2].item_id inactive_item",
            "lines[3].item_id other_currency"
        ]
    );
    for (quantity, count) in [(0, 1), (1_001, 1), (-1, 1), (1, 0), (1, 101)] {
        let lines = vec![(api.pizza, quantity); count];
        let reply = api.post_order(&new_key(), &api.order_of(&lines)).await;
        let fields = reply.expect_invalid();
        assert!(fields[0].starts_with("lines"), "{fields:?}");
    }
    for payment in [
        json!({"method": "card"}),
        json!({"method": "card", "token": "4111 1111 1111 1111"}),
        json!({"method": "card", "token": "4111111111111111"}),
        json!({"method": "cash", "token": "tok_ok"}),
    ] {
        let mut body = api.order_body();
        body["payment"] = payment;
        let reply = api.post_order(&new_key(), &body).await;
        assert_eq!(reply.expect_invalid(), ["payment.token"]);
    }
    assert!(harness.world().steps().is_empty());
    harness.stop().await;
}

#[tokio::test]
async fn nobody_orders_in_a_foreign_store() {
    let harness = Harness::start().await;
    let api = &harness.api;
    let stranger = api.new_store();
    let crew = harness
        .around
        .identity
        .user(&[Role::Crew], StoreClaim::Only(vec![stranger]));
    let crew = api.owner.with_token(crew);
    let refused = crew
        .post_with_key("/api/orders", "k", &api.order_body())
        .await;
    refused.expect_problem(404, "not_found");
    let mut nowhere = api.order_body();
    nowhere["store_id"] = json!(stranger);
    let refused = api.post_order("k", &nowhere).await;
    refused.expect_problem(404, "not_found");

    let order = api.place().await;
    let id = order["id"].as_str().unwrap();
    for path in [
        format!("/api/orders/{id}"),
        format!("/api/orders/{id}/timeline"),
        format!("/api/orders?store_id={}", api.store),
    ] {
        crew.get(&path).await.expect_problem(404, "not_found");
    }
    let listed = crew.get("/api/orders").await.expect(200);
    assert!(listed["items"].as_array().unwrap().is_empty());
    let kiosk = harness.client_of(Role::Kiosk);
    let placed = kiosk
        .post_with_key("/api/orders", "k", &api.order_body())
        .await;
    assert_eq!(placed.expect(201)["status"], "confirmed");
    kiosk
        .get("/api/orders")
        .await
        .expect_problem(403, "forbidden");
    harness.stop().await;
}
