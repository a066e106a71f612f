//! One child process: started in its own process group so that a Ctrl-C at the terminal reaches the
//! launcher alone, and asked to stop by a signal or by the end of its standard input.

use std::io;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};

use common::shutdown::PARENT_PIPE_VARIABLE;
use tokio::process::{Child, ChildStdin, Command};

use super::logs::ServiceLog;

/// When the allocator of the GNU C library gives free memory back, in bytes (mallopt(3)): its
/// default, which it would raise to megabytes at the first large block. A service starts with far more
/// work than it does when it is idle. Other libraries ignore it.
const TRIM_THRESHOLD: (&str, &str) = ("MALLOC_TRIM_THRESHOLD_", "131072");

/// From the documentation of `CreateProcess`.
#[cfg(windows)]
const CREATE_NEW_PROCESS_GROUP: u32 = 0x0000_0200;

/// How to start a service.
#[derive(Clone, Debug)]
pub struct LaunchSpec {
    /// The program.
    pub program: PathBuf,
    /// Variables set on top of the launcher's own.
    pub set: Vec<(String, String)>,
    /// The launcher's variables that this service must not see.
    pub unset: Vec<String>,
    /// Where its output goes.
    pub log: ServiceLog,
}

/// A running service.
#[derive(Debug)]
pub struct Process {
    child: Child,
    /// The write end of the child's standard input. Should the launcher be killed, the system closes
    /// it, and the child, told so by `MARU_PARENT_PIPE`, stops by itself.
    parent_pipe: Option<ChildStdin>,
    pid: u32,
}

impl Process {
    /// Starts a service.
    ///
    /// # Errors
    /// When the program or its log cannot be opened.
    pub fn start(spec: &LaunchSpec) -> io::Result<Self> {
        let log = spec.log.open()?;
        let mut command = Command::new(&spec.program);
        command
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log);
        for name in &spec.unset {
            command.env_remove(name);
        }
        command.env(PARENT_PIPE_VARIABLE, "1");
        // Its output goes to a file (https://no-color.org).
        command.env("NO_COLOR", "1");
        if std::env::var_os(TRIM_THRESHOLD.0).is_none() {
            command.env(TRIM_THRESHOLD.0, TRIM_THRESHOLD.1);
        }
        command.envs(spec.set.iter().map(|(name, value)| (name, value)));
        #[cfg(unix)]
        command.process_group(0);
        #[cfg(windows)]
        command.creation_flags(CREATE_NEW_PROCESS_GROUP);
        let mut child = command.spawn()?;
        let pid = child
            .id()
            .ok_or_else(|| io::Error::other("the process ended before it had an id"))?;
        // Taken out, because waiting for the child would close it.
        let parent_pipe = child.stdin.take();
        Ok(Self {
            child,
            parent_pipe,
            pid,
        })
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Comes back when it ended. May be dropped and called again.
    ///
    /// # Errors
    /// When the system cannot tell.
    pub async fn ended(&mut self) -> io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// Asks it to stop: SIGTERM where there are signals, and the end of its standard input.
    pub fn ask_to_stop(&mut self) {
        #[cfg(unix)]
        terminate(self.pid);
        self.parent_pipe = None;
    }

    /// Ends it at once.
    pub fn kill(&mut self) {
        // It can only fail when the process is gone already, which is what is wanted.
        let _gone = self.child.start_kill();
    }
}

/// Sends SIGTERM. A process that is gone already is no fault.
#[cfg(unix)]
pub(super) fn terminate(pid: u32) {
    send(pid, rustix::process::Signal::TERM);
}

/// Sends SIGKILL. A process that is gone already is no fault.
#[cfg(unix)]
pub(super) fn kill(pid: u32) {
    send(pid, rustix::process::Signal::KILL);
}

#[cfg(unix)]
fn send(pid: u32, signal: rustix::process::Signal) {
    let pid = i32::try_from(pid)
        .ok()
        .and_then(rustix::process::Pid::from_raw);
    if let Some(pid) = pid {
        let _gone = rustix::process::kill_process(pid, signal);
    }
}

/// How a process ended, in words: `exit code 1`, `signal 9`.
#[must_use]
pub fn describe(status: ExitStatus) -> String {
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        return format!("signal {signal}");
    }
    match status.code() {
        Some(code) => format!("exit code {code}"),
        None => "an unknown status".to_owned(),
    }
}
