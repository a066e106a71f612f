//! Random messages in both directions. `bench/gateway/transparency` sends ten thousand, with bodies of
//! up to 64 MiB.

use gateway_bench::transparency::{Params, compare};
use testkit::TestDatabase;

/// The messages are new in every run; a seed that found something is put in its place to see it again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_arrive_as_they_were_sent_but_for_the_documented_headers() {
    let database = TestDatabase::create().await;
    let params = Params {
        program: env!("CARGO_BIN_EXE_gateway-service").to_owned(),
        database: Some(database.url().to_owned()),
        seed: u64::from(std::process::id()),
        messages: 400,
        at_once: 8,
        max_body_bytes: 8 * 1024 * 1024,
    };
    let report = compare(&params).await.expect("the gateway goes on");
    let seed = params.seed;
    assert!(
        report.faults.is_empty(),
        "seed {seed}: {:#?}",
        report.faults
    );
    assert_eq!(report.equal + report.broken_off, params.messages);
    assert!(report.broken_off > 0, "seed {seed}: {report:?}");
}
