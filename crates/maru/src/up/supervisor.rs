//! Keeps one service running: starts it, watches for its readiness and its end, starts it again
//! after a wait, and stops it when told.

use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use contracts::services::ServiceName;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::process::{LaunchSpec, Process, describe};
use super::ready;
use super::restart::RestartDelay;
use crate::output::say;

/// What the launcher wants of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Run, and run again after a crash.
    Run,
    /// Stop in good order.
    Stop,
    /// Stop at once.
    Kill,
}

/// What a service does at the moment.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Its process id, while it runs.
    pub pid: Option<u32>,
    /// How long it took to answer `/ready`, once it did.
    pub ready_after: Option<Duration>,
    /// How often it has ended without ever having been ready.
    pub false_starts: u32,
    /// How it ended last, in words.
    pub last_end: Option<String>,
}

/// One service and how to keep it running.
#[derive(Debug)]
pub struct Supervisor {
    /// Which service.
    pub service: ServiceName,
    /// How to start it.
    pub spec: LaunchSpec,
    /// The host at which it answers on this machine.
    pub host: String,
    /// The port of its HTTP API.
    pub port: u16,
    /// Where its process id is written.
    pub pid_file: PathBuf,
    /// What the launcher wants.
    pub orders: watch::Receiver<Order>,
    /// What the service does.
    pub report: watch::Sender<Report>,
}

/// How one run of a service came to its end.
enum RunEnd {
    /// By itself.
    Crashed { how: String, ready_for: Duration },
    /// By order.
    Stopped,
}

impl Supervisor {
    /// Keeps the service running until the order to stop was carried out.
    pub async fn run(mut self) {
        let mut delay = RestartDelay::default();
        while let RunEnd::Crashed { how, ready_for } = self.run_once().await {
            let wait = delay.after_run(ready_for);
            self.note_crash(&how, wait);
            let mut orders = self.orders.clone();
            tokio::select! {
                () = sleep(wait) => {}
                () = told_otherwise(&mut orders, Order::Run) => break,
            }
        }
        // Nobody reads the file of a service that does not run; a stale one does no harm either.
        let _stale = std::fs::remove_file(&self.pid_file);
    }

    async fn run_once(&mut self) -> RunEnd {
        let mut process = match Process::start(&self.spec) {
            Ok(process) => process,
            Err(error) => {
                return RunEnd::Crashed {
                    how: format!("could not be started ({error})"),
                    ready_for: Duration::ZERO,
                };
            }
        };
        let pid = process.pid();
        if let Err(error) = std::fs::write(&self.pid_file, pid.to_string()) {
            say(format_args!(
                "cannot write {}: {error}",
                self.pid_file.display()
            ));
        }
        self.report.send_modify(|report| report.pid = Some(pid));
        let mut orders = self.orders.clone();
        let end = tokio::select! {
            end = self.watch(&mut process) => end,
            () = told_otherwise(&mut orders, Order::Run) => {
                self.stop(&mut process).await;
                RunEnd::Stopped
            }
        };
        self.report.send_modify(|report| report.pid = None);
        end
    }

    async fn watch(&self, process: &mut Process) -> RunEnd {
        let started = Instant::now();
        let early_end = tokio::select! {
            status = process.ended() => Some(status),
            () = ready::until_ready(&self.host, self.port) => None,
        };
        if let Some(status) = early_end {
            return RunEnd::Crashed {
                how: in_words(status),
                ready_for: Duration::ZERO,
            };
        }
        let ready = Instant::now();
        self.note_ready(process.pid(), ready - started);
        let status = process.ended().await;
        RunEnd::Crashed {
            how: in_words(status),
            ready_for: ready.elapsed(),
        }
    }

    async fn stop(&self, process: &mut Process) {
        let mut orders = self.orders.clone();
        if *orders.borrow() != Order::Kill {
            process.ask_to_stop();
            tokio::select! {
                _status = process.ended() => return,
                () = told_otherwise(&mut orders, Order::Stop) => {}
            }
        }
        process.kill();
        // The status of a killed process says nothing new.
        let _killed = process.ended().await;
    }

    fn note_ready(&self, pid: u32, took: Duration) {
        let again = self.report.borrow().last_end.is_some();
        self.report
            .send_modify(|report| report.ready_after = Some(took));
        if again {
            let name = self.service.binary();
            let took = took.as_millis();
            say(format_args!(
                "{name} is ready again after {took} ms (pid {pid})"
            ));
        }
    }

    fn note_crash(&self, how: &str, wait: Duration) {
        say(format_args!(
            "{} ended ({how}); starting it again in {} ms; its log is {}",
            self.service.binary(),
            wait.as_millis(),
            self.spec.log.path().display()
        ));
        self.report.send_modify(|report| {
            if report.ready_after.is_none() {
                report.false_starts += 1;
            }
            report.pid = None;
            report.last_end = Some(how.to_owned());
        });
    }
}

fn in_words(status: std::io::Result<ExitStatus>) -> String {
    match status {
        Ok(status) => describe(status),
        Err(error) => format!("its status is unknown: {error}"),
    }
}

/// Comes back when the order is another than `current`. A launcher that is gone wants a stop.
async fn told_otherwise(orders: &mut watch::Receiver<Order>, current: Order) {
    // An error means that the sender is gone, which is an order to stop as well.
    let _gone = orders.wait_for(|&order| order != current).await;
}
