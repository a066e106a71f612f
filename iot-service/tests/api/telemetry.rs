//! From a device's publication to a stored row.

use serde_json::{Value, json};
use testkit::database::Profile;
use testkit::wait_until;

use crate::harness::Harness;

fn message(minute: u32, temperature: f64) -> Value {
    json!({
        "measured_at": format!("2026-03-01T09:{minute:02}:00Z"),
        "metrics": {"temperature_c": temperature, "door_open": 0},
    })
}

async fn count(harness: &Harness, device: &Value, query: &str) -> usize {
    harness.readings(device, query).await["items"]
        .as_array()
        .unwrap()
        .len()
}

/// All readings, page by page, as time and metric.
async fn pages(harness: &Harness, device: &Value, query: &str) -> Vec<String> {
    let (mut cursor, mut seen) = (String::new(), Vec::new());
    loop {
        let page = harness.readings(device, &format!("{query}{cursor}")).await;
        seen.extend(page["items"].as_array().unwrap().iter().map(|row| {
            format!(
                "{} {}",
                row["measured_at"].as_str().unwrap(),
                row["metric"].as_str().unwrap()
            )
        }));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return seen,
        }
    }
}

#[tokio::test]
async fn an_acknowledged_reading_is_stored_and_survives_a_restart() {
    let harness = Harness::start().await;
    let registered = harness.device().await;
    let mut device = harness.connect(&registered).await.unwrap();
    for minute in 0..5 {
        device
            .publish(&message(minute, 3.5 + f64::from(minute)))
            .await
            .unwrap();
    }
    // The same reading again is the same reading.
    device.publish(&message(0, 3.5)).await.unwrap();
    if harness.profile == Profile::Infrastructure {
        // There the broker acknowledges to the device, and hands the reading on to us.
        wait_until("all readings are handed on", || async {
            count(&harness, &registered, "metric=temperature_c").await == 5
        })
        .await;
    }
    let harness = harness.restart().await;
    assert_eq!(
        count(&harness, &registered, "metric=temperature_c").await,
        5
    );
    assert_eq!(count(&harness, &registered, "").await, 10);
    let window = "metric=temperature_c&from=2026-03-01T09:01:00Z&to=2026-03-01T09:03:00Z";
    assert_eq!(count(&harness, &registered, window).await, 2);

    let path = format!(
        "/api/iot/devices/{}/latest",
        registered["id"].as_str().unwrap()
    );
    let latest = harness.owner.get(&path).await.expect(200);
    assert_eq!(latest["items"][0]["metric"], "door_open");
    assert_eq!(latest["items"][1]["value"], 7.5);
    harness.stop().await;
}

#[tokio::test]
async fn readings_come_in_pages_without_gaps() {
    let harness = Harness::start().await;
    let registered = harness.device().await;
    let mut device = harness.connect(&registered).await.unwrap();
    for minute in 0..7 {
        device.publish(&message(minute, 1.0)).await.unwrap();
    }
    wait_until("all readings are stored", || async {
        count(&harness, &registered, "limit=200").await == 14
    })
    .await;
    for (query, expected) in [
        ("limit=4", 14),
        ("limit=4&metric=door_open", 7),
        (
            "limit=3&from=2026-03-01T09:02:00Z&to=2026-03-01T09:06:00Z",
            8,
        ),
        (
            "limit=1&metric=door_open&from=2026-03-01T09:02:00Z&to=2026-03-01T09:06:00Z",
            4,
        ),
        ("limit=4&to=2026-03-01T09:00:00Z", 0),
    ] {
        let seen = pages(&harness, &registered, query).await;
        assert_eq!(seen.len(), expected, "{query}: {seen:?}");
        assert!(
            seen.windows(2).all(|pair| pair[0] > pair[1]),
            "{query}: newest first, none twice: {seen:?}"
        );
    }
    harness.stop().await;
}

#[tokio::test]
async fn what_cannot_be_stored_does_not_block_what_can() {
    let harness = Harness::start().await;
    let registered = harness.device().await;
    let mut device = harness.connect(&registered).await.unwrap();
    for bad in [
        json!("nonsense"),
        json!({"measured_at": "now", "metrics": {}}),
        // The first is earlier than anything that PostgreSQL can hold.
        json!({"measured_at": "-005000-01-01T00:00:00Z", "metrics": {"t": 1}}),
        json!({"measured_at": "1970-01-01T00:00:10Z", "metrics": {"t": 1}}),
        json!(null),
    ] {
        device.publish(&bad).await.unwrap();
    }
    device.publish(&message(1, 4.0)).await.unwrap();
    wait_until("the good one is stored", || async {
        count(&harness, &registered, "").await == 2
    })
    .await;
    harness.stop().await;
}

#[tokio::test]
async fn a_device_speaks_for_itself_only() {
    let harness = Harness::start().await;
    let (first, second) = (harness.device().await, harness.device().await);
    let mut device = harness.connect(&first).await.unwrap();
    if harness.profile == Profile::Embedded {
        // Who may publish where is an outside broker's own business; ours refuses.
        let foreign = second["mqtt"]["topic"].as_str().unwrap().to_owned();
        let _ = device.publish_to(&foreign, &message(1, 99.0)).await;
        let mut impostor = second.clone();
        impostor["mqtt"]["password"] = json!("wrong");
        assert!(harness.connect(&impostor).await.is_err());
        let mut device = harness.connect(&first).await.unwrap();
        device.publish(&message(1, 4.0)).await.unwrap();
    } else {
        device.publish(&message(1, 4.0)).await.unwrap();
        wait_until("it is stored", || async {
            count(&harness, &first, "").await == 2
        })
        .await;
    }
    assert_eq!(count(&harness, &first, "").await, 2);
    assert_eq!(count(&harness, &second, "").await, 0);
    harness.stop().await;
}
