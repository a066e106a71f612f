//! A signal to stop under load: what was asked is answered, and nobody is left without a word.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tokio::task::JoinSet;

use super::backend::Backend;
use super::client::Client;
use super::{Row, Size, start};

/// Connections of the load.
const CLIENTS: u32 = 64;

#[derive(Debug, Default)]
struct Tally {
    answers: AtomicU64,
    /// Clients that were told that an answer was the last one.
    told: AtomicU64,
    /// Requests without a whole answer on a connection that nobody had ended.
    broken: AtomicU64,
}

/// Sends the signal a few times to a gateway of its own, and counts requests without a whole answer.
///
/// # Errors
/// When something cannot be started, or the gateway does not end.
pub async fn stop(program: &str, size: Size) -> anyhow::Result<Vec<Row>> {
    let tally = Arc::new(Tally::default());
    let mut slowest = Duration::ZERO;
    let rounds = size.of(10, 2);
    for _ in 0..rounds {
        slowest = slowest.max(round(program, &tally).await?);
    }
    let answers = tally.answers.load(Ordering::Relaxed);
    let told = tally.told.load(Ordering::Relaxed);
    let broken = tally.broken.load(Ordering::Relaxed);
    Ok(vec![
        Row::new(
            &format!("stop: requests without a whole answer, of {answers} in {rounds} stops"),
            "0",
            broken.to_string(),
            broken == 0,
        ),
        Row::new(
            &format!("stop: slowest end ({told} connections told of it beforehand)"),
            "30 s",
            format!("{:.1} s", slowest.as_secs_f64()),
            slowest < Duration::from_secs(30),
        ),
    ])
}

async fn round(program: &str, tally: &Arc<Tally>) -> anyhow::Result<Duration> {
    let backend = Backend::start().await?;
    let (mut gateway, _routes) = start(program, backend.address(), &[]).await?;
    let stopping = Arc::new(AtomicBool::new(false));
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let client = Client::connect(gateway.address()).await?;
        clients.spawn(ask_until_told(
            client,
            Arc::clone(tally),
            Arc::clone(&stopping),
        ));
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    stopping.store(true, Ordering::SeqCst);
    gateway.signal(Signal::TERM)?;
    let started = Instant::now();
    while gateway.ended()?.is_none() {
        anyhow::ensure!(
            started.elapsed() < Duration::from_secs(60),
            "it does not end"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let took = started.elapsed();
    while clients.join_next().await.is_some() {}
    Ok(took)
}

async fn ask_until_told(mut client: Client, tally: Arc<Tally>, stopping: Arc<AtomicBool>) {
    loop {
        match client.ask().await {
            Ok(answer) => {
                tally.answers.fetch_add(1, Ordering::Relaxed);
                if answer.is_last {
                    tally.told.fetch_add(1, Ordering::Relaxed);
                    return;
                }
            }
            // An unused connection may be closed at any time (RFC 9112, section 9.3): when the request
            // was on its way meanwhile, nothing of an answer has come, and the client may repeat it.
            Err(_closed) if stopping.load(Ordering::SeqCst) && client.is_between_answers() => {
                return;
            }
            Err(_broken) => {
                tally.broken.fetch_add(1, Ordering::Relaxed);
                return;
            }
        }
    }
}
