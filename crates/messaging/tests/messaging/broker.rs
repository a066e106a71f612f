//! What stands in the messages at a broker. Without one there are none to look at.

use futures_util::StreamExt;
use lapin::options::{
    BasicConsumeOptions, BasicPublishOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel};
use serde_json::{Value, json};

use crate::world::World;

/// A world in which events flow, with a channel to its broker.
async fn world_with_channel() -> Option<(World, Channel, String)> {
    let world = World::start().await;
    world.emit(["before"]).await;
    world.expect_effects(["before"]).await;
    let (channel, namespace) = world.channel().await?;
    Some((world, channel, namespace))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_one_commit_travel_as_one_message_that_others_can_read() {
    let Some((world, channel, namespace)) = world_with_channel().await else {
        return;
    };
    let own = QueueDeclareOptions {
        exclusive: true,
        ..Default::default()
    };
    let none = FieldTable::default;
    let queue = channel.queue_declare("".into(), own, none()).await.unwrap();
    let queue = queue.name().clone();
    let exchange = format!("{namespace}.events");
    channel
        .queue_bind(
            queue.clone(),
            exchange.as_str().into(),
            "inventory.#".into(),
            QueueBindOptions::default(),
            none(),
        )
        .await
        .unwrap();
    let mut messages = channel
        .basic_consume(queue, "".into(), BasicConsumeOptions::default(), none())
        .await
        .unwrap();

    world.emit(0..5).await;
    let message = messages.next().await.unwrap().unwrap();
    let content_type = message.properties.content_type().as_ref().unwrap();
    assert_eq!(content_type.as_str(), "application/cloudevents-batch+json");
    assert_eq!(message.routing_key.as_str(), "inventory.restocked.v1");
    let events: Vec<Value> = serde_json::from_slice(&message.data).unwrap();
    let subjects: Vec<_> = events.iter().map(|event| &event["subject"]).collect();
    assert_eq!(subjects, ["0", "1", "2", "3", "4"]);
    assert_eq!(events[0]["specversion"], "1.0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_with_one_event_by_itself_is_understood() {
    let Some((world, channel, namespace)) = world_with_channel().await else {
        return;
    };
    let event = json!({
        "specversion": "1.0",
        "id": "019ca8a3-0000-7000-8000-000000000000",
        "source": "/services/inventory",
        "type": "inventory.restocked.v1",
        "subject": "alone",
        "time": "2026-03-01T09:30:00Z",
        "datacontenttype": "application/json",
        "data": {
            "order_id": "019ca8a3-0000-7000-8000-000000000001",
            "store_id": "019ca8a3-0000-7000-8000-000000000002",
            "restocked_at": "2026-03-01T09:30:00Z",
        },
    });
    channel
        .basic_publish(
            "".into(),
            format!("{namespace}.order").into(),
            BasicPublishOptions::default(),
            event.to_string().as_bytes(),
            BasicProperties::default().with_content_type("application/cloudevents+json".into()),
        )
        .await
        .unwrap();
    world.expect_effects(["before", "alone"]).await;
}
