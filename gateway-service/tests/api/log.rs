//! The log of the program, which nobody may have to wait for.

use std::net::SocketAddr;

use gateway_bench::process::Gateway;
use testkit::{TestDatabase, wait_until};

use crate::client::Client;

/// More lines than wait in the program and in the pipe behind it.
const REQUESTS: u64 = 10_000;

const NOWHERE: &str = "GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n";

#[tokio::test]
async fn what_nobody_reads_is_dropped_and_counted() {
    let database = TestDatabase::create().await;
    let program = env!("CARGO_BIN_EXE_gateway-service");
    let service = SocketAddr::from(([127, 0, 0, 1], 1));
    let url = database.url().to_owned();
    let gateway = Gateway::start(program, service, &[("GATEWAY__DATABASE__URL", url)]).await;
    let gateway = gateway.expect("the gateway starts");
    let mut client = Client::connect(gateway.address()).await;
    let unread = gateway.leave_log_unread();
    for _ in 0..REQUESTS {
        client.ask(NOWHERE).await.expect(404);
    }
    let dropped = dropped(&mut client).await;
    assert!((1..REQUESTS).contains(&dropped), "{dropped}");
    drop(unread);
    // What waited comes now, and nothing is lost any more.
    wait_until("the lines that waited", || async {
        gateway.log().lines + dropped >= REQUESTS
    })
    .await;
    let before = gateway.log().lines;
    client.ask(NOWHERE).await.expect(404);
    wait_until("one more line", || async { gateway.log().lines > before }).await;
}

async fn dropped(client: &mut Client) -> u64 {
    let metrics = client.ask("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let text = metrics.expect(200).text();
    let mut lines = text.lines();
    let count = lines.find_map(|line| line.strip_prefix("log_lines_dropped_total "));
    count.expect("the count is told").parse().unwrap()
}
