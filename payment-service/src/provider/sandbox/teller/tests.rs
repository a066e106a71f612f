//! A batch of requests beside the same requests one by one.

use common::money::Money;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use testkit::TestDatabase;
use uuid::Uuid;

use super::*;

/// Keys of one case; some requests use one twice.
const KEYS: u128 = 12;

#[derive(Clone, Debug)]
enum Wish {
    Authorize(u128, Script),
    /// With a key of its own, about the payment that another key authorized.
    FollowUp(u128, Kind, u128, i64),
}

fn wish() -> impl Strategy<Value = Wish> {
    let script = prop::sample::select(vec![
        Script::Ok,
        Script::Declined,
        Script::Slow,
        Script::CaptureDeclined,
    ]);
    let kind = prop::sample::select(vec![Kind::Capture, Kind::Void, Kind::Refund]);
    let authorize = (0..4_u128, script).prop_map(|(key, script)| Wish::Authorize(key, script));
    let follow_up = (4..KEYS, kind, 0..4_u128, 1_i64..700)
        .prop_map(|(key, kind, about, amount)| Wish::FollowUp(key, kind, about, amount));
    prop_oneof![authorize, follow_up]
}

fn key(case: Uuid, number: u128) -> OperationId {
    OperationId::from_uuid(Uuid::from_u128(case.as_u128() ^ number))
}

fn asked(case: Uuid, wish: &Wish) -> Asked {
    let usd = |amount| Money::new(amount, "USD".parse().unwrap());
    match wish {
        Wish::Authorize(number, script) => Asked::Authorize {
            request: Authorization {
                key: key(case, *number),
                token: "tok_ok".parse().unwrap(),
                amount: usd(1_000),
            },
            script: *script,
        },
        Wish::FollowUp(number, kind, about, amount) => Asked::FollowUp {
            kind: *kind,
            request: FollowUp {
                key: key(case, *number),
                reference: format!("sbx_{}", key(case, *about).as_uuid().simple()),
                amount: usd(*amount),
            },
        },
    }
}

async fn teller() -> (Teller, TestDatabase) {
    let database = TestDatabase::create().await;
    let db = database.connect().await;
    db.migrate(&[&crate::MIGRATIONS]).await.unwrap();
    let clock = Clock::manual("2026-03-01T09:30:00Z".parse().unwrap());
    let slow = Duration::from_secs(1);
    (Teller { db, clock, slow }, database)
}

/// What everybody was told, then all payments.
async fn ask(teller: &Teller, case: Uuid, batches: &[Vec<Asked>]) -> Vec<String> {
    let mut told = Vec::new();
    for requests in batches {
        for answer in teller.work(requests).await.unwrap() {
            let Recorded {
                line,
                first_time,
                script,
            } = answer.unwrap();
            told.push(format!("{line:?} {first_time} {script:?}"));
        }
    }
    let mut tx = teller.db.begin().await.unwrap();
    let references: Vec<_> = (0..4)
        .map(|number| format!("sbx_{}", key(case, number).as_uuid().simple()))
        .collect();
    let references = references.iter().map(String::as_str).collect();
    let payments = book::lock_payments(&mut tx, &references).await.unwrap();
    told.push(format!("{payments:?}"));
    told
}

#[test]
fn a_batch_does_what_its_requests_do_one_by_one() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (together, _kept) = runtime.block_on(teller());
    let (one_by_one, _kept_too) = runtime.block_on(teller());
    let config = ProptestConfig {
        cases: 60,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let rounds = prop::collection::vec(prop::collection::vec(wish(), 1..14), 1..4);
    let outcome = TestRunner::new(config).run(&rounds, |rounds| {
        let case = Uuid::new_v4();
        let batch = |wishes: &Vec<Wish>| wishes.iter().map(|wish| asked(case, wish)).collect();
        let batches: Vec<Vec<_>> = rounds.iter().map(batch).collect();
        let alone: Vec<_> = rounds
            .iter()
            .flatten()
            .map(|wish| vec![asked(case, wish)])
            .collect();
        runtime.block_on(async {
            let at_once = ask(&together, case, &batches).await;
            let in_turn = ask(&one_by_one, case, &alone).await;
            prop_assert_eq!(at_once, in_turn, "{:?}", rounds);
            Ok(())
        })
    });
    outcome.unwrap();
}
