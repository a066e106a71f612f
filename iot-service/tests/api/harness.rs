//! Starts the service and plays the devices.

use std::time::Duration;

use common::auth::Role;
use common::clock::Clock;
use common::ids::StoreId;
use common::settings::load;
use common::shutdown::Shutdown;
use iot_service::OwnSettings;
use iot_service::startup::Application;
use rumqttc::{AsyncClient, ConnectionError, Event, EventLoop, MqttOptions, Packet, QoS};
use serde_json::{Value, json};
use testkit::database::{Profile, required_address};
use testkit::{ApiClient, FakeUserService, TestDatabase, TestIdentity};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// How long a device waits for the broker's word.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) struct Harness {
    pub(crate) identity: TestIdentity,
    pub(crate) owner: ApiClient,
    pub(crate) store: StoreId,
    pub(crate) profile: Profile,
    mqtt: (String, u16),
    shutdown: Shutdown,
    running: JoinHandle<anyhow::Result<()>>,
    _user_service: FakeUserService,
    database: TestDatabase,
}

impl Harness {
    pub(crate) async fn start() -> Self {
        Self::start_on(TestDatabase::create().await, TestIdentity::new()).await
    }

    async fn start_on(database: TestDatabase, identity: TestIdentity) -> Self {
        let user_service = FakeUserService::start(&identity);
        let profile = Profile::current();
        let mut environment = vec![
            ("IOT__SERVER__PORT".to_owned(), "0".to_owned()),
            ("IOT__DATABASE__MAX_CONNECTIONS".to_owned(), "4".to_owned()),
            ("IOT__MQTT__PORT".to_owned(), "0".to_owned()),
            ("DATABASE_URL".to_owned(), database.url().to_owned()),
            ("USER_URL".to_owned(), user_service.url()),
        ];
        if profile == Profile::Infrastructure {
            environment.push(("MQTT_URL".to_owned(), required_address("TEST_MQTT_URL")));
            // Tests share the broker: a session of its own for each.
            let client_id = format!("test-{}", uuid::Uuid::new_v4().simple());
            environment.push(("IOT__MQTT__CLIENT_ID".to_owned(), client_id));
        }
        let settings = load::<OwnSettings>("iot", iot_service::DEFAULTS, environment)
            .expect("the settings are right");
        let shutdown = Shutdown::new();
        let application = Application::build(settings, shutdown.clone())
            .await
            .expect("the service starts");
        let http = application.address();
        let mqtt = application
            .mqtt_address()
            .map_or_else(outside_broker, |address| {
                (address.ip().to_string(), address.port())
            });
        Self {
            owner: ApiClient::new(format!("http://{http}")).with_token(identity.owner()),
            store: StoreId::new(&Clock::system()),
            profile,
            mqtt,
            shutdown,
            running: tokio::spawn(application.run_until_stopped()),
            _user_service: user_service,
            database,
            identity,
        }
    }

    pub(crate) async fn stop(self) {
        drop(self.stop_keeping_database().await);
    }

    async fn stop_keeping_database(self) -> (TestDatabase, TestIdentity) {
        self.shutdown.trigger();
        self.running.await.expect("no panic").expect("a clean stop");
        (self.database, self.identity)
    }

    /// The same service again on the same database, for the same store.
    pub(crate) async fn restart(self) -> Self {
        let store = self.store;
        let (database, identity) = self.stop_keeping_database().await;
        Self {
            store,
            ..Self::start_on(database, identity).await
        }
    }

    pub(crate) fn client_of(&self, role: Role) -> ApiClient {
        self.owner
            .with_token(self.identity.user_of(role, self.store))
    }

    /// Registers a device.
    pub(crate) async fn device(&self) -> Value {
        let body = json!({"store_id": self.store, "name": "Fridge 1", "kind": "fridge"});
        self.owner.post("/api/iot/devices", &body).await.expect(201)
    }

    /// A page of a device's readings.
    pub(crate) async fn readings(&self, device: &Value, query: &str) -> Value {
        let id = device["id"].as_str().expect("a text");
        let path = format!("/api/iot/devices/{id}/readings?{query}");
        self.owner.get(&path).await.expect(200)
    }

    /// A connection to the broker on which nothing has been said.
    pub(crate) async fn socket(&self) -> TcpStream {
        let (host, port) = &self.mqtt;
        TcpStream::connect((host.as_str(), *port)).await.unwrap()
    }

    /// Connects as this device; the answer of the broker.
    pub(crate) async fn connect(&self, device: &Value) -> Result<Device, ConnectionError> {
        let name = device["mqtt"]["username"].as_str().expect("a text");
        self.connect_as(name, device).await
    }

    /// Connects as this device under another client id.
    pub(crate) async fn connect_as(
        &self,
        client_id: &str,
        device: &Value,
    ) -> Result<Device, ConnectionError> {
        let text = |key: &str| device["mqtt"][key].as_str().expect("a text").to_owned();
        let (host, port) = self.mqtt.clone();
        let mut options = MqttOptions::new(client_id, host, port);
        options.set_credentials(text("username"), text("password"));
        options.set_keep_alive(Duration::from_secs(5));
        let (client, events) = AsyncClient::new(options, 16);
        let mut device = Device {
            client,
            events,
            topic: text("topic"),
        };
        device
            .wait_for(|packet| matches!(packet, Packet::ConnAck(_)))
            .await?;
        Ok(device)
    }
}

fn outside_broker() -> (String, u16) {
    let url = required_address("TEST_MQTT_URL");
    let address = url.strip_prefix("mqtt://").expect("an MQTT address");
    let (host, port) = address
        .trim_end_matches('/')
        .rsplit_once(':')
        .expect("a port");
    (host.to_owned(), port.parse().expect("a port"))
}

/// A connected device.
pub(crate) struct Device {
    client: AsyncClient,
    events: EventLoop,
    pub(crate) topic: String,
}

impl Device {
    /// Publishes with QoS 1 and waits for the acknowledgment.
    pub(crate) async fn publish(&mut self, payload: &Value) -> Result<(), ConnectionError> {
        let topic = self.topic.clone();
        self.publish_to(&topic, payload).await
    }

    pub(crate) async fn publish_to(
        &mut self,
        topic: &str,
        payload: &Value,
    ) -> Result<(), ConnectionError> {
        let payload = payload.to_string();
        self.client
            .publish(topic, QoS::AtLeastOnce, false, payload)
            .await
            .expect("a queue");
        self.wait_for(|packet| matches!(packet, Packet::PubAck(_)))
            .await
    }

    /// Waits until the broker ends the connection.
    pub(crate) async fn ended(&mut self) -> ConnectionError {
        let nothing = self.wait_for(|_packet| false).await;
        nothing.expect_err("no packet is waited for")
    }

    async fn wait_for(&mut self, wanted: impl Fn(&Packet) -> bool) -> Result<(), ConnectionError> {
        let search = async {
            loop {
                if let Event::Incoming(packet) = self.events.poll().await?
                    && wanted(&packet)
                {
                    return Ok(());
                }
            }
        };
        tokio::time::timeout(PATIENCE, search)
            .await
            .expect("the broker's word in time")
    }
}
