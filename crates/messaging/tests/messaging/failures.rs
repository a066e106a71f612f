use lapin::BasicProperties;
use lapin::options::{BasicPublishOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use serde_json::{Value, json};
use testkit::{wait_for, wait_until};

use crate::world::{MAX_ATTEMPTS, Trouble, World};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_fails_a_few_times_takes_effect_once() {
    let world = World::start().await;
    world.script.set("2", Trouble::Fails(MAX_ATTEMPTS - 1));
    world.emit(0..4).await;
    // The others do not wait for it.
    world.expect_effects(["0", "1", "3", "2"]).await;
    assert!(parked(&world).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_keeps_failing_is_parked_with_its_reason() {
    let world = World::start().await;
    world.script.set("1", Trouble::Fails(u32::MAX));
    world.emit(0..3).await;
    world.expect_effects(["0", "2"]).await;
    let parked = parked_one(&world).await;
    assert_eq!(parked["attempts"], MAX_ATTEMPTS);
    assert_eq!(parked["type"], "inventory.restocked.v1");
    assert_eq!(parked["event"]["subject"], "1");
    let reason = parked["reason"].as_str().unwrap();
    assert!(reason.ends_with("not yet"), "{reason}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_poisonous_event_holds_up_no_other_of_its_batch() {
    let world = World::start().await;
    world.script.set("25", Trouble::Rejected);
    world.emit(0..50).await;
    world.expect_effects((0..50).filter(|n| *n != 25)).await;
    assert_eq!(parked_one(&world).await["attempts"], 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_that_panics_harms_nothing_else() {
    let world = World::start().await;
    world.script.set("0", Trouble::Panics);
    world.emit(0..3).await;
    world.expect_effects(["1", "2"]).await;
    assert_eq!(parked_one(&world).await["attempts"], MAX_ATTEMPTS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_comes_too_early_waits_for_the_other() {
    let world = World::start().await;
    world.script.set("second", Trouble::NeedsFirst("first"));
    world.emit(["second", "first", "third"]).await;
    world.expect_effects(["first", "third", "second"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_parked_event_takes_effect_once_when_it_is_redriven() {
    let world = World::start().await;
    world.script.set("poison", Trouble::Rejected);
    world.emit(["poison"]).await;
    let id = parked_one(&world).await["event_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let redrive = format!("/internal/events/parked/{id}/redrive");

    let refused = world.client().post(&redrive, &Value::Null).await;
    let problem = refused.expect_problem(409, "still_failing");
    assert!(problem.detail.contains("not today"), "{}", problem.detail);
    assert!(world.effects().await.is_empty());

    world.script.clear();
    for _ in 0..2 {
        world
            .client()
            .post(&redrive, &Value::Null)
            .await
            .expect(200);
        assert_eq!(world.effects().await, ["poison"]);
    }
    assert!(parked(&world).await.is_empty());
    let unknown = "/internal/events/parked/00000000-0000-0000-0000-000000000000/redrive";
    world
        .client()
        .post(unknown, &Value::Null)
        .await
        .expect_problem(404, "not_found");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_parked_event_that_is_delivered_again_stays_parked() {
    let world = World::start().await;
    world.script.set("poison", Trouble::Rejected);
    world.emit(["poison"]).await;
    let event = parked_one(&world).await["event"].clone();
    world.script.clear();
    let service = world
        .client()
        .with_token(world.identity.service("inventory"));
    let batch = json!({ "events": [event] });
    let reply = service.post("/internal/events", &batch).await.expect(200);
    assert_eq!(reply["results"][0]["outcome"], "done");
    assert!(world.effects().await.is_empty());
    assert_eq!(parked(&world).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_connection_shows_in_the_health_check_only_while_it_matters() {
    let world = World::start().await;
    world.emit(["a"]).await;
    world.expect_effects(["a"]).await;
    assert_eq!(world.order().messaging.check(), Ok(()));
    world.cable.cut().await;
    world.emit(["b"]).await;
    if !world.amqp_url.is_empty() {
        wait_until("the broker to be missed", || async {
            world.inventory.messaging.check().is_err() && world.order().messaging.check().is_err()
        })
        .await;
    }
    world.cable.mend().await;
    world.expect_effects(["a", "b"]).await;
    wait_until("health", || async {
        world.inventory.messaging.check().is_ok() && world.order().messaging.check().is_ok()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_is_no_event_is_put_aside_and_holds_up_nothing() {
    let world = World::start().await;
    world.emit(["before"]).await;
    world.expect_effects(["before"]).await;
    if let Some((channel, namespace)) = world.channel().await {
        let queue = format!("{namespace}.order");
        let dead_queue = format!("{queue}.dead");
        let passive = QueueDeclareOptions {
            passive: true,
            ..Default::default()
        };
        wait_until("a message in the dead queue", || async {
            let (options, none) = (BasicPublishOptions::default(), BasicProperties::default());
            let key = queue.as_str().into();
            channel
                .basic_publish("".into(), key, options, b"no event", none)
                .await
                .unwrap();
            let dead = dead_queue.as_str().into();
            let declared = channel
                .queue_declare(dead, passive, FieldTable::default())
                .await;
            declared.unwrap().message_count() > 0
        })
        .await;
    } else {
        let service = world
            .client()
            .with_token(world.identity.service("inventory"));
        let reply = service
            .post("/internal/events", &json!({ "events": ["no event"] }))
            .await;
        reply.expect_problem(400, "malformed_batch");
    }
    world.emit(["after"]).await;
    world.expect_effects(["before", "after"]).await;
}

async fn parked(world: &World) -> Vec<Value> {
    let page = world
        .client()
        .get("/internal/events/parked")
        .await
        .expect(200);
    page["items"].as_array().unwrap().clone()
}

async fn parked_one(world: &World) -> Value {
    wait_for("one parked event", || async {
        let parked = parked(world).await;
        assert!(parked.len() <= 1, "{parked:?}");
        parked.into_iter().next()
    })
    .await
}
