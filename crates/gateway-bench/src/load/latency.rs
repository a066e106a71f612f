//! How much later an answer comes through the gateway than without it, at half of what it can carry.

use std::time::Duration;

use super::backend::Backend;
use super::client::{Load, at_once};
use super::{Row, Size, start};

/// Connections of the load.
const CLIENTS: u32 = 32;

/// Measures p50 and p99 with and without the gateway, in turns in one run.
///
/// # Errors
/// When something cannot be started or a request fails on the way.
pub async fn latency(program: &str, size: Size) -> anyhow::Result<Vec<Row>> {
    let backend = Backend::start().await?;
    let (gateway, _routes) = start(program, backend.address(), &[]).await?;
    let turn = Duration::from_secs(size.of(10, 2));
    let most = at_once(gateway.address(), CLIENTS, turn / 2).await?;
    let rate = most / 2.0;
    let mut rows = vec![Row::new(
        "latency: half of the load that it carries here",
        "",
        format!("{rate:.0} requests/s"),
        true,
    )];
    let (mut added_50, mut added_99, mut failures) = (Vec::new(), Vec::new(), 0);
    for _ in 0..3 {
        let direct = Load::new(backend.address(), CLIENTS);
        let direct = direct.at_rate(rate, turn).await?;
        let through = Load::new(gateway.address(), CLIENTS);
        let through = through.at_rate(rate, turn).await?;
        added_50.push(through.micros(0.5).saturating_sub(direct.micros(0.5)));
        added_99.push(through.micros(0.99).saturating_sub(direct.micros(0.99)));
        failures += through.failures;
    }
    for (what, goal, mut added) in [("p50", 80, added_50), ("p99", 500, added_99)] {
        added.sort_unstable();
        let median = added[1];
        rows.push(Row::new(
            &format!("latency: added at {what}, median of 3 ({added:?})"),
            &format!("{goal} us"),
            format!("{median} us"),
            median <= goal,
        ));
    }
    rows.push(Row::new(
        "latency: failures",
        "0",
        failures.to_string(),
        failures == 0,
    ));
    Ok(rows)
}
