//! The inner broker against clients that mean harm. An outside broker defends itself.

use std::time::Duration;

use rumqttc::{ConnectReturnCode, ConnectionError};
use serde_json::json;
use testkit::database::Profile;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::harness::Harness;

/// What a broker must hang up on, as the first bytes of a connection.
const NONSENSE: [(&str, &[u8]); 8] = [
    ("five bytes of length", b"\x10\xff\xff\xff\xff\x7f"),
    ("a packet of 256 MB", b"\x10\xff\xff\xff\x7f"),
    ("a packet of a byte too much", b"\x10\x81\x80\x04"),
    ("no packet type", b"\x00\x00"),
    ("a ping", b"\xc0\x00"),
    ("a publication", b"\x32\x07\x00\x01a\x00\x01xy"),
    (
        "an unknown protocol",
        b"\x10\x0c\x00\x04HTTP\x04\x02\x00\x3c\x00\x00",
    ),
    (
        "an id that is no text",
        b"\x10\x0e\x00\x04MQTT\x04\x02\x00\x3c\x00\x02\xff\xfe",
    ),
];

#[tokio::test]
async fn nonsense_ends_the_connection_and_nothing_else() {
    let harness = Harness::start().await;
    if harness.profile == Profile::Embedded {
        let registered = harness.device().await;
        let mut device = harness.connect(&registered).await.unwrap();
        for (what, bytes) in NONSENSE {
            let mut socket = harness.socket().await;
            socket.write_all(bytes).await.unwrap();
            let mut answer = Vec::new();
            let ended = socket.read_to_end(&mut answer);
            // A reset is an end as well.
            let ended = tokio::time::timeout(Duration::from_secs(5), ended).await;
            assert!(ended.is_ok(), "{what} is waited on");
        }
        let payload = json!({"measured_at": "2026-03-01T09:00:00Z", "metrics": {"t": 1}});
        device.publish(&payload).await.unwrap();
    }
    harness.stop().await;
}

#[tokio::test]
async fn a_device_cannot_go_by_the_name_of_another() {
    let harness = Harness::start().await;
    if harness.profile == Profile::Embedded {
        let (first, second) = (harness.device().await, harness.device().await);
        let mut device = harness.connect(&first).await.unwrap();
        let name = first["mqtt"]["username"].as_str().unwrap();
        let refused = harness.connect_as(name, &second).await.map(drop);
        assert!(
            matches!(
                refused,
                Err(ConnectionError::ConnectionRefused(
                    ConnectReturnCode::BadClientId
                ))
            ),
            "{refused:?}"
        );
        // The one with that name is still there.
        let payload = json!({"measured_at": "2026-03-01T09:00:00Z", "metrics": {"t": 1}});
        device.publish(&payload).await.unwrap();
        // A name of its own choice is as little good as none is.
        assert!(harness.connect_as("sensor", &second).await.is_err());
        assert!(harness.connect_as("", &second).await.is_ok());
    }
    harness.stop().await;
}
