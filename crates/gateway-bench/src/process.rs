//! The gateway under test, as a process of its own.

use std::io::{BufRead as _, BufReader, Read};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{CpuSet, sched_setaffinity};
use tempfile::TempDir;
use tokio::net::TcpStream;

/// The services that its default routes lead to.
const SERVICES: [&str; 6] = ["USER", "INVENTORY", "ORDER", "ANALYTICS", "IOT", "PAYMENT"];

/// Faulty lines that are kept to be shown.
const KEPT_LINES: usize = 20;

/// What its log says beside the lines about requests.
#[derive(Clone, Debug, Default)]
pub struct Log {
    /// How many lines there are.
    pub lines: u64,
    /// How many of them are about errors.
    pub errors: u64,
    /// Lines about panics, and the first about errors.
    pub faults: Vec<String>,
    /// How many panics there were.
    pub panics: u64,
}

/// As long as it lives, nobody reads what a gateway writes.
#[derive(Debug)]
pub struct Unread<'g> {
    _log: MutexGuard<'g, Log>,
}

/// A running gateway; it is killed with this value.
#[derive(Debug)]
pub struct Gateway {
    child: Child,
    address: SocketAddr,
    log: Arc<Mutex<Log>>,
    data: TempDir,
}

/// A free port of this machine, as far as anybody can say beforehand.
///
/// # Errors
/// When there is none.
pub fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Keeps all threads of a process, and those that they will start, to one processor.
///
/// # Errors
/// When there is no such processor or process.
pub fn keep_to_processor(process: u32, processor: usize) -> anyhow::Result<()> {
    let mut set = CpuSet::new();
    set.set(processor);
    for thread in std::fs::read_dir(format!("/proc/{process}/task"))? {
        let id = thread?.file_name().to_string_lossy().parse()?;
        let kept = sched_setaffinity(Pid::from_raw(id), &set);
        kept.with_context(|| format!("processor {processor} is not ours to use"))?;
    }
    Ok(())
}

/// Processor time that the threads of a process have taken (`schedstat` of its tasks, Linux's
/// Documentation/scheduler/sched-stats.rst).
///
/// # Errors
/// When there is no such process, or the system does not count.
pub fn processor_time(process: u32) -> anyhow::Result<Duration> {
    let mut sum = Duration::ZERO;
    for thread in std::fs::read_dir(format!("/proc/{process}/task"))? {
        let counted = std::fs::read_to_string(thread?.path().join("schedstat"))?;
        let nanoseconds = counted.split(' ').next().unwrap_or_default();
        sum += Duration::from_nanos(nanoseconds.parse()?);
    }
    Ok(sum)
}

impl Gateway {
    /// Starts `program` with every service at `service`, and these settings on top, and waits until it
    /// answers.
    ///
    /// # Errors
    /// When it does not come up within 20 s.
    pub async fn start(
        program: &str,
        service: SocketAddr,
        settings: &[(&str, String)],
    ) -> anyhow::Result<Self> {
        let data = tempfile::tempdir()?;
        let port = free_port()?;
        let places = SERVICES.map(|name| (format!("{name}_URL"), format!("http://{service}")));
        let database = format!("sqlite://{}/gateway.db?mode=rwc", data.path().display());
        let mut child = Command::new(program)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("MARU_DATA", data.path())
            .env("DATABASE_URL", database)
            .env("GATEWAY__SERVER__PORT", port.to_string())
            .envs(places)
            .envs(settings.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("{program} cannot be started"))?;
        let log = Arc::new(Mutex::new(Log::default()));
        let outputs = (child.stdout.take(), child.stderr.take());
        if let (Some(output), Some(errors)) = outputs {
            read_log(output, &log);
            read_log(errors, &log);
        }
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let gateway = Self {
            child,
            address,
            log,
            data,
        };
        let give_up = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(address).await.is_err() {
            anyhow::ensure!(Instant::now() < give_up, "the gateway does not come up");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(gateway)
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// A folder that lives as long as it.
    #[must_use]
    pub fn folder(&self) -> &std::path::Path {
        self.data.path()
    }

    /// What its log has said so far.
    #[must_use]
    pub fn log(&self) -> Log {
        self.log.lock().map(|log| log.clone()).unwrap_or_default()
    }

    /// The number of its process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Has nobody read its log, so that what it can write without a reader comes to its end.
    #[must_use]
    pub fn leave_log_unread(&self) -> Unread<'_> {
        Unread {
            _log: self.log.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }

    /// Resident memory, in KiB.
    ///
    /// # Errors
    /// When it has ended.
    pub fn memory_kib(&self) -> anyhow::Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().nth(1));
        Ok(kib.context("no VmRSS: the gateway has ended")?.parse()?)
    }

    /// How many files and sockets it has open.
    ///
    /// # Errors
    /// When it has ended.
    pub fn open_files(&self) -> anyhow::Result<usize> {
        Ok(std::fs::read_dir(format!("/proc/{}/fd", self.child.id()))?.count())
    }

    /// Gives it a signal.
    ///
    /// # Errors
    /// When it has ended.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let id = i32::try_from(self.child.id())?;
        let process = Pid::from_raw(id).context("no process")?;
        kill_process(process, signal).context("the gateway has ended")
    }

    /// How it ended, if it has.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }
}

fn read_log(output: impl Read + Send + 'static, log: &Arc<Mutex<Log>>) {
    let log = Arc::clone(log);
    std::thread::spawn(move || {
        for line in BufReader::new(output).split(b'\n') {
            let (Ok(line), Ok(mut log)) = (line, log.lock()) else {
                return;
            };
            let line = String::from_utf8_lossy(&line);
            log.lines += 1;
            let panicked = line.contains("panicked at");
            let error = line.contains("ERROR");
            log.panics += u64::from(panicked);
            log.errors += u64::from(error);
            if panicked || (error && log.faults.len() < KEPT_LINES) {
                log.faults.push(line.into_owned());
            }
        }
    });
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // It may have ended already; there is nobody to tell.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
