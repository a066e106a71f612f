//! Logins: how many, how many at once, how long, and what they leave in memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures_util::future::join_all;
use reqwest::StatusCode;

use crate::server::{OWNER, PASSWORD, Server};
use crate::{Row, hashes};

/// Turns of `argon2` alone, each beside one of logins: the speed of a shared processor changes within
/// seconds, so that only neighbours can be compared.
const PAIRS: usize = 32;
const TURN: Duration = Duration::from_secs(4);
const CLIENTS: usize = 8;
const AT_ONCE: usize = 500;
const TIMED: usize = 500;
const SESSIONS: usize = 10_000;
/// What an idle service may take.
const IDLE_MIB: f64 = 20.0;
/// What one hash at OWASP's floor takes.
const HASH_MIB: f64 = 19.0;

pub(crate) async fn measure(program: &str) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    {
        let server = Arc::new(Server::start(program, &[]).await?);
        tokio::time::sleep(Duration::from_secs(5)).await;
        let idle = server.memory_mib()?;
        rows.push(Row::new(
            "memory, idle",
            format!("<= {IDLE_MIB} MB"),
            format!("{idle:.1} MB"),
            idle <= IDLE_MIB,
        ));
        rows.extend(throughput(&server).await?);
        rows.extend(timing(&server).await?);
        rows.extend(burst(&server).await?);
    }
    rows.push(sessions(program).await?);
    Ok(rows)
}

async fn throughput(server: &Arc<Server>) -> anyhow::Result<Vec<Row>> {
    let (mut alone, mut logins, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    let mut of_login = Vec::new();
    for pair in 0..PAIRS {
        // Whoever is always second would always have what the processor became meanwhile.
        let logins_first = pair % 2 == 1;
        if !logins_first {
            alone.push(hashes_per_second().await?);
        }
        let before = server.cpu_seconds()?;
        let (per_second, number) = logins_per_second(server).await?;
        logins.push(per_second);
        of_login.push(1_000.0 * (server.cpu_seconds()? - before) / number);
        if logins_first {
            alone.push(hashes_per_second().await?);
        }
    }
    for (logins, alone) in logins.iter().zip(&alone) {
        ratios.push(100.0 * logins / alone);
    }
    let (alone, logins) = (median(&mut alone)?, median(&mut logins)?);
    let (ratio, of_login) = (median(&mut ratios)?, median(&mut of_login)?);
    let (Some(least), Some(most)) = (ratios.first(), ratios.last()) else {
        anyhow::bail!("nothing was measured");
    };
    let processors = f64::from(u32::try_from(std::thread::available_parallelism()?.get())?);
    let of_hash = 1_000.0 * processors / alone;
    Ok(vec![
        Row::new(
            format!("logins per second, of what argon2 alone does, {PAIRS} pairs"),
            ">= 95 %",
            format!("{ratio:.1} % ({least:.0} to {most:.0})"),
            ratio >= 95.0,
        ),
        Row::new(
            "logins; hashes alone, per second",
            "",
            format!("{logins:.1}; {alone:.1}"),
            true,
        ),
        // The clients run on the same processors, which argon2 alone has to itself.
        Row::new(
            "processor time: a hash alone; a login",
            "",
            format!("{of_hash:.2}; {of_login:.2} ms"),
            true,
        ),
    ])
}

async fn hashes_per_second() -> anyhow::Result<f64> {
    tokio::task::spawn_blocking(|| hashes::per_second(TURN)).await?
}

/// How many per second, and how many, of clients that sign in again and again. What they began is counted
/// and waited for, as each hash of [`hashes`] is.
async fn logins_per_second(server: &Server) -> anyhow::Result<(f64, f64)> {
    let callers = join_all((0..CLIENTS).map(|_| server.caller())).await;
    let callers: Result<Vec<_>, _> = callers.into_iter().collect();
    let started = Instant::now();
    let clients = callers?.into_iter().map(|mut caller| {
        tokio::spawn(async move {
            let mut logins: u32 = 0;
            while started.elapsed() < TURN {
                let status = caller.log_in(OWNER, PASSWORD).await?;
                anyhow::ensure!(status == StatusCode::OK, "answered {status}");
                logins += 1;
            }
            anyhow::Ok(logins)
        })
    });
    let mut logins = 0;
    for client in join_all(clients).await {
        logins += client??;
    }
    let logins = f64::from(logins);
    Ok((logins / started.elapsed().as_secs_f64(), logins))
}

/// Wrong passwords of a known and of unknown accounts, in turns.
async fn timing(server: &Server) -> anyhow::Result<Vec<Row>> {
    let (mut known, mut unknown) = (Vec::new(), Vec::new());
    for number in 0..TIMED {
        known.push(refused_after_ms(server, OWNER).await?);
        let nobody = format!("nobody-{number}@maru.local");
        unknown.push(refused_after_ms(server, &nobody).await?);
    }
    let (known, unknown) = (median(&mut known)?, median(&mut unknown)?);
    let difference = (known - unknown).abs();
    Ok(vec![Row::new(
        "known or unknown account, wrong password: median differs by",
        "< 5 ms",
        format!("{difference:.2} ms ({known:.1}, {unknown:.1})"),
        difference < 5.0,
    )])
}

async fn refused_after_ms(server: &Server, email: &str) -> anyhow::Result<f64> {
    let started = Instant::now();
    let answer = server.log_in(email, "a wrong password").await?;
    let status = answer.status();
    let _body = answer.bytes().await?;
    anyhow::ensure!(status == StatusCode::UNAUTHORIZED, "answered {status}");
    Ok(started.elapsed().as_secs_f64() * 1_000.0)
}

async fn burst(server: &Arc<Server>) -> anyhow::Result<Vec<Row>> {
    let processors = u32::try_from(std::thread::available_parallelism()?.get())?;
    // What the rounds before left goes back to the system after a while.
    tokio::time::sleep(Duration::from_secs(65)).await;
    let idle = server.memory_mib()?;
    let connected = with_open_connections(server).await?;
    let ended = Arc::new(AtomicBool::new(false));
    let watcher = tokio::spawn(watch_memory(Arc::clone(server), Arc::clone(&ended)));
    let logins = (0..AT_ONCE).map(|_| {
        let server = Arc::clone(server);
        tokio::spawn(async move { server.log_in(OWNER, PASSWORD).await })
    });
    let (mut let_in, mut told_to_wait, mut wrong) = (0, 0, 0);
    for login in join_all(logins).await {
        match login? {
            Ok(answer) if answer.status() == StatusCode::OK => let_in += 1,
            Ok(answer)
                if answer.status() == StatusCode::SERVICE_UNAVAILABLE
                    && answer.headers().contains_key("retry-after") =>
            {
                told_to_wait += 1;
            }
            Ok(_) | Err(_) => wrong += 1,
        }
    }
    ended.store(true, Ordering::Relaxed);
    let most = watcher.await??;
    let hashes = f64::from(processors) * HASH_MIB;
    let clients = f64::from(u32::try_from(AT_ONCE)?);
    let limit = idle + hashes;
    // Connections, requests that wait, refusals.
    let each = 1_024.0 * (most - limit) / clients;
    Ok(vec![
        Row::new(
            "500 connections and nothing else: memory",
            "",
            format!("{connected:.1} MB (idle {idle:.1})"),
            true,
        ),
        Row::new(
            "500 logins at once: memory",
            format!("<= {limit:.1} MB"),
            format!("{most:.1} MB (idle {idle:.1})"),
            most <= limit,
        ),
        Row::new(
            "500 logins at once: each beside idle and hashes",
            "",
            format!("{each:.1} KB"),
            true,
        ),
        Row::new(
            "500 logins at once: neither 200 nor 503 with Retry-After",
            "0",
            format!("{wrong} ({let_in} and {told_to_wait})"),
            wrong == 0 && let_in > 0 && told_to_wait > 0,
        ),
    ])
}

/// The memory while so many clients are connected that ask for nothing.
async fn with_open_connections(server: &Server) -> anyhow::Result<f64> {
    let clients = join_all((0..AT_ONCE).map(|_| server.connect())).await;
    let clients: Result<Vec<_>, _> = clients.into_iter().collect();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let memory = server.memory_mib()?;
    drop(clients?);
    tokio::time::sleep(Duration::from_secs(2)).await;
    Ok(memory)
}

async fn watch_memory(server: Arc<Server>, ended: Arc<AtomicBool>) -> anyhow::Result<f64> {
    let mut most: f64 = 0.0;
    while !ended.load(Ordering::Relaxed) {
        most = most.max(server.memory_mib()?);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(most)
}

/// With cheap hashes, because it is about what sessions leave behind.
async fn sessions(program: &str) -> anyhow::Result<Row> {
    let cheap = [
        ("USER__HASHING__MEMORY_KIB", "8192"),
        ("USER__HASHING__PASSES", "1"),
    ];
    let server = Arc::new(Server::start(program, &cheap).await?);
    let left = Arc::new(AtomicU32::new(u32::try_from(SESSIONS)?));
    let clients = (0..CLIENTS).map(|_| {
        let (server, left) = (Arc::clone(&server), Arc::clone(&left));
        tokio::spawn(async move {
            let take = |left: u32| left.checked_sub(1);
            while left
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
                .is_ok()
            {
                server.open_session().await?;
            }
            anyhow::Ok(())
        })
    });
    for client in join_all(clients).await {
        client??;
    }
    tokio::time::sleep(Duration::from_secs(65)).await;
    let memory = server.memory_mib()?;
    Ok(Row::new(
        format!("memory with {SESSIONS} sessions"),
        "<= 40 MB",
        format!("{memory:.1} MB"),
        memory <= 40.0,
    ))
}

fn median(values: &mut [f64]) -> anyhow::Result<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.get(values.len() / 2);
    middle.copied().context("nothing was measured")
}
