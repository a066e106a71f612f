//! The walk of a newcomer: start, import a year, read the report, sell, watch a fridge.

use std::time::Duration;

use serde_json::{Value, json};

use crate::system::{System, finish, project};

const YEAR: &str = "from=2015-01-01&to=2015-12-31";

async fn import(system: &System) -> String {
    let (map, folder) = (
        project("imports/pizza-place.toml"),
        project("imports/pizza-place"),
    );
    let arguments = [
        "import",
        "orders",
        "--strict",
        "--map",
        map.to_str().unwrap(),
        folder.to_str().unwrap(),
    ];
    system.maru(&arguments).await
}

async fn report(system: &System, name: &str) -> Value {
    let path = format!("/api/analytics/sales/{name}?{YEAR}");
    system.client.get(&path).await.expect(200)
}

/// Waits until every imported order has reached the read model.
async fn wait_for_report(system: &System) -> Value {
    let deadline = std::time::Instant::now() + Duration::from_secs(180);
    loop {
        let summary = report(system, "summary").await;
        if summary["orders"] == 21_350 {
            return summary;
        }
        assert!(
            std::time::Instant::now() < deadline,
            "the report stays at {summary}"
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

fn row<'a>(report: &'a Value, key: &str) -> &'a Value {
    let rows = report["items"].as_array().expect("rows");
    rows.iter()
        .find(|row| row["key"] == key)
        .unwrap_or_else(|| panic!("no row {key}: {report}"))
}

/// Every figure that was published about the year.
async fn assert_published_figures(system: &System) {
    let summary = report(system, "summary").await;
    let usd = |amount: i64| json!({"amount": amount, "currency": "USD"});
    assert_eq!(summary["orders"], 21_350);
    assert_eq!(summary["items_sold"], 49_574);
    assert_eq!(summary["net_sales"], usd(81_786_005));
    assert_eq!(summary["average_order_value"], usd(3_831));
    assert_eq!(summary["days_with_sales"], 358);

    let products = report(system, "by-product").await;
    let rows = products["items"].as_array().expect("rows");
    assert_eq!(rows.len(), 32);
    assert_eq!(rows[0]["name"], "The Thai Chicken Pizza");
    assert_eq!(rows[0]["net_sales"], usd(4_343_425));
    let sold = |row: &Value| row["quantity"].as_i64().expect("a quantity");
    let most = rows.iter().max_by_key(|row| sold(row)).expect("rows");
    assert_eq!(
        (&most["name"], sold(most)),
        (&json!("The Classic Deluxe Pizza"), 2_453)
    );
    let least = rows.iter().min_by_key(|row| sold(row)).expect("rows");
    assert_eq!(
        (&least["name"], sold(least)),
        (&json!("The Brie Carre Pizza"), 490)
    );

    let hours = report(system, "by-hour").await;
    assert_eq!(row(&hours, "12")["orders"], 2_520);
    assert_eq!(row(&hours, "13")["orders"], 2_455);
    let weekdays = report(system, "by-weekday").await;
    let orders: Vec<i64> = weekdays["items"]
        .as_array()
        .expect("rows")
        .iter()
        .map(|row| row["orders"].as_i64().expect("orders"))
        .collect();
    assert_eq!(orders, [2_794, 2_973, 3_024, 3_239, 3_538, 3_158, 2_624]);
    let months = report(system, "by-month").await;
    assert_eq!(row(&months, "2015-07")["net_sales"], usd(7_255_790));
    let best = months["items"]
        .as_array()
        .expect("rows")
        .iter()
        .max_by_key(|row| row["net_sales"]["amount"].as_i64());
    assert_eq!(best.expect("months")["key"], "2015-07");
    assert_eq!(
        report(system, "by-day").await["items"]
            .as_array()
            .map(Vec::len),
        Some(358)
    );
    assert_eq!(
        report(system, "by-category").await["items"]
            .as_array()
            .map(Vec::len),
        Some(4)
    );
    assert_eq!(
        report(system, "by-item").await["items"]
            .as_array()
            .map(Vec::len),
        Some(91)
    );
}

#[tokio::test]
async fn a_year_is_imported_reported_to_the_cent_and_sold_from() {
    let system = System::start().await;
    system.maru(&["status"]).await;

    // Killed in the middle and begun again, it ends the same.
    let (map, folder) = (
        project("imports/pizza-place.toml"),
        project("imports/pizza-place"),
    );
    let mut first = system.spawn(&[
        "import",
        "orders",
        "--map",
        map.to_str().unwrap(),
        folder.to_str().unwrap(),
    ]);
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    while report(&system, "summary").await["orders"]
        .as_i64()
        .unwrap_or(0)
        < 1_000
    {
        assert!(
            std::time::Instant::now() < deadline,
            "the import does not begin"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    first.start_kill().expect("killed");
    let _ = finish(first).await;
    import(&system).await;
    wait_for_report(&system).await;
    assert_published_figures(&system).await;

    // A second import changes nothing.
    import(&system).await;
    assert_published_figures(&system).await;

    sell_and_cancel(&system).await;
    watch_devices(&system).await;
    system.verify(&[]).await;
    system.stop().await;
}

async fn sell_and_cancel(system: &System) {
    system.maru(&["demo"]).await;
    let stores = system.client.get("/api/stores").await.expect(200);
    let items = system
        .client
        .get("/api/menu/items?limit=1")
        .await
        .expect(200);
    let order = |token: &str| {
        json!({
            "store_id": stores["items"][0]["id"], "channel": "takeaway",
            "lines": [{"item_id": items["items"][0]["id"], "quantity": 1}],
            "payment": {"method": "card", "token": token},
        })
    };
    for (token, status, reason) in [
        ("tok_ok", "confirmed", Value::Null),
        ("tok_declined", "cancelled", json!("payment_declined")),
        ("tok_timeout_after_success", "confirmed", Value::Null),
        ("tok_slow", "confirmed", Value::Null),
        (
            "tok_network_error",
            "cancelled",
            json!("payment_unavailable"),
        ),
    ] {
        let placed = system
            .client
            .post_with_key("/api/orders", token, &order(token))
            .await;
        let placed: Value = placed.json();
        let path = format!("/api/orders/{}", placed["id"].as_str().expect("an id"));
        let deadline = std::time::Instant::now() + Duration::from_secs(60);
        let ended = loop {
            let now = system.client.get(&path).await.expect(200);
            if now["status"] != "pending" {
                break now;
            }
            assert!(std::time::Instant::now() < deadline, "{token}: {now}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        assert_eq!(
            (&ended["status"], &ended["cancel_reason"]),
            (&json!(status), &reason),
            "{token}"
        );
        let timeline = system
            .client
            .get(&format!("{path}/timeline"))
            .await
            .expect(200);
        assert!(timeline.to_string().contains("reserve"), "{timeline}");
        if token == "tok_ok" {
            let body = json!({"reason": "guest_request"});
            let cancelled = system
                .client
                .post_with_key(&format!("{path}/cancel"), "cancel-1", &body)
                .await;
            assert!(cancelled.status < 300, "{cancelled}");
        }
    }
}

async fn watch_devices(system: &System) {
    let mqtt = system.mqtt_url();
    let arguments = [
        "--count",
        "10",
        "--duration",
        "5",
        "--interval",
        "200",
        "--json",
    ];
    let out = system
        .maru(
            &[
                &["simulate", "devices", "--mqtt", &mqtt],
                arguments.as_slice(),
            ]
            .concat(),
        )
        .await;
    let summary: Value = serde_json::from_str(&out).expect("a summary");
    assert!(summary["acknowledged"].as_u64() > Some(50), "{summary}");
    assert_eq!(summary["unacknowledged"], 0, "{summary}");
    let devices = system.client.get("/api/iot/devices").await.expect(200);
    let first = devices["items"][0]["id"].as_str().expect("a device");
    let mut readings = 0;
    for device in devices["items"].as_array().expect("devices") {
        let path = format!(
            "/api/iot/devices/{}/latest",
            device["id"].as_str().expect("an id")
        );
        let latest = system.client.get(&path).await.expect(200);
        readings += latest["items"].as_array().expect("readings").len();
    }
    assert!(
        readings > 10,
        "devices such as {first} have {readings} metrics in all"
    );
}
