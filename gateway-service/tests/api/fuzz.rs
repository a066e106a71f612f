//! Mutated streams of requests. `bench/gateway/fuzz` sends a million of them.

use gateway_bench::fuzz::{Params, fuzz};
use testkit::TestDatabase;

/// The streams are new in every run; a seed that found something is put in its place to see it again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_reaches_a_service_is_one_request_for_each_that_was_accepted() {
    let database = TestDatabase::create().await;
    let params = Params {
        program: env!("CARGO_BIN_EXE_gateway-service").to_owned(),
        database: Some(database.url().to_owned()),
        seed: u64::from(std::process::id()),
        streams: 3_000,
        at_once: 32,
        max_growth_kib: 32 * 1024,
    };
    let report = fuzz(&params).await.expect("the gateway goes on");
    let seed = params.seed;
    assert!(
        report.faults.is_empty(),
        "seed {seed}: {:#?}",
        report.faults
    );
    // A client must not be able to fill the log with errors of its own making.
    assert_eq!(report.error_lines, 0, "seed {seed}");
    // Enough of them must have got through for the others to have hidden behind.
    assert!(report.forwarded > 1_000, "seed {seed}: {report:?}");
}
