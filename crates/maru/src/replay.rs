//! `maru replay`: places the imported orders again, as live ones.
//!
//! The load is open: orders are due at a fixed rate whether or not earlier ones have been answered,
//! and latency counts from the moment an order was due, so a stalled server cannot hide its own
//! delay. Each order has an idempotency key of its run and itself and is asked for with that key
//! until an answer is known. At the end every order is confirmed, cancelled, refused or, said
//! loudly, unresolved.

mod acknowledged;
mod place;
mod source;
mod tally;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use common::clock::Clock;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

use crate::client::{Gateway, GatewayArgs, RetryPolicy};
use crate::demo::stock::{self, Delivery, Store};
use crate::output::{complain, say};
use crate::progress::show_counters;
use acknowledged::Acknowledged;
use place::Placing;
use source::{Replayed, read_orders};
use tally::{SharedTally, Summary};

/// Orders whose end is awaited at a time; beyond it the load waits and is no longer open.
const MAX_IN_FLIGHT: usize = 8_192;
/// Orders read ahead.
const READ_AHEAD: usize = 1_024;
/// A dish or three per order is stocked.
const SERVINGS_PER_ORDER: u64 = 3;

/// What `maru replay` can place.
#[derive(Clone, Debug, clap::Args)]
pub struct ReplayArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum What {
    /// Place imported orders as live ones
    Orders(OrdersArgs),
}

/// How orders are replayed.
#[derive(Clone, Debug, clap::Args)]
pub struct OrdersArgs {
    /// Orders per second
    #[arg(long, default_value_t = 20.0, value_parser = rate)]
    pub rate: f64,
    /// Stop after this many orders [default: each imported order once]
    #[arg(long)]
    pub count: Option<u64>,
    /// Stop placing after this many seconds
    #[arg(long, value_name = "SECONDS")]
    pub duration: Option<u64>,
    /// Deliver enough stock first
    #[arg(long)]
    pub seed_stock: bool,
    /// Payment token; several are used in turn
    #[arg(long = "token", default_value = "tok_ok")]
    pub tokens: Vec<String>,
    /// Seconds until an order without a known end is called unresolved
    #[arg(long, value_name = "SECONDS", default_value_t = 180)]
    pub settle_timeout: u64,
    /// Names the run; the same name places the same orders no second time [default: random]
    #[arg(long)]
    pub run_id: Option<String>,
    /// List the orders that the server acknowledged here, for `maru verify --acknowledged`
    #[arg(long, value_name = "FILE")]
    pub acknowledged: Option<PathBuf>,
    /// Print the summary as JSON
    #[arg(long)]
    pub json: bool,
    /// Where and as whom
    #[command(flatten)]
    pub gateway: GatewayArgs,
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text
        .parse()
        .ok()
        .filter(|rate| (0.01..=10_000.0).contains(rate));
    rate.ok_or_else(|| "orders per second, from 0.01 to 10000".to_owned())
}

/// Replays. Ends with 1 when an order was refused or is unresolved.
///
/// # Errors
/// When there is nothing to replay or the gateway cannot be used at the start.
pub async fn run(args: ReplayArgs) -> anyhow::Result<ExitCode> {
    let What::Orders(args) = args.what;
    let json = args.json;
    let summary = Box::pin(replay(args)).await?;
    if json {
        say(serde_json::to_string_pretty(&summary)?);
    } else {
        say(&summary);
    }
    Ok(summary.exit_code())
}

async fn replay(args: OrdersArgs) -> anyhow::Result<Summary> {
    let run_id = args.run_id.clone();
    let run_id = run_id.unwrap_or_else(|| Uuid::new_v4().simple().to_string());
    let policy = RetryPolicy {
        longest_wait: Duration::from_secs(2),
        ..RetryPolicy::default()
    };
    let gateway = Arc::new(Gateway::with_policy(&args.gateway, policy)?);
    gateway.log_in().await?;
    if args.seed_stock {
        Box::pin(seed(&gateway, &args, &run_id)).await?;
    }
    let (sender, orders) = mpsc::channel(READ_AHEAD);
    let rounds = args.count.is_some() || args.duration.is_some();
    let reader = tokio::spawn(read_orders(Arc::clone(&gateway), sender, rounds));
    let placing = Arc::new(Placing {
        gateway: Arc::clone(&gateway),
        run_id: run_id.clone(),
        tokens: args.tokens.clone(),
        settle_timeout: Duration::from_secs(args.settle_timeout),
        tally: SharedTally::default(),
        acknowledged: Acknowledged::begin(args.acknowledged.as_deref())?,
    });
    let shown = Arc::clone(&placing);
    let counter = show_counters(move || shown.tally.snapshot().to_string());
    let started = Instant::now();
    let placed_in = tokio::select! {
        placed_in = Box::pin(place_all(&placing, orders, &args)) => placed_in,
        never = counter => match never {},
    };
    let read = reader.await?;
    let tally = placing.tally.snapshot();
    if tally.due == 0 {
        read?;
        anyhow::bail!("there are no imported orders to replay: run `maru import orders` first");
    }
    gateway.log_out().await;
    Ok(Summary::new(
        run_id,
        tally,
        placed_in,
        started.elapsed(),
        gateway.repeats(),
    ))
}

async fn seed(gateway: &Gateway, args: &OrdersArgs, run_id: &str) -> anyhow::Result<()> {
    let stores: Vec<Store> = gateway.pages("/api/stores").all().await?;
    let orders = args.count.unwrap_or(25_000);
    let servings = orders
        .saturating_mul(SERVINGS_PER_ORDER)
        .clamp(1, 1_000_000);
    let delivery = Delivery {
        label: run_id,
        servings: u32::try_from(servings).unwrap_or(u32::MAX),
        clock: &Clock::system(),
    };
    let products = stock::deliver(gateway, &stores, &delivery).await?;
    let count = stores.len();
    complain(format_args!(
        "Delivered {products} products to {count} stores."
    ));
    Ok(())
}

/// Places orders when they are due, until the last one has ended; returns how long the placing
/// took.
async fn place_all(
    placing: &Arc<Placing>,
    mut orders: mpsc::Receiver<Replayed>,
    args: &OrdersArgs,
) -> Duration {
    let slots = Arc::new(Semaphore::new(MAX_IN_FLIGHT));
    let mut in_flight = JoinSet::new();
    let mut number = 0;
    let mut schedule = Schedule::new(args.rate);
    let began = Instant::now();
    let stop_at = args
        .duration
        .map(|seconds| began + Duration::from_secs(seconds));
    let mut interrupted = std::pin::pin!(tokio::signal::ctrl_c());
    while args.count.is_none_or(|count| number < count) {
        let asked = Instant::now();
        let order = tokio::select! {
            order = orders.recv() => order,
            _ = &mut interrupted => break,
        };
        let Some(order) = order else { break };
        schedule.put_off(asked.elapsed());
        let due = schedule.due(number);
        if stop_at.is_some_and(|stop_at| due >= stop_at) {
            break;
        }
        tokio::select! {
            () = sleep_until(due) => {}
            _ = &mut interrupted => break,
        }
        let slot = Arc::clone(&slots).acquire_owned().await;
        let placing = Arc::clone(placing);
        in_flight.spawn(async move {
            placing.run(&order, number, due).await;
            drop(slot);
        });
        while in_flight.try_join_next().is_some() {}
        number += 1;
    }
    drop(orders);
    let placed_in = began.elapsed();
    tokio::select! {
        () = async { while in_flight.join_next().await.is_some() {} } => {}
        // Interrupted while waiting: what has no end yet is unresolved.
        _ = tokio::signal::ctrl_c() => in_flight.abort_all(),
    }
    placed_in
}

/// When orders are due.
struct Schedule {
    start: Instant,
    rate: f64,
}

impl Schedule {
    fn new(rate: f64) -> Self {
        Self {
            start: Instant::now(),
            rate,
        }
    }

    /// Waiting for the list of orders to replay is this program's delay, not that of the orders.
    fn put_off(&mut self, waited: Duration) {
        if waited > Duration::from_millis(10) {
            self.start += waited;
        }
    }

    fn due(&self, number: u64) -> Instant {
        #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53 orders")]
        let seconds = number as f64 / self.rate;
        self.start + Duration::from_secs_f64(seconds)
    }
}
