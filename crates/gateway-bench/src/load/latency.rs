//! How much later an answer comes through the gateway than without it, at half of what it can carry,
//! and through nginx at the same rate.
//!
//! The proxy has the first processor, and clients and service share the second one: what is measured is
//! the proxy, and not how the system shares out processors that all of them want.

use std::net::SocketAddr;
use std::sync::mpsc;
use std::time::Duration;

use tokio::runtime;

use super::client::at_once;
use super::even::{Load, Seen};
use super::nginx::Nginx;
use super::{Row, Size, serve, start};
use crate::process::keep_to_processor;

/// Connections of the load.
const CLIENTS: usize = 32;

const PROXY: usize = 0;
const OTHERS: usize = 1;

/// Measures p50 and p99 with and without the proxies, in turns in one run.
///
/// # Errors
/// When something cannot be started or a request fails on the way.
pub async fn latency(program: &str, size: Size) -> anyhow::Result<Vec<Row>> {
    keep_to_processor(std::process::id(), OTHERS)?;
    let service = start_service()?;
    let one_worker = [("GATEWAY__SERVER__WORKERS", "1".to_owned())];
    let (gateway, _routes) = start(program, service, &one_worker).await?;
    keep_to_processor(gateway.id(), PROXY)?;
    let nginx = Nginx::start(service).await?;
    keep_to_processor(nginx.id(), PROXY)?;
    let turn = Duration::from_secs(size.of(10, 2));
    let most = at_once(gateway.address(), CLIENTS, turn / 2).await?;
    let rate = most / 2.0;
    let mut rows = vec![Row::new(
        "latency: half of the load that it carries here",
        "",
        format!("{rate:.0} requests/s"),
        true,
    )];
    let (mut ours, mut theirs, mut failures) = (Added::default(), Added::default(), 0);
    let mut without = Vec::new();
    for _ in 0..3 {
        let load = |address| Load::new(address, CLIENTS);
        let direct = load(service).at_rate(rate, turn).await?;
        without.push(QUANTILES.map(|quantile| direct.micros(quantile)));
        let through = load(gateway.address()).at_rate(rate, turn).await?;
        ours.note(&through, &direct);
        failures += through.failures;
        let through = load(nginx.address()).at_rate(rate, turn).await?;
        theirs.note(&through, &direct);
    }
    rows.push(Row::new(
        &format!("latency: without a proxy, p50 and p99 of 3 ({without:?})"),
        "",
        String::new(),
        true,
    ));
    rows.extend(ours.rows("the gateway", [Some(80), Some(500)]));
    rows.extend(theirs.rows("nginx", [None, None]));
    rows.push(Row::new(
        "latency: failures",
        "0",
        failures.to_string(),
        failures == 0,
    ));
    Ok(rows)
}

/// A service with one thread, until the process ends: the fewer there are, the less they get in each
/// other's way on the processor that they share with the clients.
fn start_service() -> anyhow::Result<SocketAddr> {
    let (tell, told) = mpsc::channel();
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    std::thread::spawn(move || {
        runtime.block_on(serve(|port| {
            // Who asked waits for it.
            let _ = tell.send(port);
        }))
    });
    Ok(([127, 0, 0, 1], told.recv()?).into())
}

/// What a proxy adds at p50 and p99, in microseconds, turn by turn.
#[derive(Default)]
struct Added([Vec<u64>; 2]);

const QUANTILES: [f64; 2] = [0.5, 0.99];

impl Added {
    fn note(&mut self, through: &Seen, direct: &Seen) {
        for (added, quantile) in self.0.iter_mut().zip(QUANTILES) {
            let (later, before) = (through.micros(quantile), direct.micros(quantile));
            added.push(later.saturating_sub(before));
        }
    }

    fn rows(self, whose: &str, goals: [Option<u64>; 2]) -> impl Iterator<Item = Row> {
        let all = self.0.into_iter().zip(QUANTILES).zip(goals);
        all.map(move |((mut added, quantile), goal)| {
            added.sort_unstable();
            let median = added[added.len() / 2];
            let percent = quantile * 100.0;
            Row::new(
                &format!("latency: {whose} adds at p{percent}, median of 3 ({added:?})"),
                &goal.map_or_else(String::new, |goal| format!("{goal} us")),
                format!("{median} us"),
                goal.is_none_or(|goal| median <= goal),
            )
        })
    }
}
