//! Random messages through a gateway in both directions: what arrives is what was sent, but for the
//! headers that `docs/gateway.md` names, and a part of an answer never arrives as the whole.

mod exchange;
mod plan;
mod service;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::process::Gateway;
use plan::Plan;
use service::Service;

/// Faults that are shown.
const SHOWN_FAULTS: usize = 10;

/// How much to send.
#[derive(Clone, Debug)]
pub struct Params {
    /// The program of the gateway.
    pub program: String,
    /// Where the gateway keeps its registry, instead of a file of its own.
    pub database: Option<String>,
    /// What the messages are made from.
    pub seed: u64,
    /// How many there are.
    pub messages: u64,
    /// How many are under way at a time.
    pub at_once: usize,
    /// The largest body, in bytes.
    pub max_body_bytes: u64,
}

/// What was found.
#[derive(Debug)]
pub struct Report {
    /// Messages that came through unaltered, in both directions.
    pub equal: u64,
    /// Answers that the service broke off, and that arrived as broken off.
    pub broken_off: u64,
    /// Bytes of bodies, both directions together.
    pub body_bytes: u64,
    /// How long it took.
    pub took: Duration,
    /// What must not be.
    pub faults: Vec<String>,
}

#[derive(Debug, Default)]
struct Tally {
    equal: AtomicU64,
    broken_off: AtomicU64,
    body_bytes: AtomicU64,
    faults: Mutex<Vec<String>>,
}

/// Where the routes of the gateway begin for these messages: all of them pass as they are.
const ROUTES: &str = "routes = [{prefix = \"/t\", service = \"order\"}]\n";

/// Sends the messages and compares.
///
/// # Errors
/// When the gateway cannot be started.
pub async fn compare(params: &Params) -> anyhow::Result<Report> {
    let service = Arc::new(Service::start().await?);
    let folder = tempfile::tempdir()?;
    let routes = folder.path().join("gateway.toml");
    std::fs::write(&routes, ROUTES)?;
    let mut settings = vec![
        ("GATEWAY__ROUTING__FILE", routes.display().to_string()),
        ("GATEWAY__LIMITS__MAX_BODY_BYTES", (1_u64 << 30).to_string()),
        // Answers of 5xx are asked for here; none of them says anything about the service.
        (
            "GATEWAY__RESILIENCE__BREAKER_MIN_CALLS",
            "1000000000".to_owned(),
        ),
        ("GATEWAY__RESILIENCE__MAX_ATTEMPTS", "1".to_owned()),
    ];
    let database = params.database.clone();
    settings.extend(database.map(|url| ("GATEWAY__DATABASE__URL", url)));
    let gateway = Gateway::start(&params.program, service.address(), &settings).await?;
    let tally = Arc::new(Tally::default());
    let started = Instant::now();
    let next = Arc::new(AtomicU64::new(0));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..params.at_once {
        let (next, tally, service) = (Arc::clone(&next), Arc::clone(&tally), Arc::clone(&service));
        let (params, address) = (params.clone(), gateway.address());
        tasks.spawn(async move { keep_sending(&params, address, &next, (&service, &tally)).await });
    }
    while tasks.join_next().await.is_some() {}
    let mut faults = tally
        .faults
        .lock()
        .map(|all| all.clone())
        .unwrap_or_default();
    let log = gateway.log();
    if log.panics > 0 {
        faults.push(format!("{} panics: {:?}", log.panics, log.faults));
    }
    Ok(Report {
        equal: tally.equal.load(Ordering::Relaxed),
        broken_off: tally.broken_off.load(Ordering::Relaxed),
        body_bytes: tally.body_bytes.load(Ordering::Relaxed),
        took: started.elapsed(),
        faults,
    })
}

async fn keep_sending(
    params: &Params,
    address: SocketAddr,
    next: &AtomicU64,
    (service, tally): (&Service, &Tally),
) {
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        let many = tally
            .faults
            .lock()
            .is_ok_and(|all| all.len() >= SHOWN_FAULTS);
        if number >= params.messages || many {
            return;
        }
        let plan = Plan::of(params.seed, number, params.max_body_bytes);
        let bytes = plan.request.body_bytes + plan.answer.body_bytes;
        tally.body_bytes.fetch_add(bytes, Ordering::Relaxed);
        match exchange::run(address, &plan, service).await {
            Ok(()) if plan.answer.breaks_off_at.is_some() => {
                tally.broken_off.fetch_add(1, Ordering::Relaxed);
            }
            Ok(()) => {
                tally.equal.fetch_add(1, Ordering::Relaxed);
            }
            Err(fault) => {
                let mut faults = tally.faults.lock().expect("nobody panics with it");
                faults.push(format!("message {number}: {fault:#}\n  {plan:?}"));
            }
        }
    }
}
