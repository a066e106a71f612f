//! The `main` of a service: settings, logs, run until stopped; `config` and `health` on the side.

use std::future::Future;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::ExitCode;
use std::time::Duration;

use serde::de::DeserializeOwned;

use crate::settings::{Loaded, load, render_table};
use crate::shutdown::Shutdown;
use crate::telemetry::init_logs;

/// Runs the service `name` (such as `order`) until it is told to stop.
///
/// `order-service` runs it; `order-service config [--json]` prints every settings key;
/// `order-service health` asks the running one and exits with 0 when it is healthy.
pub fn main<T, F, Fut>(name: &'static str, defaults: &'static str, run: F) -> ExitCode
where
    T: DeserializeOwned,
    F: FnOnce(Loaded<T>, Shutdown) -> Fut,
    Fut: Future<Output = anyhow::Result<()>>,
{
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let loaded = match load::<T>(name, defaults, std::env::vars()) {
        Ok(loaded) => loaded,
        Err(error) => return fail(&format!("{name}-service: {error}")),
    };
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        [] => serve(name, loaded, run),
        ["config"] => print(&render_table(&loaded.entries)),
        ["config", "--json"] => {
            print(&serde_json::to_string_pretty(&loaded.entries).unwrap_or_default())
        }
        ["health"] => ask_health(&loaded.common.server.host, loaded.common.server.port),
        ["--version" | "-V"] => print(&format!("{name}-service {}", env!("CARGO_PKG_VERSION"))),
        _ => fail(&format!(
            "usage: {name}-service [config [--json] | health | --version]"
        )),
    }
}

fn serve<T, F, Fut>(name: &str, loaded: Loaded<T>, run: F) -> ExitCode
where
    F: FnOnce(Loaded<T>, Shutdown) -> Fut,
    Fut: Future<Output = anyhow::Result<()>>,
{
    // Held until everything else has ended.
    let _logs = match init_logs(&loaded.common.telemetry.log, loaded.common.profile) {
        Ok(logs) => logs,
        Err(error) => return fail(&format!("{name}-service: telemetry.log: {error}")),
    };
    // One thread for background work beside the HTTP workers keeps an idle service small.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("{name}-service: no runtime: {error}")),
    };
    let outcome = runtime.block_on(async move { run(loaded, Shutdown::on_signals()).await });
    runtime.shutdown_timeout(Duration::from_secs(2));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&format!("{name}-service: {error:#}")),
    }
}

fn print(text: &str) -> ExitCode {
    // A closed pipe (`| head`) is not an error of ours.
    let _ = writeln!(std::io::stdout(), "{}", text.trim_end());
    ExitCode::SUCCESS
}

fn fail(text: &str) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "{text}");
    ExitCode::FAILURE
}

/// Asks `GET /health` of the running service: no client library is needed inside an image.
fn ask_health(host: &str, port: u16) -> ExitCode {
    let host = if host == "0.0.0.0" || host == "::" {
        "127.0.0.1"
    } else {
        host
    };
    match health_status_line(host, port) {
        Ok(line) if line.contains(" 200 ") => print("healthy"),
        Ok(line) => fail(line.trim_end()),
        Err(error) => fail(&format!("{host}:{port}: {error}")),
    }
}

fn health_status_line(host: &str, port: u16) -> std::io::Result<String> {
    let mut stream = TcpStream::connect((host, port))?;
    stream.set_read_timeout(Some(Duration::from_secs(3)))?;
    write!(
        stream,
        "GET /health HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.lines().next().unwrap_or_default().to_owned())
}
