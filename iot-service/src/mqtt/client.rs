//! The client of an outside broker (Mosquitto, EMQX): subscribes, stores, then acknowledges.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use anyhow::Context as _;
use common::shutdown::Shutdown;
use rumqttc::{AsyncClient, Event, EventLoop, MqttOptions, Packet, Publish, QoS};
use secrecy::ExposeSecret as _;

use super::{Link, Receiver, Verdict};
use crate::domain::topic::ALL_TELEMETRY;
use crate::settings::Mqtt;

/// Publications in hand at most, unacknowledged.
const IN_FLIGHT: u16 = 256;
/// Wait before the next try when the queue of acknowledgments is full.
const ACKNOWLEDGE_AFTER: Duration = Duration::from_millis(5);
/// Wait before the next try to connect.
const RECONNECT_AFTER: Duration = Duration::from_millis(500);

/// Connects in the background, and again whenever the connection breaks, until `shutdown`.
pub(crate) fn start(
    settings: &Mqtt,
    receiver: Receiver,
    link: Link,
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    let url = &settings.url;
    let separator = if url.expose_secret().contains('?') {
        '&'
    } else {
        '?'
    };
    let with_id = format!(
        "{}{separator}client_id={}",
        url.expose_secret(),
        settings.client_id
    );
    let mut options = MqttOptions::parse_url(with_id).context("mqtt.url is not an MQTT address")?;
    options
        // The broker keeps the session, so that what devices send while we are away waits for us.
        .set_clean_session(false)
        // We acknowledge a message ourselves, after its readings are committed.
        .set_manual_acks(true)
        .set_inflight(IN_FLIGHT)
        .set_keep_alive(Duration::from_secs(15));
    let (client, events) = AsyncClient::new(options, usize::from(IN_FLIGHT) * 2);
    tokio::spawn(run(client, events, receiver, link, shutdown));
    Ok(())
}

async fn run(
    client: AsyncClient,
    mut events: EventLoop,
    receiver: Receiver,
    link: Link,
    shutdown: Shutdown,
) {
    let connection = Arc::new(Mutex::new(0));
    loop {
        let event = tokio::select! {
            () = shutdown.triggered() => return,
            event = events.poll() => event,
        };
        match event {
            Ok(Event::Incoming(Packet::ConnAck(_))) => {
                link.set(true);
                let client = client.clone();
                // In a task of its own: the request queue is drained by the loop we are in.
                tokio::spawn(
                    async move { client.subscribe(ALL_TELEMETRY, QoS::AtLeastOnce).await },
                );
            }
            Ok(Event::Incoming(Packet::Publish(publish))) => {
                let sender = Sender {
                    client: client.clone(),
                    connection: *lock(&connection),
                    current: Arc::clone(&connection),
                };
                tokio::spawn(handle(sender, receiver.clone(), publish));
            }
            Ok(_) => {}
            Err(error) => {
                link.set(false);
                tracing::warn!(%error, "the MQTT broker cannot be reached");
                *lock(&connection) += 1;
                // Drops the acknowledgments that wait to be sent.
                events.clean();
                tokio::time::sleep(RECONNECT_AFTER).await;
            }
        }
    }
}

/// Whom to acknowledge a publication to: the connection that it came on. On another one its packet
/// id may be that of another publication, which is not stored yet.
struct Sender {
    client: AsyncClient,
    connection: u64,
    current: Arc<Mutex<u64>>,
}

impl Sender {
    async fn acknowledge(&self, publish: &Publish) {
        loop {
            {
                let current = lock(&self.current);
                // The broker sends it again; storing it twice is harmless.
                if *current != self.connection || self.client.try_ack(publish).is_ok() {
                    return;
                }
            }
            tokio::time::sleep(ACKNOWLEDGE_AFTER).await;
        }
    }
}

fn lock(connection: &Mutex<u64>) -> MutexGuard<'_, u64> {
    connection.lock().expect("no counting panics")
}

async fn handle(sender: Sender, receiver: Receiver, publish: Publish) {
    match receiver.receive(&publish.topic, &publish.payload).await {
        Verdict::Acknowledge => sender.acknowledge(&publish).await,
        Verdict::Withhold => {}
    }
}
