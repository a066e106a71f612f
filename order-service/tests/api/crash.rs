//! The process is killed in the middle of every step, before and after the step's effect; the next
//! one finishes what it left.

use serde_json::Value;
use testkit::wait_for;

use crate::harness::{Api, Surroundings, assert_books_agree, new_key};
use crate::neighbours::{Trouble, World};
use crate::process::Process;

/// Short, because a killed process leaves its leases behind.
const SETTINGS: [(&str, &str); 2] = [
    ("ORDER__SAGA__STEP_TIMEOUT_MS", "450"),
    ("ORDER__SAGA__LEASE_MS", "901"),
];

/// Kills the process while `step` is under way, does what happens `meanwhile`, then checks what the
/// next process makes of it.
async fn kill_in(
    around: &Surroundings,
    api: &mut Api,
    process: Process,
    (step, hold): (&'static str, Trouble),
    meanwhile: impl Fn(&World),
) -> (Process, Value) {
    let world = &around.world;
    world.trouble(step, &[hold]);
    let (key, body) = (new_key(), api.order_body());
    let request = api.owner.request("POST".parse().unwrap(), "/api/orders");
    let request = request.header("idempotency-key", &key).json(&body);
    let call = tokio::spawn(request.send());
    world.wait_for_held_call().await;
    process.kill();
    assert!(call.await.unwrap().is_err(), "an answer from the dead");
    world.go_on();
    meanwhile(world);

    let process = Process::start(&around.environment).await;
    *api = api.at(process.address);
    let order = wait_for("the order's answer", || async {
        let reply = api.post_order(&key, &body).await;
        match reply.status {
            201 => Some(reply.expect(201)),
            202 | 409 => None,
            other => panic!("{step} {hold:?}: {other}"),
        }
    })
    .await;
    assert_books_agree(world, &order);
    let other = api.order_of(&[(api.pizza, 7)]);
    let refused = api.post_order(&key, &other).await;
    refused.expect_problem(422, "idempotency_key_reused");
    (process, order)
}

#[tokio::test]
async fn a_saga_killed_in_any_step_is_finished_by_the_next_process() {
    let around = Surroundings::new(&SETTINGS).await;
    let mut process = Process::start(&around.environment).await;
    let mut api = Api::open(process.address, &around.identity).await;
    let mut placed = 0;
    for step in ["reserve", "authorize", "commit", "capture"] {
        for hold in [Trouble::HoldBefore, Trouble::HoldAfter] {
            let (next, order) = kill_in(&around, &mut api, process, (step, hold), |_| {}).await;
            process = next;
            placed += 1;
            assert_eq!(order["status"], "confirmed", "{step} {hold:?}");
        }
    }
    assert_all_told(&around, &api, placed).await;
}

#[tokio::test]
async fn a_saga_killed_while_it_undoes_is_undone_by_the_next_process() {
    let around = Surroundings::new(&SETTINGS).await;
    let mut process = Process::start(&around.environment).await;
    let mut api = Api::open(process.address, &around.identity).await;
    for (refused, undo) in [
        ("authorize", "release"),
        ("commit", "void"),
        ("commit", "release"),
        ("capture", "void"),
        ("capture", "restock"),
    ] {
        for hold in [Trouble::HoldBefore, Trouble::HoldAfter] {
            around.world.trouble(refused, &[Trouble::Refuse]);
            let (next, order) = kill_in(&around, &mut api, process, (undo, hold), |_| {}).await;
            process = next;
            assert_eq!(order["status"], "cancelled", "{refused} {undo} {hold:?}");
            around.world.heal();
        }
    }
    assert_all_told(&around, &api, 0).await;
}

#[tokio::test]
async fn money_set_aside_before_a_crash_is_let_go_when_the_hold_ran_out_meanwhile() {
    let around = Surroundings::new(&SETTINGS).await;
    let process = Process::start(&around.environment).await;
    let mut api = Api::open(process.address, &around.identity).await;
    let killed_in = ("authorize", Trouble::HoldAfter);
    let expire = |world: &World| world.expire_holds();
    let (_process, order) = kill_in(&around, &mut api, process, killed_in, expire).await;
    assert_eq!(order["cancel_reason"], "reservation_expired");
    assert_all_told(&around, &api, 0).await;
}

/// Every confirmed order was told once, and nothing waits any more.
async fn assert_all_told(around: &Surroundings, api: &Api, confirmed: usize) {
    let db = around.database.connect().await;
    testkit::assert_outbox_empty(&db).await;
    let mut told: Vec<String> = around
        .subscriber
        .events()
        .iter()
        .map(|event| event["data"]["order_id"].to_string())
        .collect();
    told.sort_unstable();
    told.dedup();
    let page = api
        .owner
        .get("/api/orders?status=confirmed")
        .await
        .expect(200);
    assert_eq!(page["items"].as_array().unwrap().len(), confirmed);
    assert_eq!(told.len(), confirmed);
    let pending = api
        .owner
        .get("/api/orders?status=pending")
        .await
        .expect(200);
    assert!(pending["items"].as_array().unwrap().is_empty());
}
