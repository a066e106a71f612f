use std::time::Duration;

use actix_web::FromRequest;
use actix_web::http::StatusCode;
use common::clock::Clock;
use common::error::ApiError;
use common::extract::IdempotencyKey;
use common::time::Timestamp;
use futures_util::future::join_all;
use serde_json::json;
use store::Tx;
use store::idempotency::{self, IdempotencyRequest, MEMORY, Outcome};

use crate::{amounts, database};

async fn key(text: &str) -> IdempotencyKey {
    let request = actix_web::test::TestRequest::default()
        .insert_header(("idempotency-key", text))
        .to_http_request();
    IdempotencyKey::extract(&request).await.unwrap()
}

async fn request(text: &str, body: serde_json::Value) -> IdempotencyRequest {
    IdempotencyRequest::new("caller", ("POST", "/api/orders"), &key(text).await, &body).unwrap()
}

#[tokio::test]
async fn a_key_is_fresh_then_in_flight_then_replayed() {
    let (_database, db) = database().await;
    let now = Timestamp::from_unix_seconds(1_700_000_000);
    let first = request("k1", json!({"a": 1})).await;
    let mut tx = db.begin().await.unwrap();
    assert_eq!(
        idempotency::begin(&mut tx, &first, now).await.unwrap(),
        Outcome::Fresh
    );
    assert_eq!(
        idempotency::begin(&mut tx, &first, now).await.unwrap(),
        Outcome::InFlight
    );
    idempotency::finish(&mut tx, &first, 201, &json!({"id": 7}))
        .await
        .unwrap();
    let replay = Outcome::Replay {
        status: 201,
        body: json!({"id": 7}),
    };
    assert_eq!(
        idempotency::begin(&mut tx, &first, now).await.unwrap(),
        replay
    );

    let other_body = request("k1", json!({"a": 2})).await;
    assert_eq!(
        idempotency::begin(&mut tx, &other_body, now).await.unwrap(),
        Outcome::Mismatch
    );
    let other_key = request("k2", json!({"a": 1})).await;
    assert_eq!(
        idempotency::begin(&mut tx, &other_key, now).await.unwrap(),
        Outcome::Fresh
    );
    let other_caller = IdempotencyRequest::new(
        "somebody else",
        ("POST", "/api/orders"),
        &key("k1").await,
        &json!({"a": 2}),
    )
    .unwrap();
    assert_eq!(
        idempotency::begin(&mut tx, &other_caller, now)
            .await
            .unwrap(),
        Outcome::Fresh
    );
}

#[test]
fn outcomes_become_the_documented_answers() {
    let refused = |outcome: Outcome| {
        let error = outcome.into_replay().unwrap_err();
        (error.status().as_u16(), error.code())
    };
    assert!(Outcome::Fresh.into_replay().unwrap().is_none());
    assert_eq!(refused(Outcome::Mismatch), (422, "idempotency_key_reused"));
    assert_eq!(
        refused(Outcome::InFlight),
        (409, "idempotency_key_in_flight")
    );
}

#[tokio::test]
async fn a_rolled_back_claim_is_free_again() {
    let (_database, db) = database().await;
    let clock = Clock::system();
    let request = request("k", json!(null)).await;
    for _ in 0..2 {
        let mut tx = db.begin().await.unwrap();
        let outcome = idempotency::begin(&mut tx, &request, clock.now())
            .await
            .unwrap();
        assert_eq!(outcome, Outcome::Fresh);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn fifty_requests_at_once_have_one_effect() {
    let (_database, db) = database().await;
    let clock = Clock::system();
    let request = request("k", json!({"a": 1})).await;
    let ask = async || {
        let mut tx = db.begin().await.unwrap();
        let outcome = idempotency::begin(&mut tx, &request, clock.now())
            .await
            .unwrap();
        if outcome == Outcome::Fresh {
            store::execute!(tx, "INSERT INTO things (id, amount) VALUES (1, 1)").unwrap();
            idempotency::finish(&mut tx, &request, 201, &json!("done"))
                .await
                .unwrap();
            tx.commit().await.unwrap();
        }
        outcome
    };
    let outcomes = join_all((0..50).map(|_| ask())).await;
    let fresh = outcomes
        .iter()
        .filter(|outcome| **outcome == Outcome::Fresh)
        .count();
    let replay = Outcome::Replay {
        status: 201,
        body: json!("done"),
    };
    assert_eq!(fresh, 1);
    assert_eq!(
        outcomes
            .iter()
            .filter(|outcome| **outcome == replay)
            .count(),
        49
    );
    assert_eq!(amounts(&db).await, [(1, 1)]);
}

#[tokio::test]
async fn answers_are_remembered_for_five_days() {
    let (_database, db) = database().await;
    let clock = Clock::manual(Timestamp::from_unix_seconds(1_700_000_000));
    let request = request("k", json!(1)).await;
    let mut tx = db.begin().await.unwrap();
    idempotency::begin(&mut tx, &request, clock.now())
        .await
        .unwrap();
    clock.advance(MEMORY);
    assert_eq!(idempotency::purge(&mut tx, clock.now()).await.unwrap(), 0);
    clock.advance(Duration::from_secs(1));
    assert_eq!(idempotency::purge(&mut tx, clock.now()).await.unwrap(), 1);
}

#[tokio::test]
async fn a_refused_write_may_be_repeated_and_a_done_one_is_answered_from_memory() {
    let (_database, db) = database().await;
    let clock = Clock::system();
    let request = request("k", json!({"a": 1})).await;
    let write = async |refuse: bool| {
        let work = async |tx: &mut Tx| {
            store::execute!(tx, "INSERT INTO things (id, amount) VALUES (1, 1)")?;
            match refuse {
                true => Err(ApiError::conflict("not_now", "Not now.")),
                false => Ok((StatusCode::CREATED, json!({"id": 1}))),
            }
        };
        store::http::answer_once(&db, &request, clock.now(), work).await
    };
    assert_eq!(write(true).await.unwrap_err().code(), "not_now");
    assert_eq!(write(false).await.unwrap().status(), StatusCode::CREATED);
    // The work would be refused now, but is not done again.
    let repeated = write(true).await.unwrap();
    assert_eq!(repeated.status(), StatusCode::CREATED);
    let body = actix_web::body::to_bytes(repeated.into_body())
        .await
        .unwrap();
    assert_eq!(body, r#"{"id":1}"#);
    assert_eq!(amounts(&db).await, [(1, 1)]);
}

/// On this runtime, which has one thread, the three stand in SQLite's line in their order before the
/// first one's group is committed.
#[tokio::test]
async fn a_repeated_request_is_not_told_of_an_original_that_is_lost() {
    let (_database, db) = database().await;
    let clock = Clock::manual(Timestamp::from_unix_seconds(1_700_000_000));
    let request = request("k1", json!({"a": 1})).await;
    let write = || {
        store::http::answer_once(&db, &request, clock.now(), async |tx: &mut Tx| {
            store::execute!(tx, "INSERT INTO things (id, amount) VALUES (1, 1)")?;
            Ok((StatusCode::CREATED, json!({"id": 1})))
        })
    };
    // What a full disk does by itself: SQLite's whole group is gone.
    let lose_the_group = async {
        let mut tx = db.begin().await.unwrap();
        store::execute!(tx, "ROLLBACK").unwrap();
    };
    let (original, repeated, ()) = tokio::join!(write(), write(), lose_the_group);
    let is_stored = !amounts(&db).await.is_empty();
    assert_eq!(is_stored, db.engine_name() == "postgres");
    for answer in [original, repeated] {
        assert_eq!(answer.is_ok(), is_stored, "{answer:?}");
    }
}

#[tokio::test]
async fn many_keys_are_claimed_at_once_and_a_repeated_one_only_once() {
    let (_database, db) = database().await;
    let now = Timestamp::from_unix_seconds(1_700_000_000);
    let one = request("k1", json!(1)).await;
    let again = request("k1", json!(1)).await;
    let other = request("k2", json!(2)).await;
    let mut tx = db.begin().await.unwrap();
    let claimed = idempotency::claim_many(&mut tx, &[&one, &again, &other], now).await;
    assert_eq!(claimed.unwrap(), [true, false, true]);
    let known = idempotency::find(&mut tx, &again).await.unwrap();
    assert_eq!(known, Some(Outcome::InFlight));
    let answer = |request, body| idempotency::Answer::new(request, 201, &json!(body)).unwrap();
    let answers = [answer(one.clone(), "one"), answer(other.clone(), "other")];
    let answers: Vec<_> = answers.iter().collect();
    idempotency::finish_many(&mut tx, &answers).await.unwrap();
    tx.commit().await.unwrap();

    let mut tx = db.begin().await.unwrap();
    let fresh = request("k3", json!(3)).await;
    let claimed = idempotency::claim_many(&mut tx, &[&other, &fresh, &one], now).await;
    assert_eq!(claimed.unwrap(), [false, true, false]);
    for (request, body) in [(&one, "one"), (&other, "other")] {
        let (status, body) = (201, json!(body));
        let known = idempotency::find(&mut tx, request).await.unwrap();
        assert_eq!(known, Some(Outcome::Replay { status, body }));
    }
    let other_body = request("k1", json!(9)).await;
    let known = idempotency::find(&mut tx, &other_body).await.unwrap();
    assert_eq!(known, Some(Outcome::Mismatch));
    let unknown = request("k4", json!(1)).await;
    assert_eq!(idempotency::find(&mut tx, &unknown).await.unwrap(), None);
}
