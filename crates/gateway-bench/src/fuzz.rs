//! Mutated streams of requests, sent to a real gateway before a strict recorder. What must hold of
//! every stream:
//!
//! - what reaches the recorder is one whole request for each request that the gateway has accepted,
//!   and no byte more (the recorder reads by its own grammar and tells what it cannot read);
//! - what comes back is one whole answer for each of them, in a form that has one reading;
//! - the connection ends within 10 s of the client's end.
//!
//! And of all together: no panic, no end of the process, and memory that does not grow.

mod client;
mod streams;

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::process::Gateway;
use crate::recorder::Recorder;
use client::run;
use streams::{Stream, stream_of};

/// Faults that are shown.
const SHOWN_FAULTS: usize = 10;

/// Streams after which memory is looked at for the first time: caches and buffers are filled then.
const WARM_UP_SHARE: u64 = 10;

/// How much to send.
#[derive(Clone, Debug)]
pub struct Params {
    /// The program of the gateway.
    pub program: String,
    /// Where the gateway keeps its registry, instead of a file of its own.
    pub database: Option<String>,
    /// What the streams are made from.
    pub seed: u64,
    /// How many streams there are.
    pub streams: u64,
    /// How many are under way at a time.
    pub at_once: usize,
    /// How much the gateway's memory may grow after the first tenth of the streams, in KiB.
    pub max_growth_kib: u64,
}

/// What was found.
#[derive(Debug)]
pub struct Report {
    /// Streams that were sent.
    pub streams: u64,
    /// Answers that came back.
    pub answers: u64,
    /// Those of them that the recorder has made.
    pub forwarded: u64,
    /// How many answers had which status.
    pub statuses: BTreeMap<u16, u64>,
    /// Streams that the client had to end, or that broke off.
    pub cut: u64,
    /// How long it took.
    pub took: Duration,
    /// Memory of the gateway after a tenth of the streams and after all, in KiB.
    pub memory_kib: (u64, u64),
    /// Lines about errors in the gateway's log.
    pub error_lines: u64,
    /// What must not be, with the stream that brought it up.
    pub faults: Vec<String>,
}

#[derive(Debug, Default)]
struct Tally {
    statuses: Mutex<BTreeMap<u16, u64>>,
    forwarded: AtomicU64,
    /// Streams that did not end by themselves, or that the gateway told that it had no answer: one of
    /// their requests may have lost it.
    cut: Mutex<HashSet<u64>>,
    faults: Mutex<Vec<String>>,
}

impl Tally {
    fn fault(&self, stream: &Stream, what: &str) {
        let mut faults = self.faults.lock().expect("nobody panics with it");
        if faults.len() < SHOWN_FAULTS {
            let bytes = String::from_utf8_lossy(&stream.bytes);
            faults.push(format!("stream {}: {what}\n  {bytes:?}", stream.number));
        }
    }

    fn has_many_faults(&self) -> bool {
        self.faults
            .lock()
            .is_ok_and(|faults| faults.len() >= SHOWN_FAULTS)
    }
}

/// Sends the streams and looks at what came of them.
///
/// # Errors
/// When the gateway cannot be started or ends.
pub async fn fuzz(params: &Params) -> anyhow::Result<Report> {
    let recorder = Arc::new(Recorder::start().await?);
    let mut settings = vec![
        ("GATEWAY__LIMITS__HEAD_TIMEOUT_MS", "3000".to_owned()),
        ("GATEWAY__LIMITS__BODY_IDLE_TIMEOUT_MS", "3000".to_owned()),
        // What is tried again reaches the recorder twice.
        ("GATEWAY__RESILIENCE__MAX_ATTEMPTS", "1".to_owned()),
    ];
    let database = params.database.clone();
    settings.extend(database.map(|url| ("GATEWAY__DATABASE__URL", url)));
    let mut gateway = Gateway::start(&params.program, recorder.address(), &settings).await?;
    let tally = Arc::new(Tally::default());
    let started = Instant::now();
    let first = params.streams.div_ceil(WARM_UP_SHARE);
    send(params, 0..first, &gateway, (&recorder, &tally)).await;
    let before = gateway.memory_kib()?;
    send(params, first..params.streams, &gateway, (&recorder, &tally)).await;
    let took = started.elapsed();
    let after = gateway.memory_kib().context("after all streams")?;
    anyhow::ensure!(gateway.ended()?.is_none(), "the gateway has ended");
    let serves = still_serves(&gateway, &recorder).await;
    let mut faults = tally
        .faults
        .lock()
        .map(|all| all.clone())
        .unwrap_or_default();
    let cut = tally.cut.lock().map(|cut| cut.clone()).unwrap_or_default();
    faults.extend(unanswered(params.seed, &recorder, &cut));
    if !serves {
        faults.push("a plain request is not served any more".to_owned());
    }
    let statuses = tally
        .statuses
        .lock()
        .map(|all| all.clone())
        .unwrap_or_default();
    let log = gateway.log();
    if log.panics > 0 {
        faults.push(format!("{} panics: {:?}", log.panics, log.faults));
    }
    if after > before + params.max_growth_kib {
        faults.push(format!("memory grew from {before} to {after} KiB"));
    }
    Ok(Report {
        streams: params.streams,
        answers: statuses.values().sum(),
        statuses,
        forwarded: tally.forwarded.load(Ordering::Relaxed),
        cut: cut.len() as u64,
        took,
        memory_kib: (before, after),
        error_lines: log.errors,
        faults,
    })
}

async fn send(
    params: &Params,
    numbers: std::ops::Range<u64>,
    gateway: &Gateway,
    (recorder, tally): (&Arc<Recorder>, &Arc<Tally>),
) {
    let next = Arc::new(AtomicU64::new(numbers.start));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..params.at_once {
        let (next, recorder, tally) = (Arc::clone(&next), Arc::clone(recorder), Arc::clone(tally));
        let (seed, end, address) = (params.seed, numbers.end, gateway.address());
        tasks.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= end || tally.has_many_faults() {
                    return;
                }
                let stream = stream_of(seed, number);
                run(address, &stream, &recorder, &tally).await;
            }
        });
    }
    while tasks.join_next().await.is_some() {}
}

/// Requests that reached the recorder although the gateway has given no client an answer to them.
fn unanswered(seed: u64, recorder: &Recorder, cut: &HashSet<u64>) -> Vec<String> {
    recorder.notes(|notes| {
        let mut faults = std::mem::take(&mut notes.faults);
        let mut nobodys = 0;
        for target in notes.open.values() {
            match streams::number_in(target) {
                Some(number) if cut.contains(&number) => {}
                Some(number) => faults.push(format!(
                    "stream {number}: {target} reached the service, and nobody got its answer\n  {:?}",
                    String::from_utf8_lossy(&stream_of(seed, number).bytes)
                )),
                None => nobodys += 1,
            }
        }
        // A mutated target does not say whose it is; each of them needs a client that went away.
        if nobodys > cut.len() {
            faults.push(format!(
                "{nobodys} requests reached the service out of nowhere"
            ));
        }
        faults.truncate(SHOWN_FAULTS);
        faults
    })
}

async fn still_serves(gateway: &Gateway, recorder: &Arc<Recorder>) -> bool {
    let tally = Tally::default();
    run(gateway.address(), &streams::plain(), recorder, &tally).await;
    tally.forwarded.load(Ordering::Relaxed) == 1
}
