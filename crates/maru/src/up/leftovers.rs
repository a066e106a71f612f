//! Services that outlived a launcher which was killed. They notice and stop by themselves; this
//! waits for them, so that two generations never write to the same files.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail};
use contracts::services::ServiceName;
use tokio::time::{Instant, sleep};

use crate::output::say;

/// How long a leftover may take to stop before it is killed.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long a killed process may take to vanish.
const AFTER_KILL: Duration = Duration::from_secs(5);
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// The file that holds a service's process id.
#[must_use]
pub fn pid_file(run: &Path, service: ServiceName) -> std::path::PathBuf {
    run.join(format!("{}.pid", service.binary()))
}

/// Ends what an earlier launcher on this data folder left running. Call it only while holding the
/// folder's lock.
///
/// # Errors
/// When a process cannot be ended.
pub async fn end(data: &Path, run: &Path) -> Result<()> {
    let left: Vec<(ServiceName, u32)> = ServiceName::all()
        .filter_map(|service| Some((service, recorded_pid(run, service)?)))
        .filter(|&(service, pid)| is_running(data, service, pid))
        .collect();
    if left.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = left
        .iter()
        .map(|(service, pid)| format!("{} (pid {pid})", service.binary()))
        .collect();
    say(format_args!(
        "waiting for what an earlier start left running: {}",
        names.join(", ")
    ));
    for &(_, pid) in &left {
        signal::terminate(pid);
    }
    if gone_within(data, &left, PATIENCE).await {
        return Ok(());
    }
    for &(_, pid) in &left {
        signal::kill(pid);
    }
    if gone_within(data, &left, AFTER_KILL).await {
        return Ok(());
    }
    bail!(
        "an earlier start left running what cannot be ended: {}",
        names.join(", ")
    )
}

async fn gone_within(data: &Path, left: &[(ServiceName, u32)], patience: Duration) -> bool {
    let deadline = Instant::now() + patience;
    while left
        .iter()
        .any(|&(service, pid)| is_running(data, service, pid))
    {
        if Instant::now() >= deadline {
            return false;
        }
        sleep(LOOK_INTERVAL).await;
    }
    true
}

fn recorded_pid(run: &Path, service: ServiceName) -> Option<u32> {
    let text = fs::read_to_string(pid_file(run, service)).ok()?;
    text.trim().parse().ok()
}

/// Whether that process lives and is that service of this data folder: ids are reused. Where there
/// is no `/proc` the answer is no, and a leftover shows itself by its port.
fn is_running(data: &Path, service: ServiceName, pid: u32) -> bool {
    let process = Path::new("/proc").join(pid.to_string());
    let Ok(status) = fs::read_to_string(process.join("stat")) else {
        return false;
    };
    // `pid (comm) state ...`; a zombie has ended, only nobody has asked for its status yet.
    let zombie = status
        .rsplit_once(')')
        .is_some_and(|(_, rest)| rest.trim_start().starts_with('Z'));
    let program = fs::read_link(process.join("exe")).ok();
    let name = program.as_deref().and_then(Path::file_name);
    // A program that was built anew while it runs is shown as `order-service (deleted)`.
    let this_service = name
        .and_then(|name| name.to_str())
        .is_some_and(|name| name.strip_suffix(" (deleted)").unwrap_or(name) == service.binary());
    let data_variable = format!("MARU_DATA={}", data.display());
    let this_system = fs::read(process.join("environ")).is_ok_and(|environment| {
        environment
            .split(|&byte| byte == 0)
            .any(|variable| variable == data_variable.as_bytes())
    });
    !zombie && this_service && this_system
}

#[cfg(unix)]
use super::process as signal;

/// Without signals, the closed standard input is what tells a leftover to stop.
#[cfg(not(unix))]
mod signal {
    pub(super) fn terminate(_pid: u32) {}
    pub(super) fn kill(_pid: u32) {}
}
