//! A `maru` in a folder of its own, with fake services beside it.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use contracts::services::ServiceName;
use tempfile::TempDir;

/// Long enough for a loaded machine; nothing waits this long unless it fails.
const PATIENCE: Duration = Duration::from_secs(30);

/// Programs and data of one system.
pub(crate) struct Installation {
    folder: TempDir,
}

impl Installation {
    /// Every program, and no data.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let bin = folder.path().join("bin");
        fs::create_dir(&bin).expect("created");
        link(Path::new(env!("CARGO_BIN_EXE_maru")), &bin.join("maru"));
        let own = std::env::current_exe().expect("this program");
        for service in ServiceName::all() {
            link(&own, &bin.join(service.binary()));
        }
        Self { folder }
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.folder.path().join("bin").join(name)
    }

    /// `maru <arguments>` with these variables and no others.
    pub(crate) fn command(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Command {
        let mut command = Command::new(self.program("maru"));
        command
            .args(arguments)
            .env_clear()
            .env("MARU_DATA", self.data())
            .envs(variables.iter().copied())
            .stdin(Stdio::null());
        command
    }

    /// Runs `maru` to its end: its status and everything it said.
    pub(crate) fn run(
        &self,
        arguments: &[&str],
        variables: &[(&str, &str)],
    ) -> (ExitStatus, String) {
        let output = self.command(arguments, variables).output().expect("runs");
        let said = [output.stdout, output.stderr].concat();
        (output.status, String::from_utf8(said).expect("text"))
    }

    /// Starts `maru up` on free ports.
    pub(crate) fn up(&self, variables: &[(&str, &str)]) -> Launcher {
        self.up_with(&["up", "--port-base", "auto"], variables)
    }

    /// Starts `maru` with arguments of one's own.
    pub(crate) fn up_with(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Launcher {
        let mut child = self
            .command(arguments, variables)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("starts");
        let stdout = child.stdout.take().expect("piped");
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _reader_gone = sender.send(line);
            }
        });
        Launcher {
            child,
            lines,
            said: String::new(),
        }
    }

    /// The process id the launcher wrote down for a service.
    pub(crate) fn pid(&self, service: ServiceName) -> Option<u32> {
        let file = self.data().join(format!("run/{}.pid", service.binary()));
        fs::read_to_string(file).ok()?.trim().parse().ok()
    }

    /// The text of a file in the data folder; empty when there is none.
    pub(crate) fn text(&self, file: &str) -> String {
        fs::read_to_string(self.data().join(file)).unwrap_or_default()
    }
}

fn link(from: &Path, to: &Path) {
    // Another file system takes no link.
    if fs::hard_link(from, to).is_err() {
        fs::copy(from, to).expect("copied");
    }
}

/// A running `maru up`.
pub(crate) struct Launcher {
    child: Child,
    lines: Receiver<String>,
    said: String,
}

impl Launcher {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for a line that contains `text`, and returns everything said up to it.
    pub(crate) fn wait_for(&mut self, text: &str) -> &str {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(line) = self.lines.recv_timeout(left) else {
                let mut errors = String::new();
                self.child.kill().expect("killed");
                let stderr = self.child.stderr.as_mut().expect("piped");
                stderr.read_to_string(&mut errors).expect("text");
                panic!(
                    "no line with {text:?} came; it said:\n{}{errors}",
                    self.said
                );
            };
            self.said.push_str(&line);
            self.said.push('\n');
            if line.contains(text) {
                return &self.said;
            }
        }
    }

    /// Waits until everything is ready.
    pub(crate) fn ready(&mut self) -> &str {
        self.wait_for("Press Ctrl-C")
    }

    /// Asks it to stop again and again, and waits for its end.
    pub(crate) fn end_hurried(mut self) -> ExitStatus {
        let mut status = None;
        until("the launcher ended", || {
            status = self.child.try_wait().expect("known");
            // Not reaped yet, so the id is still its own.
            if status.is_none() {
                signal(self.pid(), rustix::process::Signal::TERM);
            }
            status.is_some()
        });
        status.expect("ended")
    }

    /// Waits for its end.
    pub(crate) fn end(mut self) -> ExitStatus {
        let mut status = None;
        until("the launcher ended", || {
            status = self.child.try_wait().expect("known");
            status.is_some()
        });
        status.expect("ended")
    }
}

impl Drop for Launcher {
    fn drop(&mut self) {
        // After a failed scenario the services must not stay; they notice the launcher's end.
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}

/// Waits for a condition.
pub(crate) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::yield_now();
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

pub(crate) fn signal(pid: u32, signal: rustix::process::Signal) {
    let pid = i32::try_from(pid).expect("a process id");
    let pid = rustix::process::Pid::from_raw(pid).expect("a process id");
    rustix::process::kill_process(pid, signal).expect("sent");
}

/// Whether a process exists that has not ended.
pub(crate) fn lives(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}
