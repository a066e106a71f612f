//! The inner broker of the embedded profile: MQTT 3.1.1 and 5.
//!
//! It awaits our hook before it acknowledges a publication, so an acknowledged reading is a
//! committed one. A device proves itself with its id and password, goes by its id alone, publishes
//! its own telemetry and hears its own commands, and nothing else. Its connection ends when it gets
//! another password.

mod listener;
mod open_files;

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use ::store::Db;
use anyhow::Context as _;
use common::ids::DeviceId;
use common::shutdown::Shutdown;
use mqtt5::broker::auth::{AuthProvider, AuthResult};
use mqtt5::broker::config::BrokerConfig;
use mqtt5::broker::events::{BrokerEventHandler, ClientPublishEvent, PublishAction};
use mqtt5_protocol::packet::connect::ConnectPacket;
use mqtt5_protocol::types::ReasonCode;
use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::{Link, Receiver, Verdict};
use crate::app::connections::{ConnectionId, ConnectionRegistry};
use crate::app::credentials::authenticate;
use crate::domain::topic::Place;
use crate::settings::Mqtt;
use listener::Connections;

/// Largest packet taken, in bytes.
const MAX_PACKET_BYTES: usize = 65_536;
/// What the broker calls a client that has not called itself anything begins so.
const ASSIGNED_CLIENT_ID: &str = "auto-";

type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The running broker.
pub(crate) struct RunningBroker {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    task: JoinHandle<()>,
}

impl RunningBroker {
    /// Starts it.
    pub(crate) async fn start(
        settings: &Mqtt,
        devices: Devices,
        receiver: Receiver,
        link: Link,
        shutdown: Shutdown,
    ) -> anyhow::Result<Self> {
        let wanted: SocketAddr = format!("{}:{}", settings.host, settings.port)
            .parse()
            .context("mqtt.host must be an IP address")?;
        let listener = TcpListener::bind(wanted)
            .await
            .with_context(|| format!("MQTT broker on {wanted}"))?;
        let address = listener
            .local_addr()
            .context("the MQTT broker has no address")?;
        let config = BrokerConfig::new()
            .with_max_packet_size(MAX_PACKET_BYTES)
            .with_retain_available(false)
            .with_event_handler(Arc::new(Hook { receiver }));
        let registry = devices.connections.clone();
        let connections = Connections::new(config, registry, move |connection| {
            let devices = devices.clone();
            Arc::new(Guard {
                devices,
                connection,
            })
        });
        let most = open_files::allow(settings.max_clients);
        link.set(true);
        let task = tokio::spawn(async move {
            listener::serve(listener, connections, most, &shutdown).await;
            link.set(false);
        });
        Ok(Self { address, task })
    }

    /// Waits until it has stopped.
    pub(crate) async fn stopped(self) {
        // A broker that panicked has stopped as well, and said so.
        let _ = self.task.await;
    }
}

/// Stores what is published, before it is acknowledged.
struct Hook {
    receiver: Receiver,
}

impl BrokerEventHandler for Hook {
    fn on_client_publish<'a>(&'a self, event: ClientPublishEvent) -> Answer<'a, PublishAction> {
        Box::pin(async move {
            match self.receiver.receive(&event.topic, &event.payload).await {
                // Stored here; nobody else subscribes to telemetry.
                Verdict::Acknowledge => PublishAction::Handled,
                // Returning would acknowledge it. We are about to stop: the connection ends with the
                // broker, and the device sends again.
                Verdict::Withhold => std::future::pending().await,
            }
        })
    }
}

/// The registered devices, and those that are connected.
#[derive(Clone)]
pub(crate) struct Devices {
    pub(crate) db: Db,
    pub(crate) connections: ConnectionRegistry,
}

/// Says on one connection who may connect, publish and subscribe.
struct Guard {
    devices: Devices,
    connection: ConnectionId,
}

impl AuthProvider for Guard {
    fn authenticate<'a>(
        &'a self,
        connect: &'a ConnectPacket,
        _address: SocketAddr,
    ) -> Answer<'a, mqtt5::Result<AuthResult>> {
        Box::pin(async move {
            let username = connect.username.as_deref().unwrap_or_default();
            // With another's client id a device would throw the other off the broker.
            let client_id = connect.client_id.as_str();
            if client_id != username && !client_id.starts_with(ASSIGNED_CLIENT_ID) {
                return Ok(AuthResult::fail(ReasonCode::ClientIdentifierNotValid));
            }
            let Ok(device) = username.parse::<DeviceId>() else {
                return Ok(AuthResult::fail(ReasonCode::BadUsernameOrPassword));
            };
            // Before the password is compared, so that one which is replaced meanwhile is either found
            // void or ends the connection.
            let Devices { db, connections } = &self.devices;
            connections.claim(self.connection, device);
            let password = connect.password.as_deref().unwrap_or_default();
            let password = SecretString::from(String::from_utf8_lossy(password).into_owned());
            Ok(match authenticate(db, device, &password).await {
                Ok(Some(place)) => AuthResult::success_with_user(place.telemetry()),
                Ok(None) => AuthResult::fail(ReasonCode::BadUsernameOrPassword),
                Err(error) => {
                    tracing::warn!(%error, "a device could not be looked up");
                    AuthResult::fail(ReasonCode::ServerUnavailable)
                }
            })
        })
    }

    fn authorize_publish<'a>(
        &'a self,
        _client_id: &str,
        user_id: Option<&'a str>,
        topic: &'a str,
    ) -> Answer<'a, bool> {
        Box::pin(std::future::ready(user_id == Some(topic)))
    }

    fn authorize_subscribe<'a>(
        &'a self,
        _client_id: &str,
        user_id: Option<&'a str>,
        filter: &'a str,
    ) -> Answer<'a, bool> {
        let place = user_id.and_then(Place::of_telemetry);
        Box::pin(std::future::ready(
            place.is_some_and(|place| place.may_subscribe(filter)),
        ))
    }
}
