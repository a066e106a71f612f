//! `maru status`: how each service does, as the gateway sees it.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use contracts::services::ServiceName;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout};

use crate::client::{RetryPolicy, http_client};
use crate::output::{Table, complain, say};
use crate::up::database::SchemaPolicy;
use crate::up::layout::{Layout, LayoutOptions};
use crate::up::variables::Variables;

/// How often the gateway is asked while waiting.
const ASK_INTERVAL: Duration = Duration::from_millis(250);
/// And how often by the launcher, whose services have just become ready.
const SETTLING_INTERVAL: Duration = Duration::from_millis(20);

/// What `maru status` can be told.
#[derive(Clone, Debug, clap::Args)]
pub struct StatusArgs {
    /// Address of the gateway, if it is not the one that `maru up` started on the data folder
    #[arg(long, env = "MARU_GATEWAY_URL")]
    pub gateway: Option<String>,
    /// Print the gateway's answer as it is
    #[arg(long)]
    pub json: bool,
    /// Wait until everything is healthy, at most this long
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    pub wait: u64,
}

/// The parts of the answer that are shown. What is missing is shown as unknown.
#[derive(Debug, Deserialize)]
struct SystemStatus {
    status: String,
    #[serde(default)]
    services: Vec<ServiceStatus>,
}

#[derive(Debug, Deserialize)]
struct ServiceStatus {
    #[serde(alias = "service")]
    name: String,
    status: String,
    #[serde(default)]
    latency_ms: Value,
    #[serde(default)]
    version: Value,
    #[serde(default)]
    instances: Value,
    #[serde(default, alias = "last_checked_at", alias = "checked_at")]
    last_check: Value,
}

impl SystemStatus {
    fn is_healthy(&self) -> bool {
        self.status.eq_ignore_ascii_case("healthy")
    }
}

/// Shows the status: ends with 0 when everything is healthy, else with 1.
///
/// # Errors
/// When the gateway does not answer, or not with a status.
pub async fn run(args: StatusArgs) -> Result<ExitCode> {
    let deadline = Instant::now() + Duration::from_secs(args.wait);
    let answer = loop {
        let gateway = match &args.gateway {
            Some(given) => given.clone(),
            None => running_gateway()?,
        };
        let answer = ask(&gateway).await;
        let done = answer.as_ref().is_ok_and(|(status, _)| status.is_healthy());
        if done || Instant::now() >= deadline {
            break answer;
        }
        sleep(ASK_INTERVAL).await;
    };
    let (status, raw) = answer?;
    if args.json {
        say(raw);
    } else {
        say(table(&status));
        say(format_args!("The system is {}.", status.status));
    }
    if status.is_healthy() {
        return Ok(ExitCode::SUCCESS);
    }
    if args.wait > 0 {
        complain(format_args!("maru: not healthy within {} s", args.wait));
    }
    Ok(ExitCode::FAILURE)
}

/// Waits until the gateway finds the whole system healthy, at most for `limit`.
pub(crate) async fn until_healthy(gateway: &str, limit: Duration) {
    let asking = async {
        while !matches!(ask(gateway).await, Ok((status, _)) if status.is_healthy()) {
            sleep(SETTLING_INTERVAL).await;
        }
    };
    let _in_time = timeout(limit, asking).await;
}

/// Where the gateway of this machine's system is.
pub(crate) fn running_gateway() -> Result<String> {
    let options = LayoutOptions {
        port_base: None,
        schemas: SchemaPolicy::Divide,
    };
    let mut layout = Layout::resolve(&Variables::of_process(), &options)?;
    layout.adopt_running()?;
    Ok(layout.http_url(ServiceName::Gateway))
}

async fn ask(gateway: &str) -> Result<(SystemStatus, String)> {
    let base = gateway.trim_end_matches('/');
    let url = format!("{base}/api/services/status");
    let url = reqwest::Url::parse(&url).with_context(|| format!("`{gateway}` is no address"))?;
    let http = http_client(&url, &RetryPolicy::default())?;
    let answer = http
        .get(url)
        .send()
        .await
        .with_context(|| format!("the gateway at {base} does not answer"))?;
    let code = answer.status();
    // A system that is down says so with an error code and the same body.
    let raw = answer
        .text()
        .await
        .with_context(|| format!("the answer of {base} broke off"))?;
    match serde_json::from_str(&raw) {
        Ok(status) => Ok((status, raw)),
        Err(error) => bail!("{base} answered {code}, which is no status: {error}"),
    }
}

fn table(status: &SystemStatus) -> Table {
    let mut table = Table::new(&[
        "SERVICE",
        "STATUS",
        "LATENCY",
        "VERSION",
        "INSTANCES",
        "LAST CHECK",
    ]);
    for service in &status.services {
        let latency = plain(&service.latency_ms);
        table.row([
            service.name.clone(),
            service.status.to_uppercase(),
            if latency == "-" {
                latency
            } else {
                format!("{latency} ms")
            },
            plain(&service.version),
            match &service.instances {
                Value::Array(instances) => instances.len().to_string(),
                other => plain(other),
            },
            plain(&service.last_check),
        ]);
    }
    table
}

/// A JSON value as a person reads it.
fn plain(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_gateway_does_not_know_is_shown_as_unknown() {
        let answer = r#"{"status":"degraded","services":[
            {"name":"user","status":"healthy","latency_ms":2,"version":"0.1.0",
             "instances":[{"url":"http://127.0.0.1:5001"}],"last_check":"2026-01-02T03:04:05Z"},
            {"name":"order","status":"UNKNOWN"}]}"#;
        let status: SystemStatus = serde_json::from_str(answer).expect("reads");
        assert!(!status.is_healthy());
        assert_eq!(
            table(&status).to_string(),
            "SERVICE  STATUS   LATENCY  VERSION  INSTANCES  LAST CHECK\n\
             user     HEALTHY  2 ms     0.1.0    1          2026-01-02T03:04:05Z\n\
             order    UNKNOWN  -        -        -          -"
        );
    }
}
