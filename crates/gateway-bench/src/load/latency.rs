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
use super::even::Load;
use super::nginx::Nginx;
use super::{Row, Size, serve, start};
use crate::process::{keep_to_processor, processor_time};

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
    let mut proxies = [
        Proxy::new("the gateway", gateway.address(), gateway.id()),
        Proxy::new("nginx", nginx.address(), nginx.id()),
    ];
    let mut without = [const { Vec::new() }; 2];
    for _ in 0..3 {
        let direct = Load::new(service, CLIENTS).at_rate(rate, turn).await?;
        let direct = QUANTILES.map(|quantile| direct.micros(quantile));
        for (seen, micros) in without.iter_mut().zip(direct) {
            seen.push(micros);
        }
        for proxy in &mut proxies {
            proxy.take_turn(rate, turn, direct).await?;
        }
    }
    for (seen, percent) in without.into_iter().zip(PERCENT) {
        let what = format!("latency: without a proxy, p{percent}");
        rows.push(median(&what, None, seen));
    }
    for (proxy, goals) in proxies.into_iter().zip([GOALS, [None; 2]]) {
        rows.extend(proxy.rows(goals));
    }
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

/// Half of the times and nearly all of them.
const QUANTILES: [f64; 2] = [0.5, 0.99];
const PERCENT: [u32; 2] = [50, 99];
/// What the gateway may add at these, in microseconds.
const GOALS: [Option<u64>; 2] = [Some(80), Some(500)];

/// A proxy, and what was seen of it, turn by turn and in microseconds.
struct Proxy {
    name: &'static str,
    address: SocketAddr,
    process: u32,
    /// By how much an answer comes later through it, at each of the quantiles.
    added: [Vec<u64>; 2],
    /// Its processor time for a request.
    costs: Vec<u64>,
    failures: u64,
}

impl Proxy {
    fn new(name: &'static str, address: SocketAddr, process: u32) -> Self {
        Self {
            name,
            address,
            process,
            added: Default::default(),
            costs: Vec::new(),
            failures: 0,
        }
    }

    async fn take_turn(
        &mut self,
        rate: f64,
        lasting: Duration,
        direct: [u64; 2],
    ) -> anyhow::Result<()> {
        let before = processor_time(self.process)?;
        let load = Load::new(self.address, CLIENTS);
        let seen = load.at_rate(rate, lasting).await?;
        let taken = processor_time(self.process)?.saturating_sub(before);
        for ((added, quantile), direct) in self.added.iter_mut().zip(QUANTILES).zip(direct) {
            added.push(seen.micros(quantile).saturating_sub(direct));
        }
        let requests = u128::from(seen.times.len() + seen.failures).max(1);
        self.costs
            .push(u64::try_from(taken.as_micros() / requests)?);
        self.failures += seen.failures;
        Ok(())
    }

    fn rows(self, goals: [Option<u64>; 2]) -> Vec<Row> {
        let name = self.name;
        let added = self.added.into_iter().zip(PERCENT).zip(goals);
        let added = added.map(|((added, percent), goal)| {
            median(&format!("latency: {name} adds at p{percent}"), goal, added)
        });
        let mut rows: Vec<_> = added.collect();
        let what = format!("latency: processor time of {name} for a request");
        rows.push(median(&what, None, self.costs));
        let what = format!("latency: failures through {name}");
        let (failures, is_met) = (self.failures.to_string(), self.failures == 0);
        rows.push(Row::new(&what, "0", failures, is_met));
        rows
    }
}

fn median(what: &str, goal: Option<u64>, mut seen: Vec<u64>) -> Row {
    seen.sort_unstable();
    let median = seen[seen.len() / 2];
    Row::new(
        &format!("{what}, median of {} ({seen:?})", seen.len()),
        &goal.map_or_else(String::new, |goal| format!("{goal} us")),
        format!("{median} us"),
        goal.is_none_or(|goal| median <= goal),
    )
}
