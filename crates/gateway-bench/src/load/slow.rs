//! Attacks by slowness, with `slowhttptest`, and what normal clients notice of them.

use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use tokio::process::Command;

use super::backend::Backend;
use super::even::Load;
use super::{Row, Size, start};

/// Connections of the attacker.
const CONNECTIONS: &str = "2000";

/// Attacks by the options of `slowhttptest`: heads, bodies and reads that never end.
const ATTACKS: [(&str, &[&str]); 3] = [
    ("slow heads", &["-H", "-i", "1"]),
    ("slow bodies", &["-B", "-i", "1", "-s", "8192"]),
    (
        "slow reads",
        &["-X", "-w", "10", "-y", "20", "-n", "1", "-z", "8"],
    ),
];

/// Attacks a gateway and measures what other clients wait meanwhile.
///
/// # Errors
/// When something cannot be started.
pub async fn slow(program: &str, size: Size) -> anyhow::Result<Vec<Row>> {
    let backend = Backend::start().await?;
    let (gateway, _routes) = start(program, backend.address(), &[]).await?;
    let seconds = size.of(15_u64, 5);
    let mut rows = Vec::new();
    for (what, options) in ATTACKS {
        let url = match what {
            "slow reads" => format!("http://{}/api/orders/long/1000000", gateway.address()),
            _ => format!("http://{}/api/orders/1", gateway.address()),
        };
        let lasting = seconds.to_string();
        let mut attack = Command::new("slowhttptest")
            .args(options)
            .args([
                "-c",
                CONNECTIONS,
                "-r",
                "500",
                "-l",
                &lasting,
                "-p",
                "2",
                "-u",
                &url,
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("slowhttptest cannot be started; scripts/install-test-deps installs it")?;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let lasting = Duration::from_secs(seconds - 2);
        let before = gateway.open_files()?;
        let seen = Load::new(gateway.address(), 16)
            .at_rate(500.0, lasting)
            .await?;
        let open = before.max(gateway.open_files()?);
        attack.kill().await.context("the attack has ended early")?;
        let p99_us = seen.micros(0.99);
        rows.push(Row::new(
            &format!(
                "slow: p99 of others during {what} ({} asked, {} failed, {open} sockets open)",
                seen.times.len(),
                seen.failures
            ),
            "50 ms",
            format!("{}.{} ms", p99_us / 1000, p99_us % 1000 / 100),
            p99_us < 50_000 && seen.failures == 0 && !seen.times.is_empty(),
        ));
    }
    Ok(rows)
}
