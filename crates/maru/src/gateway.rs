//! `maru gateway`: looks after the gateway's routing file. Nothing has to run for it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use contracts::services::ServiceName;
use routing::Table;
use routing::kong::import;

use crate::output::{complain, say};

/// What `maru gateway` can be told.
#[derive(Clone, Debug, clap::Args)]
pub struct GatewayArgs {
    #[command(subcommand)]
    command: GatewayCommand,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum GatewayCommand {
    /// Say what is wrong with a routing file, with line and field
    Check {
        /// The routing file
        file: PathBuf,
    },
    /// Make a routing file of a Kong declarative file and say what could not be converted
    Import {
        /// The Kong file, YAML or JSON, with `_format_version` 3.0
        file: PathBuf,
        /// Where to write the routing file; standard output when it is not said
        #[arg(long, short)]
        output: Option<PathBuf>,
    },
}

/// Runs the command; `check` ends with 1 when the file has a fault.
///
/// # Errors
/// When a file cannot be read, written or converted.
#[expect(clippy::unused_async, reason = "every command is run with an await")]
pub async fn run(args: GatewayArgs) -> Result<ExitCode> {
    match args.command {
        GatewayCommand::Check { file } => check(&file),
        GatewayCommand::Import { file, output } => convert(&file, output.as_deref()),
    }
}

/// The services that need not stand in a routing file.
fn known() -> Vec<&'static str> {
    let behind = ServiceName::all().filter(|name| *name != ServiceName::Gateway);
    behind.map(ServiceName::as_str).collect()
}

fn read(file: &Path) -> Result<String> {
    std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))
}

fn check(file: &Path) -> Result<ExitCode> {
    match Table::parse(&read(file)?, &known()) {
        Ok(table) => {
            let (routes, services) = (table.routes().len(), table.services().len());
            let name = file.display();
            say(format_args!(
                "{name}: {routes} routes to {services} services, no fault"
            ));
            Ok(ExitCode::SUCCESS)
        }
        Err(faults) => {
            for fault in faults.0 {
                complain(format_args!("{}: {fault}", file.display()));
            }
            Ok(ExitCode::FAILURE)
        }
    }
}

fn convert(file: &Path, output: Option<&Path>) -> Result<ExitCode> {
    let imported = import(&read(file)?, &known());
    let imported = imported.with_context(|| format!("converting {}", file.display()))?;
    for note in &imported.notes {
        complain(note);
    }
    match output {
        None => say(imported.text.trim_end()),
        Some(output) => std::fs::write(output, &imported.text)
            .with_context(|| format!("writing {}", output.display()))?,
    }
    Ok(ExitCode::SUCCESS)
}
