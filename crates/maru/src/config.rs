//! `maru config`: every setting of the services with its value, default, unit and source. Each
//! service tells its own (`order-service config --json`); nothing is known of them here.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{ExitCode, Stdio};

use anyhow::{Context as _, Result, bail};
use common::settings::{Entry, render_table};
use contracts::services::ServiceName;
use tokio::process::Command;

use crate::output::{complain, say};
use crate::up::preflight;

/// What `maru config` can be told.
#[derive(Clone, Debug, clap::Args)]
pub struct ConfigArgs {
    /// Show only this service, such as `order`
    pub service: Option<ServiceName>,
    /// Print JSON: an object of services with `[{key, value, default, unit, description, source, secret}]`
    #[arg(long)]
    pub json: bool,
}

/// Prints the settings; ends with 1 when those of some service are not valid.
///
/// # Errors
/// When a service is not built or gives no readable answer.
pub async fn run(args: ConfigArgs) -> Result<ExitCode> {
    let services: Vec<ServiceName> = match args.service {
        Some(service) => vec![service],
        None => ServiceName::all().collect(),
    };
    let programs = preflight::find_binaries(&services)?;
    let mut settings = BTreeMap::new();
    let mut code = ExitCode::SUCCESS;
    for service in services {
        match ask(&programs, service).await? {
            Ok(entries) => {
                if !args.json {
                    say(format_args!(
                        "{}\n{}",
                        service.binary(),
                        render_table(&entries)
                    ));
                }
                settings.insert(service.as_str(), entries);
            }
            Err(faults) => {
                complain(faults.trim_end());
                code = ExitCode::FAILURE;
            }
        }
    }
    if args.json {
        say(serde_json::to_string_pretty(&settings).context("writing JSON")?);
    }
    Ok(code)
}

/// A service's settings, or what it says is wrong with them.
async fn ask(programs: &Path, service: ServiceName) -> Result<Result<Vec<Entry>, String>> {
    let program = preflight::executable(programs, service.binary());
    let output = Command::new(&program)
        .args(["config", "--json"])
        .stdin(Stdio::null())
        .output()
        .await
        .with_context(|| format!("cannot run {}", program.display()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if said.trim().is_empty() {
            bail!("{} ended with {}", program.display(), output.status);
        }
        return Ok(Err(said));
    }
    let entries = serde_json::from_slice(&output.stdout)
        .with_context(|| format!("{} printed no settings", program.display()))?;
    Ok(Ok(entries))
}
