//! What the launcher says about a running system, and the file in which it leaves the same for the
//! other commands.

use std::fs;
use std::io::ErrorKind;

use anyhow::{Context as _, Result};
use contracts::services::ServiceName;
use serde::{Deserialize, Serialize};

use super::database::DatabasePlan;
use super::fleet::Running;
use super::layout::Layout;
use super::preflight::Folders;
use crate::output::Table;

/// The file's name in the run folder.
const SYSTEM_FILE: &str = "system.json";

/// Where a running system can be reached: `run/system.json` in the data folder.
#[derive(Debug, Serialize, Deserialize)]
pub struct SystemFile {
    /// Process id of the launcher.
    pub launcher_pid: u32,
    /// What was started.
    pub services: Vec<SystemService>,
    /// Port of the embedded MQTT broker, if it runs.
    pub mqtt_port: Option<u16>,
}

/// One service in [`SystemFile`].
#[derive(Debug, Serialize, Deserialize)]
pub struct SystemService {
    /// Short name, such as `order`.
    pub name: String,
    /// Port of its HTTP API.
    pub port: u16,
    /// Port of its gRPC commands.
    pub grpc_port: Option<u16>,
    /// Milliseconds from its first start to its first readiness.
    pub ready_ms: u64,
}

impl SystemFile {
    /// Reads what a launcher left; `None` when none did.
    ///
    /// # Errors
    /// When the file is there and cannot be read.
    pub fn read(folders: &Folders) -> Result<Option<Self>> {
        let path = folders.run.join(SYSTEM_FILE);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return Err(error).with_context(|| format!("cannot read {}", path.display()));
            }
        };
        let system = serde_json::from_str(&text);
        let system = system.with_context(|| format!("cannot read {}", path.display()))?;
        Ok(Some(system))
    }
}

/// The first line: what is about to start, and where.
#[must_use]
pub fn heading(layout: &Layout, services: usize) -> String {
    format!(
        "Maru {}: starting {services} services, profile {}, data in {}",
        env!("CARGO_PKG_VERSION"),
        layout.profile,
        layout.data.display()
    )
}

/// What runs where.
#[must_use]
pub fn table(layout: &Layout, running: &[Running]) -> Table {
    let mut table = Table::new(&[
        "SERVICE", "PORT", "GRPC", "PID", "READY", "DATABASE", "EVENTS", "PROFILE",
    ]);
    for one in running {
        let placement = layout.placement(one.service);
        let gateway = one.service == ServiceName::Gateway;
        let number = |number: Option<u32>| number.map_or("-".to_owned(), |n| n.to_string());
        table.row([
            one.service.binary().to_owned(),
            placement.http_port.to_string(),
            number(placement.grpc_port.map(u32::from)),
            number(one.pid),
            format!("{} ms", one.ready_after.as_millis()),
            layout.describe_database(one.service),
            // The gateway publishes nothing.
            if gateway { "-" } else { layout.events.as_str() }.to_owned(),
            profile(layout).to_owned(),
        ]);
    }
    table
}

fn profile(layout: &Layout) -> &'static str {
    match layout.databases {
        DatabasePlan::Embedded => "embedded",
        DatabasePlan::PerService(_) | DatabasePlan::Schemas(_) => "infrastructure",
    }
}

/// The addresses a person wants next.
#[must_use]
pub fn addresses(layout: &Layout, running: &[Running]) -> Vec<String> {
    let mut lines = Vec::new();
    if running
        .iter()
        .any(|one| one.service == ServiceName::Gateway)
    {
        let gateway = layout.http_url(ServiceName::Gateway);
        lines.push(format!("Gateway  {gateway}"));
        lines.push(format!("Docs     {gateway}/docs"));
        lines.push(format!("Status   {gateway}/api/services/status"));
    }
    if let (Some(port), true) = (
        layout.mqtt_port,
        running.iter().any(|one| one.service == ServiceName::Iot),
    ) {
        lines.push(format!("MQTT     mqtt://{}:{port}", layout.local_host()));
    }
    lines
}

/// Leaves the addresses for the other commands.
///
/// # Errors
/// When the file cannot be written.
pub fn write_system_file(layout: &Layout, folders: &Folders, running: &[Running]) -> Result<()> {
    let system = SystemFile {
        launcher_pid: std::process::id(),
        services: running
            .iter()
            .map(|one| {
                let placement = layout.placement(one.service);
                SystemService {
                    name: one.service.as_str().to_owned(),
                    port: placement.http_port,
                    grpc_port: placement.grpc_port,
                    ready_ms: u64::try_from(one.ready_after.as_millis()).unwrap_or(u64::MAX),
                }
            })
            .collect(),
        mqtt_port: layout.mqtt_port,
    };
    let path = folders.run.join(SYSTEM_FILE);
    let text = serde_json::to_string_pretty(&system).context("writing system.json")?;
    fs::write(&path, text + "\n").with_context(|| format!("cannot write {}", path.display()))
}

/// Removes that file when the system has stopped. Without it the others use the environment.
pub fn remove_system_file(folders: &Folders) {
    let _never_written = fs::remove_file(folders.run.join(SYSTEM_FILE));
}
