//! Clients that keep their connections and say nothing.

use std::time::Duration;

use tokio::task::JoinSet;

use super::backend::Backend;
use super::client::Client;
use super::{Row, Size, mib, start};

/// How long the last of them has been silent when the memory is read.
const SILENCE: Duration = Duration::from_secs(2);

/// Measures the memory of idle kept connections, each of which has asked once.
///
/// # Errors
/// When something cannot be started or a request fails.
pub async fn idle(program: &str, size: Size) -> anyhow::Result<Vec<Row>> {
    let count = size.of(10_000, 1_000);
    let backend = Backend::start().await?;
    let (gateway, _routes) = start(program, backend.address(), &[]).await?;
    let before = gateway.memory_kib()?;
    let mut clients = Vec::with_capacity(count);
    while clients.len() < count {
        let mut tasks = JoinSet::new();
        for _ in 0..100.min(count - clients.len()) {
            let address = gateway.address();
            tasks.spawn(async move {
                let mut client = Client::connect(address).await?;
                client.ask().await.map(|_answer| client)
            });
        }
        while let Some(client) = tasks.join_next().await {
            clients.push(client??);
        }
    }
    tokio::time::sleep(SILENCE).await;
    let after = gateway.memory_kib()?;
    let mut alive = 0;
    for client in &mut clients {
        alive += usize::from(client.ask().await.is_ok());
    }
    let goal_kib = 150 * 1024;
    Ok(vec![
        Row::new(
            &format!(
                "idle: memory before and with {count} clients ({})",
                mib(before)
            ),
            "150 MiB",
            mib(after),
            after <= goal_kib,
        ),
        Row::new(
            "idle: clients that are served afterwards",
            &count.to_string(),
            alive.to_string(),
            alive == count,
        ),
    ])
}
