//! The user-service under measurement, as a process of its own.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;

pub(crate) const OWNER: &str = "owner@maru.local";
pub(crate) const PASSWORD: &str = "the owner's long password";

/// A running user-service; it is killed with this value.
pub(crate) struct Server {
    child: Child,
    url: String,
    http: reqwest::Client,
    _data: TempDir,
}

impl Server {
    /// Starts it with these settings and waits until it is ready.
    pub(crate) async fn start(program: &str, settings: &[(&str, &str)]) -> anyhow::Result<Self> {
        let data = tempfile::tempdir()?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let database = format!("sqlite://{}/user.db?mode=rwc", data.path().display());
        let child = Command::new(program)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            // As `maru up` and the image start it.
            .env("MALLOC_TRIM_THRESHOLD_", "131072")
            .env("MARU_DATA", data.path())
            .env("DATABASE_URL", database)
            .env("MARU_OWNER_PASSWORD", PASSWORD)
            .env("USER__SERVER__PORT", port.to_string())
            .env("USER__SERVER__GRPC_PORT", "0")
            // The measurement guesses passwords on purpose.
            .env("USER__THROTTLE__PAIR_FREE", "1000000")
            .env("USER__THROTTLE__ADDRESS_FREE", "1000000")
            .env("USER__THROTTLE__ACCOUNT_FREE", "1000000")
            .envs(settings.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("{program} cannot be started"))?;
        let http = resilience::plain_http(Duration::from_secs(60));
        let server = Self {
            child,
            url: format!("http://127.0.0.1:{port}"),
            http,
            _data: data,
        };
        server.wait_until_ready().await?;
        Ok(server)
    }

    async fn wait_until_ready(&self) -> anyhow::Result<()> {
        let give_up = Instant::now() + Duration::from_secs(20);
        loop {
            let answer = self.http.get(format!("{}/ready", self.url)).send().await;
            if answer.is_ok_and(|answer| answer.status() == StatusCode::OK) {
                return Ok(());
            }
            anyhow::ensure!(Instant::now() < give_up, "user-service does not get ready");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) async fn log_in(
        &self,
        email: &str,
        password: &str,
    ) -> anyhow::Result<reqwest::Response> {
        let body = json!({"email": email, "password": password});
        let request = self.http.post(self.login_address());
        Ok(request.json(&body).send().await?)
    }

    /// Signs the owner in and uses the token once.
    pub(crate) async fn open_session(&self) -> anyhow::Result<()> {
        let answer = self.log_in(OWNER, PASSWORD).await?.error_for_status()?;
        let tokens: Value = answer.json().await?;
        let token = tokens.get("access_token").and_then(Value::as_str);
        let request = self.http.get(format!("{}/api/auth/me", self.url));
        let answer = request
            .bearer_auth(token.unwrap_or_default())
            .send()
            .await?;
        answer.error_for_status()?;
        Ok(())
    }

    fn login_address(&self) -> String {
        format!("{}/api/auth/login", self.url)
    }

    fn authority(&self) -> &str {
        self.url.trim_start_matches("http://")
    }

    /// A connection over which nothing was sent yet.
    pub(crate) async fn connect(&self) -> anyhow::Result<TcpStream> {
        Ok(TcpStream::connect(self.authority()).await?)
    }

    /// A client that takes as little as possible of the processors that it shares with the service.
    pub(crate) async fn caller(&self) -> anyhow::Result<Caller> {
        let (sender, connection) = handshake(TokioIo::new(self.connect().await?)).await?;
        // It ends with the sender; who sends is told of failures.
        tokio::spawn(connection);
        let host = self.authority().to_owned();
        Ok(Caller { sender, host })
    }

    /// Processor time spent so far, in seconds: `utime` and `stime` of `proc_pid_stat(5)`, in ticks.
    pub(crate) fn cpu_seconds(&self) -> anyhow::Result<f64> {
        /// As every Linux on the processors of today counts them (`getconf CLK_TCK`).
        const TICKS_PER_SECOND: f64 = 100.0;
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // The name, in parentheses, may hold blanks.
        let (_name, rest) = stat.rsplit_once(')').context("no stat of a process")?;
        let times = rest.split_whitespace().skip(11).take(2);
        let ticks: Result<f64, _> = times.map(str::parse::<f64>).sum();
        Ok(ticks? / TICKS_PER_SECOND)
    }

    /// Resident memory, in MiB.
    pub(crate) fn memory_mib(&self) -> anyhow::Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().nth(1));
        let kib: f64 = kib.context("no VmRSS: user-service has ended")?.parse()?;
        Ok(kib / 1_024.0)
    }
}

/// A client with one connection.
pub(crate) struct Caller {
    sender: SendRequest<Full<Bytes>>,
    host: String,
}

impl Caller {
    pub(crate) async fn log_in(
        &mut self,
        email: &str,
        password: &str,
    ) -> anyhow::Result<StatusCode> {
        let body = json!({"email": email, "password": password}).to_string();
        let request = Request::post("/api/auth/login")
            .header("host", &self.host)
            .header("content-type", "application/json")
            .body(Full::from(body))?;
        self.sender.ready().await?;
        let answer = self.sender.send_request(request).await?;
        let status = answer.status();
        answer.into_body().collect().await?;
        Ok(status)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already; there is nobody to tell.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
