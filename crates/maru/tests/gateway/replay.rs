//! Replayed orders are each placed once, whatever fails, and each one's end is known or said to be
//! unknown.

use serde_json::Value;

use crate::fake_gateway::FakeGateway;
use crate::import::{export, import};
use crate::program::{Ended, run};

/// A gateway with ten imported orders.
fn with_orders(data: &std::path::Path) -> FakeGateway {
    let gateway = FakeGateway::start();
    let mut orders = "order_id,date,time\n".to_owned();
    let mut details = "order_details_id,order_id,pizza_id,quantity\n".to_owned();
    for number in 0..10 {
        orders += &format!("{number},2015-03-01,12:30:00\n");
        details += &format!(
            "1,{number},hawaiian_m,1\n2,{number},hawaiian_m,2\n3,{number},ckn_pesto_l,1\n"
        );
    }
    let ended = import(&gateway, data, export(orders, details).path(), &[]);
    assert_eq!(ended.code, 0, "{ended:?}");
    gateway
}

fn replay(gateway: &FakeGateway, data: &std::path::Path, more: &[&str]) -> (Ended, Value) {
    let mut words = vec!["replay", "orders", "--json", "--rate", "200"];
    words.extend(more);
    let ended = run(gateway, data, &words);
    let summary = serde_json::from_str(&ended.out).unwrap_or(Value::Null);
    (ended, summary)
}

#[test]
fn imported_orders_are_placed_again_as_live_ones() {
    let data = tempfile::tempdir().unwrap();
    let gateway = with_orders(data.path());
    let (ended, summary) = replay(&gateway, data.path(), &["--seed-stock"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    for (figure, expected) in [
        ("orders", 10),
        ("placed", 10),
        ("confirmed", 10),
        ("cancelled", 0),
        ("unresolved", 0),
    ] {
        assert_eq!(summary[figure], expected, "{figure}: {summary}");
    }
    assert!(summary["end_ms"]["p99"].as_u64().unwrap() > 0);
    let world = gateway.world();
    assert_eq!(world.live.len(), 10);
    let body = &world.live.values().next().unwrap().body;
    // Lines of one item become one.
    assert_eq!(body["lines"].as_array().unwrap().len(), 2, "{body}");
    assert_eq!(body["payment"]["token"], "tok_ok");
    assert_eq!(world.receipts.len(), world.products.len());
}

#[test]
fn no_order_is_placed_twice_whatever_fails() {
    let data = tempfile::tempdir().unwrap();
    let gateway = with_orders(data.path());
    for (on, times, status, takes_effect) in [
        ("POST /api/orders", 5, 502, true),
        ("POST /api/orders", 5, 500, true),
        ("POST /api/orders", 3, 503, false),
        ("GET /api/orders/", 6, 503, false),
        ("GET /api/orders/", 2, 404, false),
        ("GET /api/orders?", 1, 502, false),
    ] {
        gateway.fail(on, times, status, takes_effect);
    }
    let (ended, summary) = replay(
        &gateway,
        data.path(),
        &["--count", "25", "--run-id", "chaos"],
    );
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(
        (&summary["placed"], &summary["confirmed"]),
        (&25.into(), &25.into()),
        "{summary}"
    );
    // The list was gone through twice and a half: 25 keys, 25 orders.
    assert_eq!(gateway.world().live.len(), 25);
    // The same run again places nothing new.
    let (_, again) = replay(
        &gateway,
        data.path(),
        &["--count", "25", "--run-id", "chaos"],
    );
    assert_eq!(again["confirmed"], 25);
    assert_eq!(gateway.world().live.len(), 25);
}

#[test]
fn cancelled_and_refused_orders_are_told_apart() {
    let data = tempfile::tempdir().unwrap();
    let gateway = with_orders(data.path());
    gateway.fail("POST /api/orders", 1, 422, false);
    let (ended, summary) = replay(
        &gateway,
        data.path(),
        &["--token", "tok_ok", "--token", "tok_declined"],
    );
    assert_eq!(ended.code, 1, "{ended:?}");
    assert_eq!(summary["failed_by_code"]["scripted"], 1, "{summary}");
    let ended = |name: &str| summary[name].as_u64().unwrap();
    assert_eq!(ended("confirmed") + ended("cancelled"), 9);
    assert_eq!(
        summary["cancelled_by_reason"]["payment_declined"],
        summary["cancelled"]
    );
}

#[test]
fn an_order_without_an_end_is_said_to_be_unresolved() {
    let data = tempfile::tempdir().unwrap();
    let gateway = with_orders(data.path());
    gateway.world().stuck = true;
    let (ended, summary) = replay(
        &gateway,
        data.path(),
        &["--count", "2", "--settle-timeout", "1"],
    );
    assert_eq!(ended.code, 1, "{ended:?}");
    assert_eq!(
        (&summary["placed"], &summary["unresolved"]),
        (&2.into(), &2.into()),
        "{summary}"
    );
    let named = summary["unresolved_orders"][0].as_str().unwrap();
    assert!(named.contains("still pending"), "{named}");
}

#[test]
fn without_imported_orders_there_is_nothing_to_replay() {
    let gateway = FakeGateway::start();
    let data = tempfile::tempdir().unwrap();
    let (ended, _) = replay(&gateway, data.path(), &[]);
    assert_eq!(ended.code, 1);
    assert!(ended.err.contains("maru import orders"), "{}", ended.err);
}
