//! Simulated devices: registered once, let in with their own passwords, and each reading heard,
//! whatever happens to the connection.

use std::collections::BTreeMap;
use std::process::Child;
use std::sync::Arc;

use rumqttc::{AsyncClient, Event, MqttOptions, Outgoing, Packet, QoS};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use testkit::wait_until;

use crate::fake_broker::FakeBroker;
use crate::fake_gateway::{FakeGateway, StoreIn};
use crate::program::{Ended, maru};

/// A gateway with two stores, and its broker.
async fn system() -> (Arc<FakeGateway>, FakeBroker) {
    let gateway = Arc::new(FakeGateway::start());
    for (number, time_zone) in [(1, "Asia/Seoul"), (2, "Europe/Berlin")] {
        let store = StoreIn {
            id: uuid::Uuid::from_u128(number).to_string(),
            name: format!("Store {number}"),
            time_zone: time_zone.to_owned(),
            currency: "EUR".to_owned(),
            business_day_cutoff: "04:00".to_owned(),
        };
        gateway.world().stores.insert(store.id.clone(), store);
    }
    let broker = FakeBroker::start(Arc::clone(&gateway)).await;
    (gateway, broker)
}

/// A simulation under way; it ends with the test at the latest.
struct Simulation(Option<Child>);

impl Drop for Simulation {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            let _ended_already = child.kill();
            let _reaped = child.wait();
        }
    }
}

impl Simulation {
    fn start(gateway: &FakeGateway, broker: &FakeBroker, more: &[&str]) -> Self {
        let mut words = vec!["simulate", "devices", "--json", "--mqtt", &broker.url];
        words.extend(more);
        let nowhere = std::env::temp_dir();
        Self(Some(maru(gateway, &nowhere, &words).spawn().unwrap()))
    }

    /// Ctrl-C.
    async fn interrupt(self) -> (Ended, Value) {
        let pid = self.0.as_ref().unwrap().id();
        let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
        kill_process(pid, Signal::INT).unwrap();
        self.end().await
    }

    async fn end(mut self) -> (Ended, Value) {
        let child = self.0.take().unwrap();
        let output = tokio::task::spawn_blocking(|| child.wait_with_output());
        let output = output.await.unwrap().unwrap();
        let ended = Ended {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        };
        let summary = serde_json::from_str(&ended.out).unwrap_or(Value::Null);
        (ended, summary)
    }
}

/// The figures of a summary under these names.
fn figures<const N: usize>(summary: &Value, names: [&str; N]) -> [usize; N] {
    names.map(|name| {
        let figure = summary[name].as_u64();
        let figure = figure.unwrap_or_else(|| panic!("{name} in {summary}"));
        usize::try_from(figure).unwrap()
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_register_connect_and_publish_until_interrupted() {
    let (gateway, broker) = system().await;
    let words = ["--count", "10", "--interval", "20"];
    let simulation = Simulation::start(&gateway, &broker, &words);
    wait_until("each device is heard three times", || async {
        let mut times = BTreeMap::<String, usize>::new();
        for (topic, _) in broker.heard().iter() {
            *times.entry(topic.clone()).or_default() += 1;
        }
        times.len() == 10 && times.values().all(|&times| times >= 3)
    })
    .await;
    let (ended, summary) = simulation.interrupt().await;
    assert_eq!(ended.code, 0, "{ended:?}");
    let names = [
        "published",
        "acknowledged",
        "unacknowledged",
        "reconnects",
        "sent_again",
    ];
    let heard = broker.heard().len();
    assert_eq!(figures(&summary, names), [heard, heard, 0, 0, 0]);
    assert_eq!(broker.distinct(), heard);
    let world = gateway.world();
    let kinds: Vec<_> = world
        .devices
        .values()
        .map(|device| &device["kind"])
        .collect();
    for kind in ["fridge", "freezer", "hvac", "energy_meter"] {
        assert!(
            kinds.iter().filter(|&&known| known == kind).count() >= 2,
            "{kind}"
        );
    }
    for (topic, payload) in broker.heard().iter() {
        let device = &world.devices[topic.split('/').nth(2).unwrap()];
        assert_eq!(topic.split('/').nth(1), device["store_id"].as_str());
        let metric = match device["kind"].as_str().unwrap() {
            "energy_meter" => "energy_wh",
            _ => "temperature_c",
        };
        assert!(payload["metrics"][metric].is_number(), "{payload}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn known_devices_get_a_new_password_and_are_not_registered_again() {
    let (gateway, broker) = system().await;
    for run in [0, 5] {
        let words = ["--count", "5", "--interval", "0"];
        let simulation = Simulation::start(&gateway, &broker, &words);
        wait_until("readings come as fast as they can", || async {
            broker.heard().len() >= 500
        })
        .await;
        let (ended, summary) = simulation.interrupt().await;
        assert_eq!(ended.code, 0, "{ended:?}");
        let heard = broker.heard().len();
        assert_eq!(
            figures(&summary, ["published", "acknowledged"]),
            [heard, heard]
        );
        assert_eq!(broker.distinct(), heard);
        broker.heard().clear();
        let world = gateway.world();
        assert_eq!(world.devices.len(), 5);
        let renewed = world
            .log
            .iter()
            .filter(|call| call.path.ends_with("/credentials"));
        assert_eq!(renewed.count(), run);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_acknowledged_is_sent_again_on_the_next_connection() {
    let (gateway, broker) = system().await;
    let broker = &broker;
    let words = ["--count", "4", "--interval", "10"];
    let simulation = Simulation::start(&gateway, broker, &words);
    // A device that is still on its way when the broker hangs up loses no connection.
    let all_are_connected = |times| {
        wait_until("all are connected", move || async move {
            broker.used_connections() == 4 * times
        })
    };
    for round in 1..=3 {
        all_are_connected(round).await;
        let before = broker.distinct();
        wait_until("readings are acknowledged", || async {
            broker.distinct() > before + 20
        })
        .await;
        broker.mute();
        let before = broker.distinct();
        wait_until(
            "readings are heard whose acknowledgment is lost",
            || async { broker.distinct() > before + 20 },
        )
        .await;
        broker.hang_up();
        wait_until("they come again", || async {
            broker.repeated() >= round * 20
        })
        .await;
    }
    all_are_connected(4).await;
    let (ended, summary) = simulation.interrupt().await;
    assert_eq!(ended.code, 0, "{ended:?}");
    let distinct = broker.distinct();
    let names = [
        "published",
        "acknowledged",
        "unacknowledged",
        "sent_again",
        "reconnects",
    ];
    let [
        published,
        acknowledged,
        unacknowledged,
        sent_again,
        reconnects,
    ] = figures(&summary, names);
    assert_eq!(
        (published, acknowledged, unacknowledged),
        (distinct, distinct, 0)
    );
    assert!(sent_again >= broker.repeated(), "{summary}");
    assert_eq!(reconnects, 12, "{summary}");
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_that_are_not_let_in_give_up() {
    let (gateway, broker) = system().await;
    broker.refuse();
    let simulation = Simulation::start(&gateway, &broker, &["--count", "3"]);
    let (ended, summary) = simulation.end().await;
    assert_eq!(ended.code, 1, "{ended:?}");
    assert_eq!(figures(&summary, ["devices", "refused_devices"]), [3, 3]);
    assert!(broker.heard().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_store_there_is_nowhere_to_put_devices() {
    let (gateway, broker) = system().await;
    let elsewhere = uuid::Uuid::from_u128(9).to_string();
    let (ended, _) = Simulation::start(&gateway, &broker, &["--store-id", &elsewhere])
        .end()
        .await;
    assert_eq!(ended.code, 1);
    assert!(ended.err.contains(&elsewhere), "{}", ended.err);
    gateway.world().stores.clear();
    let (ended, _) = Simulation::start(&gateway, &broker, &[]).end().await;
    assert_eq!(ended.code, 1);
    assert!(ended.err.contains("maru demo"), "{}", ended.err);
    assert!(gateway.world().devices.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_store_alone_can_have_all_devices() {
    let (gateway, broker) = system().await;
    let store = uuid::Uuid::from_u128(2).to_string();
    let words = ["--count", "3", "--interval", "10", "--store-id", &store];
    let simulation = Simulation::start(&gateway, &broker, &words);
    wait_until("a device is heard", || async { !broker.heard().is_empty() }).await;
    let (ended, _) = simulation.interrupt().await;
    assert_eq!(ended.code, 0, "{ended:?}");
    let world = gateway.world();
    assert_eq!(world.devices.len(), 3);
    assert!(
        world
            .devices
            .values()
            .all(|device| device["store_id"] == *store)
    );
}

/// Why devices keep their readings themselves. Should this ever fail, they need not any more.
#[tokio::test]
async fn the_mqtt_library_alone_forgets_what_a_crashed_broker_did_not_acknowledge() {
    let (gateway, broker) = system().await;
    let account = ("me".to_owned(), "secret".to_owned());
    gateway.world().passwords.extend([account]);
    let port = broker.url.rsplit(':').next().unwrap().parse().unwrap();
    let mut options = MqttOptions::new("me", "127.0.0.1", port);
    options.set_credentials("me", "secret");
    options.set_clean_session(false);
    let (client, mut events) = AsyncClient::new(options, 10);
    let publish = |number: u8| {
        let payload = format!(r#"{{"measured_at":"{number}"}}"#);
        client.try_publish("maru/s/me/telemetry", QoS::AtLeastOnce, false, payload)
    };
    broker.mute();
    publish(1).unwrap();
    while !matches!(
        events.poll().await.unwrap(),
        Event::Outgoing(Outgoing::Publish(_))
    ) {}
    wait_until("it is heard", || async { !broker.heard().is_empty() }).await;
    broker.hang_up();
    publish(2).unwrap();
    while events.poll().await.is_ok() {}
    publish(3).unwrap();
    while !matches!(events.poll().await, Ok(Event::Incoming(Packet::PubAck(_)))) {}
    let heard: Vec<_> = broker
        .heard()
        .iter()
        .map(|(_, payload)| payload.clone())
        .collect();
    assert_eq!(heard.first().unwrap()["measured_at"], "1");
    assert_eq!(heard.last().unwrap()["measured_at"], "3");
    assert_eq!(broker.repeated(), 0, "{heard:?}");
}
