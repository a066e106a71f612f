//! `maru verify`: what must always hold, judged on the running system from outside: by the services'
//! databases, joined as no service may join them, and by their APIs.
//!
//! It changes nothing. It waits until nothing is under way, because the invariants across services
//! hold at rest; each service's own hold at every moment.

mod access;
mod acknowledged;
mod audit;
mod databases;
mod money;
mod once;
mod orders;
mod read_model;
mod sagas;
mod settle;
mod shown_stock;
mod stock;
mod verdict;

use std::convert::Infallible;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use common::clock::Clock;
use secrecy::SecretString;
use serde::Serialize;

use crate::client::{Gateway, GatewayArgs};
use crate::output::say;
use crate::up::database::SchemaPolicy;
use crate::up::layout::{Layout, LayoutOptions};
use crate::up::variables::Variables;
use contracts::services::ServiceName;
use databases::Databases;
use settle::{Unsettled, settle};
use verdict::{Verdict, VerdictOut};

/// What `maru verify` can be told. Databases and addresses come from the environment and the data
/// folder by the rules of `maru up`.
#[derive(Clone, Debug, clap::Args)]
pub struct VerifyArgs {
    #[command(subcommand)]
    what: Option<What>,
    /// Wait at most this long until nothing is under way, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub settle: u64,
    /// Orders that were acknowledged: a line each, `<order id> <status>`
    #[arg(long, value_name = "FILE")]
    pub acknowledged: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Account to ask the APIs with
    #[arg(long, env = "MARU_OWNER_EMAIL", default_value = "owner@maru.local")]
    pub email: String,
    /// Its password; without one the APIs are only asked from outside
    #[arg(long, env = "MARU_OWNER_PASSWORD", hide_env_values = true, value_parser = secret)]
    pub password: Option<SecretString>,
    /// A code of its generator, or a recovery code, when it has a second factor
    #[arg(long, env = "MARU_OWNER_CODE", hide_env_values = true, value_parser = secret)]
    pub code: Option<SecretString>,
}

/// What to judge instead of the eight invariants.
#[derive(Clone, Debug, clap::Subcommand)]
enum What {
    /// The audit trail of accounts, sessions and keys: nothing in it was changed or removed
    Audit(audit::AuditArgs),
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "clap takes parsers that return a Result"
)]
fn secret(text: &str) -> Result<SecretString, Infallible> {
    Ok(SecretString::from(text))
}

/// The whole judgement, as JSON.
#[derive(Debug, Serialize)]
struct JudgementOut {
    passed: bool,
    settled: bool,
    invariants: Vec<VerdictOut>,
}

/// Judges all eight invariants, or what the subcommand names: ends with 0 when all is well, else with
/// 1.
///
/// # Errors
/// When a database or a service cannot be reached.
pub async fn run(args: VerifyArgs) -> Result<ExitCode> {
    if let Some(What::Audit(args)) = args.what {
        return audit::run(args).await;
    }
    let mut layout = Layout::resolve(
        &Variables::of_process(),
        &LayoutOptions {
            port_base: None,
            schemas: SchemaPolicy::Divide,
        },
    )?;
    layout.adopt_running()?;
    let databases = Databases::open(&layout).await?;
    let outcome = judge(&args, &layout, &databases).await;
    databases.close().await;
    let (unsettled, verdicts) = outcome?;
    let passed = verdicts.iter().all(Verdict::passed);
    if args.json {
        let judgement = JudgementOut {
            passed,
            settled: unsettled == Unsettled::default(),
            invariants: verdicts.iter().map(Verdict::to_json).collect(),
        };
        say(serde_json::to_string_pretty(&judgement).context("writing JSON")?);
    } else {
        if unsettled != Unsettled::default() {
            say(format_args!(
                "still under way after {} s: {unsettled}",
                args.settle
            ));
        }
        for verdict in &verdicts {
            say(verdict);
        }
        let held = verdicts.iter().filter(|verdict| verdict.passed()).count();
        say(format_args!("{held} of {} invariants hold", verdicts.len()));
    }
    Ok(if passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

async fn judge(
    args: &VerifyArgs,
    layout: &Layout,
    databases: &Databases,
) -> Result<(Unsettled, Vec<Verdict>)> {
    let api = log_in(args, layout).await?;
    let api = api.as_ref();
    let unsettled = settle(databases, Duration::from_secs(args.settle)).await?;
    let mut stock = stock::check(databases).await?;
    shown_stock::check(databases, api, &mut stock).await?;
    let good = match api {
        Some(api) => Some(api.access_token().await?),
        None => None,
    };
    let now_s = Clock::system().now().as_unix_seconds();
    let verdicts = vec![
        stock,
        money::check(databases).await?,
        orders::check(databases).await?,
        once::check(databases).await?,
        acknowledged::check(databases, args.acknowledged.as_deref()).await?,
        sagas::check(databases).await?,
        read_model::check(databases, api).await?,
        access::check(layout, good.as_ref(), now_s).await?,
    ];
    Ok((unsettled, verdicts))
}

/// The APIs as the owner sees them, when there is a password.
async fn log_in(args: &VerifyArgs, layout: &Layout) -> Result<Option<Gateway>> {
    if args.password.is_none() {
        return Ok(None);
    }
    let api = Gateway::new(&GatewayArgs {
        gateway: layout.http_url(ServiceName::Gateway),
        email: args.email.clone(),
        password: args.password.clone(),
        code: args.code.clone(),
    })?;
    api.log_in().await?;
    Ok(Some(api))
}

#[cfg(test)]
mod tests;
