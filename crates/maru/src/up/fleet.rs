//! All services together: started at once, waited for, and stopped with the gateway first, so that
//! no request arrives at a service that is leaving.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use contracts::services::ServiceName;
use futures_util::future::{join_all, try_join_all};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::layout::Layout;
use super::leftovers::pid_file;
use super::logs::ServiceLog;
use super::preflight::Folders;
use super::process::LaunchSpec;
use super::supervisor::{Order, Report, Supervisor};

/// How often a service may end before it was ever ready until the start is given up.
const MAX_FALSE_STARTS: u32 = 5;
/// How long everything together may take to stop.
const STOP_LIMIT: Duration = Duration::from_secs(15);
/// How much of it the gateway has for itself.
const GATEWAY_LEAD: Duration = Duration::from_secs(5);
/// How many lines of a log a failure shows.
const SHOWN_LOG_LINES: usize = 5;

/// One service to start.
#[derive(Clone, Debug)]
pub struct Launch {
    /// Which service.
    pub service: ServiceName,
    /// Its program.
    pub program: PathBuf,
    /// Variables set on top of the launcher's own.
    pub set: Vec<(String, String)>,
    /// The launcher's variables it must not see.
    pub unset: Vec<String>,
}

/// Where the services' logs are seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogView {
    /// In their files.
    Files,
    /// In their files and on standard output.
    Terminal,
}

/// A service that is ready.
#[derive(Clone, Debug)]
pub struct Running {
    /// Which service.
    pub service: ServiceName,
    /// Its process id, unless it has just ended.
    pub pid: Option<u32>,
    /// How long it took to become ready.
    pub ready_after: Duration,
}

/// The supervised services.
#[derive(Debug)]
pub struct Fleet {
    members: Vec<Member>,
    /// What runs beside the supervisors; ends with the fleet.
    background: JoinSet<()>,
}

#[derive(Debug)]
struct Member {
    service: ServiceName,
    log: ServiceLog,
    orders: watch::Sender<Order>,
    report: watch::Receiver<Report>,
}

impl Fleet {
    /// Starts the services, all at once.
    #[must_use]
    pub fn start(layout: &Layout, folders: &Folders, launches: Vec<Launch>, logs: LogView) -> Self {
        let mut background = JoinSet::new();
        let members = launches
            .into_iter()
            .map(|launch| {
                let log = ServiceLog::in_folder(&folders.logs, launch.service);
                background.spawn(log.clone().keep_short());
                if logs == LogView::Terminal {
                    background.spawn(log.clone().follow());
                }
                Member::start(layout, folders, launch, log)
            })
            .collect();
        Self {
            members,
            background,
        }
    }

    /// Comes back when every service is ready.
    ///
    /// # Errors
    /// When one is not within `limit`, or ends again and again; with the last lines of its log.
    pub async fn ready(&self, limit: Duration) -> Result<()> {
        let all = try_join_all(self.members.iter().map(Member::ready));
        match timeout(limit, all).await {
            Ok(outcome) => outcome.map(drop),
            Err(_elapsed) => {
                let late: Vec<String> = self
                    .members
                    .iter()
                    .filter(|member| member.report.borrow().ready_after.is_none())
                    .map(|member| member.last_words())
                    .collect();
                bail!(
                    "not ready within {} s: {}",
                    limit.as_secs(),
                    late.join("; ")
                )
            }
        }
    }

    /// The services that became ready.
    #[must_use]
    pub fn running(&self) -> Vec<Running> {
        self.members
            .iter()
            .filter_map(|member| {
                let report = member.report.borrow();
                Some(Running {
                    service: member.service,
                    pid: report.pid,
                    ready_after: report.ready_after?,
                })
            })
            .collect()
    }

    /// Stops everything, the gateway first; what has not stopped after 15 s, or when `hurry`
    /// comes, is killed. Returns the names of the services that had to be.
    pub async fn stop(mut self, hurry: impl Future<Output = ()>) -> Vec<&'static str> {
        let (edge, inner): (Vec<&Member>, Vec<&Member>) = self
            .members
            .iter()
            .partition(|member| member.service == ServiceName::Gateway);
        let in_order = async {
            // The others do not wait for a gateway that is slow to let go of its clients.
            let _slow_gateway = timeout(GATEWAY_LEAD, stop_all(&edge, Order::Stop)).await;
            stop_all(&inner, Order::Stop).await;
            join_all(edge.iter().map(|member| member.stopped())).await;
        };
        tokio::select! {
            () = in_order => {}
            () = sleep(STOP_LIMIT) => {}
            () = hurry => {}
        }
        let left: Vec<&Member> = self
            .members
            .iter()
            .filter(|member| member.is_alive())
            .collect();
        stop_all(&left, Order::Kill).await;
        let killed = left.iter().map(|member| member.service.binary()).collect();
        self.background.shutdown().await;
        killed
    }
}

async fn stop_all(members: &[&Member], order: Order) {
    for member in members {
        member.orders.send_replace(order);
    }
    join_all(members.iter().map(|member| member.stopped())).await;
}

impl Member {
    fn start(layout: &Layout, folders: &Folders, launch: Launch, log: ServiceLog) -> Self {
        let service = launch.service;
        let (orders, orders_in) = watch::channel(Order::Run);
        let (report_out, report) = watch::channel(Report::default());
        let supervisor = Supervisor {
            service,
            spec: LaunchSpec {
                program: launch.program,
                set: launch.set,
                unset: launch.unset,
                log: log.clone(),
            },
            host: layout.local_host().to_owned(),
            port: layout.placement(service).http_port,
            pid_file: pid_file(&folders.run, service),
            orders: orders_in,
            report: report_out,
        };
        tokio::spawn(supervisor.run());
        Self {
            service,
            log,
            orders,
            report,
        }
    }

    async fn ready(&self) -> Result<()> {
        let mut report = self.report.clone();
        let settled = report
            .wait_for(|report| {
                report.ready_after.is_some() || report.false_starts >= MAX_FALSE_STARTS
            })
            .await
            .map_err(|_gone| anyhow!("{} was stopped", self.service.binary()))?;
        if settled.ready_after.is_some() {
            return Ok(());
        }
        bail!("gave up on {}", self.last_words())
    }

    /// Its name, how it ended last, and the end of its log.
    fn last_words(&self) -> String {
        let ended = self.report.borrow().last_end.clone();
        let ended = ended.map_or_else(String::new, |how| format!(" (ended: {how})"));
        let lines = self.log.last_lines(SHOWN_LOG_LINES);
        let log = if lines.is_empty() {
            format!("nothing in {}", self.log.path().display())
        } else {
            format!(
                "{} ends with\n  {}",
                self.log.path().display(),
                lines.join("\n  ")
            )
        };
        format!("{}{ended}; {log}", self.service.binary())
    }

    fn is_alive(&self) -> bool {
        self.report.has_changed().is_ok()
    }

    /// Comes back when the supervisor has ended, which drops its end of the channel.
    async fn stopped(&self) {
        let mut report = self.report.clone();
        while report.changed().await.is_ok() {}
    }
}
