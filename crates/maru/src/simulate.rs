//! `maru simulate`: devices that are not there.
//!
//! Each simulated device registers like a real one, connects as an MQTT client of its own and
//! publishes what its appliance would measure. It keeps every reading until the broker has
//! acknowledged it and sends it again after a lost connection, so at the end each reading is
//! acknowledged or, said loudly, not.

mod appliance;
mod backlog;
mod broker;
mod device;
mod fleet;
mod tally;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use common::clock::Clock;
use common::ids::StoreId;
use common::shutdown::Shutdown;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::client::{Gateway, GatewayArgs};
use crate::demo::stock::Store;
use crate::output::{complain, say};
use crate::progress::show_counters;
use broker::BrokerAddress;
use device::{Device, Pace};
use fleet::{Registered, plan, register};
use tally::{Rate, SharedTally, Summary};

/// After the end, how long unacknowledged readings are still waited for.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(15);
/// Open files that are not connections of devices.
#[cfg(unix)]
const OTHER_FILES: u64 = 64;

/// What `maru simulate` can play.
#[derive(Clone, Debug, clap::Args)]
pub struct SimulateArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum What {
    /// Play fridges, freezers, air conditioning and energy meters over MQTT
    Devices(DevicesArgs),
}

/// Which devices are played, and how.
#[derive(Clone, Debug, clap::Args)]
pub struct DevicesArgs {
    /// How many devices, spread over the stores
    #[arg(long, default_value_t = 50, value_parser = count)]
    pub count: u32,
    /// Stop after this many seconds [default: when interrupted]
    #[arg(long, value_name = "SECONDS")]
    pub duration: Option<u64>,
    /// Milliseconds between two readings of a device; 0 publishes as fast as acknowledgments come
    #[arg(long, value_name = "MS", default_value_t = 1_000)]
    pub interval: u64,
    /// The broker, as `mqtt://[user:password@]host[:port]`; an account in it is used instead of the
    /// devices' own
    #[arg(
        long,
        env = "MQTT_URL",
        hide_env_values = true,
        default_value = "mqtt://127.0.0.1:1883"
    )]
    pub mqtt: BrokerAddress,
    /// Only in this store
    #[arg(long, value_name = "ID")]
    pub store_id: Option<StoreId>,
    /// Another seed makes other appliances
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Print the summary as JSON
    #[arg(long)]
    pub json: bool,
    /// Where and as whom
    #[command(flatten)]
    pub gateway: GatewayArgs,
}

fn count(text: &str) -> Result<u32, String> {
    let count = text
        .parse()
        .ok()
        .filter(|count| (1..=10_000).contains(count));
    count.ok_or_else(|| "a whole number from 1 to 10000".to_owned())
}

/// Simulates. Ends with 1 when a reading is unacknowledged or a device was not let in.
///
/// # Errors
/// When there is no store, or the gateway refuses or does not answer.
pub async fn run(args: SimulateArgs) -> anyhow::Result<ExitCode> {
    let What::Devices(args) = args.what;
    let summary = Box::pin(simulate(&args)).await?;
    if args.json {
        say(serde_json::to_string_pretty(&summary)?);
    } else {
        say(&summary);
    }
    Ok(summary.exit_code())
}

async fn simulate(args: &DevicesArgs) -> anyhow::Result<Summary> {
    let gateway = Gateway::new(&args.gateway)?;
    gateway.log_in().await?;
    let stores = stores(&gateway, args.store_id).await?;
    let devices = register(&gateway, plan(&stores, args.count)).await?;
    gateway.log_out().await;
    complain(format_args!(
        "Registered {} devices in {} stores; they connect to {}.",
        devices.len(),
        stores.len(),
        args.mqtt
    ));
    allow_open_files(args.count);
    let tally = Arc::new(SharedTally::new(u64::from(args.count)));
    let shown = Arc::clone(&tally);
    let mut rate = Rate::new(Instant::now());
    let counter = show_counters(move || {
        let now = shown.snapshot();
        let per_second = rate.next(now.acknowledged(), Instant::now());
        format!("{now}; {per_second:.1}/s")
    });
    let played = tokio::select! {
        played = play(devices, args, &tally) => played,
        never = counter => match never {},
    };
    Ok(Summary::new(&tally.snapshot(), played))
}

async fn stores(gateway: &Gateway, only: Option<StoreId>) -> anyhow::Result<Vec<Store>> {
    let mut stores: Vec<Store> = gateway.pages("/api/stores").all().await?;
    if stores.is_empty() {
        anyhow::bail!(
            "there is no store to put devices in: run `maru demo` or `maru import orders` first"
        );
    }
    if let Some(only) = only {
        stores.retain(|store| store.id == only);
        anyhow::ensure!(!stores.is_empty(), "there is no store {only}");
    }
    Ok(stores)
}

/// Plays the devices to the end; returns for how long they measured.
async fn play(devices: Vec<Registered>, args: &DevicesArgs, tally: &Arc<SharedTally>) -> Duration {
    let started = Instant::now();
    let stop = Shutdown::on_signals();
    let mut running = start(devices, args, tally, &stop);
    let time_is_over = async {
        match args.duration {
            Some(seconds) => sleep(Duration::from_secs(seconds)).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = time_is_over => {}
        () = stop.triggered() => {}
        () = all(&mut running) => {}
    }
    let played = started.elapsed();
    drain(&mut running, &stop).await;
    played
}

fn start(
    devices: Vec<Registered>,
    args: &DevicesArgs,
    tally: &Arc<SharedTally>,
    stop: &Shutdown,
) -> JoinSet<()> {
    let pace = Pace::new(Duration::from_millis(args.interval));
    let mut running = JoinSet::new();
    for registered in devices {
        let (clock, tally) = (Clock::system(), Arc::clone(tally));
        let device = Device::new(&registered, args.seed, pace, clock, tally);
        let options = args.mqtt.options(&registered.mqtt);
        running.spawn(device.run(options, stop.clone()));
    }
    running
}

/// Lets the devices finish what they have in hand; a second signal ends that at once.
async fn drain(running: &mut JoinSet<()>, stop: &Shutdown) {
    stop.trigger();
    tokio::select! {
        () = all(running) => {}
        () = sleep(DRAIN_TIMEOUT) => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    running.shutdown().await;
}

async fn all(running: &mut JoinSet<()>) {
    while running.join_next().await.is_some() {}
}

/// A device is a connection, a connection an open file, and the usual limit is 1024.
#[cfg(unix)]
fn allow_open_files(devices: u32) {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    let needed = u64::from(devices) + OTHER_FILES;
    if limit.current.is_some_and(|current| current < needed) {
        limit.current = Some(limit.maximum.map_or(needed, |maximum| maximum.min(needed)));
        // If it cannot be had, the devices beyond the limit say that they cannot connect.
        let _refused = setrlimit(Resource::Nofile, limit);
    }
}

#[cfg(not(unix))]
fn allow_open_files(_devices: u32) {}
