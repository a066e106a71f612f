//! `maru import`: loads another system's export through the gateway.
//!
//! A map (`map`) says what the files mean. The catalogue (stores, menu, products, recipes) is
//! small and sent first; the orders stream from the files through a merge join (`groups`) to the
//! gateway in batches (`batches`, `upload`), so that memory stays flat whatever the size of the
//! export. Every step is idempotent: a run may be killed at any moment and started again.
//!
//! It knows the gateway's API and nothing else of the services.

mod amount;
mod assemble;
mod batches;
mod catalogue;
mod folder;
mod groups;
mod ids;
mod keyed;
mod map;
mod moment;
mod plan;
mod report;
mod resume;
mod rows;
mod sequence;
mod sort;
mod summary;
mod template;
mod upload;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::Context as _;
use ring::digest;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::Instant;

use crate::client::{Gateway, GatewayArgs};
use crate::output::{complain, say};
use crate::progress::Progress;
use batches::{MAX_BATCH, Reading, produce};
use catalogue::Catalogue;
use map::{Map, MapFaults};
use plan::Plan;
use report::{Report, beside};
use resume::Resume;
use summary::Summary;
use upload::{Pass, Uploaded, Uploader, send_catalogue};

/// What `maru import` can load.
#[derive(Clone, Debug, clap::Args)]
pub struct ImportArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum What {
    /// Load stores, menu, recipes and historical orders from delimited text files
    Orders(OrdersArgs),
}

/// How historical orders are loaded.
#[derive(Clone, Debug, clap::Args)]
pub struct OrdersArgs {
    /// Folder with the exported files
    pub folder: PathBuf,
    /// Map that says what the files mean
    #[arg(long)]
    pub map: PathBuf,
    /// End with a fault when any row was rejected
    #[arg(long)]
    pub strict: bool,
    /// Where to list the rejected rows [default: DATA/imports/SOURCE.csv]
    #[arg(long)]
    pub report: Option<PathBuf>,
    /// Folder of Maru's own files
    #[arg(long, env = "MARU_DATA", default_value = "data")]
    pub data: PathBuf,
    /// Orders sent at a time, from 1 to 500
    #[arg(long, default_value_t = MAX_BATCH, value_parser = batch_size)]
    pub batch_size: usize,
    /// Where and as whom
    #[command(flatten)]
    pub gateway: GatewayArgs,
}

fn batch_size(text: &str) -> Result<usize, String> {
    let size = text
        .parse()
        .ok()
        .filter(|size| (1..=MAX_BATCH).contains(size));
    size.ok_or_else(|| format!("a whole number from 1 to {MAX_BATCH}"))
}

/// Imports. Ends with 0; with 1 when nothing could be imported, or anything was rejected and
/// `--strict` is given.
///
/// # Errors
/// When map, files or gateway cannot be used. What was imported until then stays; the next run goes
/// on.
pub async fn run(args: ImportArgs) -> anyhow::Result<ExitCode> {
    let What::Orders(args) = args.what;
    let strict = args.strict;
    let summary = Box::pin(import_orders(args)).await?;
    say(&summary);
    Ok(summary.exit_code(strict))
}

async fn import_orders(args: OrdersArgs) -> anyhow::Result<Summary> {
    let started = Instant::now();
    let (plan, map_digest) = read_map(&args.map, &args.folder)?;
    let gateway = Gateway::new(&args.gateway)?;
    gateway.log_in().await?;

    let default_report = || {
        let name = format!("{}.csv", plan.map.source);
        args.data.join("imports").join(name)
    };
    let report_path = args.report.clone().unwrap_or_else(default_report);
    let report = Report::create(&report_path)
        .with_context(|| format!("cannot write {}", report_path.display()))?;
    let (mut prepared, mut report) = spawn_blocking(move || Prepared::read(plan, report)).await??;
    if prepared.reading.needs_sorting() {
        complain("The files are not sorted by order: sorting them on disk first.");
    }
    send_menu(&gateway, &mut prepared, &mut report).await?;
    let prepared = Arc::new(prepared);
    let plan = &prepared.plan;

    let fingerprint = prepared.fingerprint(&map_digest, gateway.base(), args.batch_size)?;
    let resume_path = beside(&report_path, ".resume");
    let mut resume = Resume::open(&resume_path, &fingerprint)
        .with_context(|| format!("cannot write {}", resume_path.display()))?;
    let progress = Progress::new("orders", prepared.reading.orders());
    let mut uploader = Uploader {
        gateway: &gateway,
        source: &plan.map.source,
        label: Arc::clone(&plan.orders.source.label),
        report: &mut report,
        resume: &mut resume,
        progress: &progress,
        uploaded: Uploaded::default(),
        held_back: BTreeSet::new(),
    };
    let uploaded = send_orders(&mut uploader, &prepared, args.batch_size).await?;
    progress.finish();
    gateway.log_out().await;
    resume.remove()?;
    let rejected_rows = report.count();
    Ok(Summary {
        uploaded,
        items: prepared.catalogue.items.len(),
        products: prepared.catalogue.products.len(),
        stores: prepared.catalogue.stores.len(),
        rejected_rows,
        report: report.finish()?,
        took: started.elapsed(),
    })
}

/// Reads the map and finds its columns in the files' headers.
fn read_map(path: &Path, folder: &Path) -> anyhow::Result<(Plan, Vec<u8>)> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the map {}", path.display()))?;
    let digest = digest::digest(&digest::SHA256, text.as_bytes());
    let map = Map::parse(&text, path)?;
    let plan = Plan::bind(map, folder).map_err(|faults| MapFaults {
        file: path.display().to_string(),
        faults,
    })?;
    Ok((plan, digest.as_ref().to_vec()))
}

/// What is known before the first order is sent.
struct Prepared {
    plan: Plan,
    catalogue: Catalogue,
    reading: Reading,
}

impl Prepared {
    fn read(mut plan: Plan, mut report: Report) -> anyhow::Result<(Self, Report)> {
        let mut failed = None;
        let mut reject = |rejection: report::Rejection| {
            if let Err(error) = report.add(&rejection) {
                failed = Some(error);
            }
        };
        plan.load(&mut reject)?;
        let catalogue = Catalogue::read(&plan, &mut reject)?;
        let reading = Reading::survey(&plan)?;
        let prepared = Self {
            plan,
            catalogue,
            reading,
        };
        match failed {
            Some(error) => Err(error).context("cannot write the report"),
            None => Ok((prepared, report)),
        }
    }

    /// Names this import: the same for the same map, files, menu, gateway and batches.
    fn fingerprint(&self, map: &[u8], gateway: &str, batch_size: usize) -> anyhow::Result<String> {
        let mut whole = digest::Context::new(&digest::SHA256);
        whole.update(map);
        for name in self.plan.folder.names() {
            whole.update(&sequence::digest_of(self.plan.folder.file(name)?)?);
        }
        // What the server refused of the menu decides which orders there are.
        for (key, _) in self.catalogue.sorted_items() {
            whole.update(key.as_bytes());
            whole.update(b"\n");
        }
        let version = env!("CARGO_PKG_VERSION");
        whole.update(format!("{batch_size} {version} {gateway}").as_bytes());
        let mut text = String::new();
        for byte in whole.finish().as_ref() {
            write!(text, "{byte:02x}")?;
        }
        Ok(text)
    }
}

/// Sends the catalogue; what the server refuses of the menu is reported.
async fn send_menu(
    gateway: &Gateway,
    prepared: &mut Prepared,
    report: &mut Report,
) -> anyhow::Result<()> {
    let Prepared {
        plan, catalogue, ..
    } = prepared;
    let menu = (plan.map.currency, &plan.menu.source.label);
    let mut refused = Vec::new();
    let mut reject = |rejection| refused.push(rejection);
    Box::pin(send_catalogue(gateway, catalogue, menu, &mut reject)).await?;
    for rejection in &refused {
        report.add(rejection).context("cannot write the report")?;
    }
    Ok(())
}

/// Sends all orders; a second time what was held back in vain.
async fn send_orders(
    uploader: &mut Uploader<'_>,
    prepared: &Arc<Prepared>,
    batch_size: usize,
) -> anyhow::Result<Uploaded> {
    let first = Pass::First {
        acknowledged: uploader.resume.acknowledged(),
        proved_wrong: AtomicBool::new(false),
    };
    send_pass(uploader, prepared, batch_size, &first).await?;
    if first.has_proved_wrong() && !uploader.held_back.is_empty() {
        complain("The server does not have what an earlier run had sent: sending everything.");
        uploader.uploaded.resumed = 0;
        let held_back = std::mem::take(&mut uploader.held_back);
        send_pass(uploader, prepared, batch_size, &Pass::HeldBack(held_back)).await?;
    }
    Ok(uploader.uploaded)
}

/// Reads the files in one thread and sends what it reads from here.
async fn send_pass(
    uploader: &mut Uploader<'_>,
    prepared: &Arc<Prepared>,
    batch_size: usize,
    pass: &Pass,
) -> anyhow::Result<()> {
    let (sender, receiver) = mpsc::channel(2);
    let prepared = Arc::clone(prepared);
    let reading = spawn_blocking(move || {
        let Prepared {
            plan,
            catalogue,
            reading,
        } = &*prepared;
        produce(plan, catalogue, reading, batch_size, &sender)
    });
    let sent = uploader.run(receiver, pass).await;
    // The reader has ended, or ends now that nobody takes its batches; its own fault comes first.
    reading.await??;
    sent.context("not everything was imported; run it again to go on where it stopped")
}
