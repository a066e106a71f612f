use common::auth::Role;
use common::ids::StoreId;
use serde_json::{Value, json};

use crate::world::World;

const EVENTS: &str = "/internal/events";

fn event(id: u128, subject: &str) -> Value {
    json!({
        "specversion": "1.0",
        "id": uuid::Uuid::from_u128(id),
        "source": "/services/inventory",
        "type": "inventory.restocked.v1",
        "subject": subject,
        "time": "2026-03-01T09:30:00Z",
        "datacontenttype": "application/json",
        "data": {
            "order_id": uuid::Uuid::from_u128(1),
            "store_id": uuid::Uuid::from_u128(2),
            "restocked_at": "2026-03-01T09:30:00Z",
            "new_field": "which this reader does not know"
        }
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_is_sent_many_times_at_once_has_one_effect() {
    let world = World::start().await;
    let service = world
        .client()
        .with_token(world.identity.service("inventory"));
    let first: Vec<Value> = (0..20).map(|n| event(n, "first")).collect();
    // Half of it known, and one event twice in the same batch.
    let second: Vec<Value> = (10..30).chain([29]).map(|n| event(n, "second")).collect();
    let (first, second) = (json!({ "events": first }), json!({ "events": second }));
    let sends = (0..10).map(|n| service.post(EVENTS, if n < 5 { &first } else { &second }));
    for reply in futures_util::future::join_all(sends).await {
        let body = reply.expect(200);
        let results = body["results"].as_array().unwrap();
        assert!(
            results.iter().all(|result| result["outcome"] != "parked"),
            "{results:?}"
        );
    }
    for batch in [&first, &second] {
        let body = service.post(EVENTS, batch).await.expect(200);
        let results = body["results"].as_array().unwrap();
        assert!(
            results.iter().all(|result| result["outcome"] == "done"),
            "{results:?}"
        );
    }
    assert_eq!(world.effects().await.len(), 30);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_tells_only_of_what_is_its_own() {
    let world = World::start().await;
    let inventory = world.identity.service("inventory");
    let order = world.identity.service("order");
    let mut renamed = event(1, "stolen");
    renamed["source"] = json!("/services/order");
    let mut foreign = event(2, "made up");
    foreign["type"] = json!("payment.refunded.v1");
    for (token, stolen) in [
        (&order, event(3, "as it is")),
        (&order, renamed.clone()),
        (&inventory, renamed),
        (&inventory, foreign),
    ] {
        let service = world.client().with_token(token);
        // One of them is one too many.
        let batch = json!({"events": [event(4, "own"), stolen]});
        service
            .post(EVENTS, &batch)
            .await
            .expect_problem(403, "forbidden");
    }
    assert!(world.effects().await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_services_bring_events_and_only_operators_see_the_parked_ones() {
    let world = World::start().await;
    let nobody = world.client().without_token();
    let owner = world.client();
    let crew = world
        .identity
        .user_of(Role::Crew, StoreId::from_uuid(uuid::Uuid::nil()));
    let crew = owner.with_token(crew);
    let service = owner.with_token(world.identity.service("gateway"));
    let batch = json!({ "events": [] });

    nobody.post(EVENTS, &batch).await.expect(401);
    owner.post(EVENTS, &batch).await.expect(403);
    crew.post(EVENTS, &batch).await.expect(403);
    service.post(EVENTS, &batch).await.expect(200);

    let parked = "/internal/events/parked";
    nobody.get(parked).await.expect(401);
    crew.get(parked).await.expect(403);
    owner.get(parked).await.expect(200);
    service.get(parked).await.expect(200);
    let redrive = "/internal/events/parked/no-id/redrive";
    nobody.post(redrive, &batch).await.expect(401);
    crew.post(redrive, &batch).await.expect(403);
    owner.post(redrive, &batch).await.expect(404);
    owner
        .get("/internal/events/parked?limit=0")
        .await
        .expect(422);
    owner
        .get("/internal/events/parked?cursor=%21")
        .await
        .expect(400);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_event_is_refused_or_parked() {
    let world = World::start().await;
    let service = world
        .client()
        .with_token(world.identity.service("inventory"));
    for malformed in [
        json!(null),
        json!({}),
        json!({"events": [{}]}),
        json!({"events": "no"}),
    ] {
        service
            .post(EVENTS, &malformed)
            .await
            .expect_problem(400, "malformed_batch");
    }
    let mut stranger = event(1, "stranger");
    stranger["type"] = json!("weather.changed.v1");
    let mut broken = event(2, "broken");
    broken["data"] = json!({"order_id": 7});
    let batch = json!({ "events": [stranger, broken, event(3, "fine")] });
    let body = service.post(EVENTS, &batch).await.expect(200);
    let outcomes: Vec<&Value> = body["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|result| &result["outcome"])
        .collect();
    assert_eq!(outcomes, ["parked", "parked", "done"]);
    assert_eq!(world.effects().await, ["fine"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_over_8_mib_is_refused() {
    let world = World::start().await;
    let service = world
        .client()
        .with_token(world.identity.service("inventory"));
    let fits = json!({ "events": [event(1, &"x".repeat(7 << 20))] });
    service.post(EVENTS, &fits).await.expect(200);
    let too_large = json!({ "events": [event(2, &"x".repeat(8 << 20))] });
    service
        .post(EVENTS, &too_large)
        .await
        .expect_problem(413, "body_too_large");
}
