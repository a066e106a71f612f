//! A service that closes unused connections whenever it likes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::task::JoinSet;

use super::backend::Backend;
use super::client::Client;
use super::{Row, Size, start};

/// Connections of the load.
const CLIENTS: usize = 32;

/// One in so many requests is a POST.
const POST_SHARE: u64 = 10;

#[derive(Debug, Default)]
struct Tally {
    failed_gets: AtomicU64,
    failed_posts: AtomicU64,
}

/// Asks while connections behind the gateway are closed at random.
///
/// # Errors
/// When something cannot be started, or the gateway ends a client's connection.
pub async fn closes(program: &str, size: Size) -> anyhow::Result<Vec<Row>> {
    let count = size.of(1_000_000, 20_000);
    let backend = Backend::closing().await?;
    // A POST may fail here, and many of them say nothing about the service.
    let settings = [(
        "GATEWAY__RESILIENCE__BREAKER_MIN_CALLS",
        "1000000000".to_owned(),
    )];
    let (gateway, _routes) = start(program, backend.address(), &settings).await?;
    let (tally, next) = (Arc::new(Tally::default()), Arc::new(AtomicU64::new(0)));
    let mut tasks = JoinSet::new();
    for _ in 0..CLIENTS {
        let client = Client::connect(gateway.address()).await?;
        tasks.spawn(ask(client, count, Arc::clone(&next), Arc::clone(&tally)));
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    let failed_gets = tally.failed_gets.load(Ordering::Relaxed);
    let failed_posts = tally.failed_posts.load(Ordering::Relaxed);
    let doubled = backend.doubled_posts();
    Ok(vec![
        Row::new(
            &format!(
                "closes: failed GETs of {}",
                count - count.div_ceil(POST_SHARE)
            ),
            "0",
            failed_gets.to_string(),
            failed_gets == 0,
        ),
        Row::new(
            &format!(
                "closes: POSTs of {} that arrived twice ({failed_posts} answered 502)",
                count.div_ceil(POST_SHARE)
            ),
            "0",
            doubled.to_string(),
            doubled == 0,
        ),
    ])
}

async fn ask(
    mut client: Client,
    count: u64,
    next: Arc<AtomicU64>,
    tally: Arc<Tally>,
) -> std::io::Result<()> {
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= count {
            return Ok(());
        }
        let is_post = number.is_multiple_of(POST_SHARE);
        let answer = match is_post {
            true => {
                let head = format!(
                    "POST /api/orders/{number} HTTP/1.1\r\nHost: bench\r\nContent-Length: 0\r\n\r\n"
                );
                client.ask_for(head.as_bytes()).await?
            }
            false => client.ask().await?,
        };
        let failed = match (answer.status, is_post) {
            (200, _) => continue,
            (_, true) => &tally.failed_posts,
            (_, false) => &tally.failed_gets,
        };
        failed.fetch_add(1, Ordering::Relaxed);
    }
}
