//! A system of its own for one test: databases, ports, processes.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use contracts::services::ServiceName;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use tempfile::TempDir;
use testkit::ApiClient;
use testkit::database::{Profile, required_address};
use tokio::process::{Child, Command};

/// Long enough for a loaded machine; nothing waits this long unless it fails.
const PATIENCE: Duration = Duration::from_secs(120);
const OWNER: &str = "owner@maru.local";
const PASSWORD: &str = "a-password-for-the-tests";

/// A running system.
pub(crate) struct System {
    folder: TempDir,
    launcher: Child,
    variables: Vec<(String, String)>,
    database: Option<String>,
    pub(crate) client: ApiClient,
}

impl System {
    /// Starts all services on free ports and signs the owner in.
    pub(crate) async fn start() -> Self {
        Self::start_with_broker(None).await
    }

    /// Starts with this RabbitMQ instead of the one that the tests share.
    pub(crate) async fn start_with_broker(amqp_url: Option<String>) -> Self {
        let folder = TempDir::with_prefix("maru-system-").expect("a folder");
        let (variables, database) = surroundings(amqp_url).await;
        let mut arguments = vec!["up", "--port-base", "auto", "--ready-timeout", "110"];
        if database.is_some() {
            arguments.push("--create-schemas");
        }
        let log = std::fs::File::create(folder.path().join("up.log")).expect("a log file");
        let launcher = command(&folder, &variables)
            .args(arguments)
            .stdout(log.try_clone().expect("the same file"))
            .stderr(log)
            .spawn()
            .expect("maru starts");
        let mut system = Self {
            folder,
            launcher,
            variables,
            database,
            client: ApiClient::new("http://127.0.0.1:1"),
        };
        system.wait_until_ready().await;
        system.sign_in().await;
        system
    }

    async fn wait_until_ready(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        while !self.said().contains("Press Ctrl-C") {
            let ended = self.launcher.try_wait().expect("its state is known");
            let waiting = ended.is_none() && Instant::now() < deadline;
            assert!(
                waiting,
                "the system does not start ({ended:?}):\n{}",
                self.said()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Everything the launcher said so far.
    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("up.log")).unwrap_or_default()
    }

    async fn sign_in(&mut self) {
        let gateway = format!("http://127.0.0.1:{}", self.port(ServiceName::Gateway));
        let anybody = ApiClient::new(gateway);
        let credentials = json!({"email": OWNER, "password": PASSWORD});
        let signed_in = anybody
            .post("/api/auth/login", &credentials)
            .await
            .expect(200);
        let token = signed_in["access_token"].as_str().expect("a token");
        self.client = anybody.with_token(token);
    }

    /// What the launcher wrote down about the running system.
    fn written(&self) -> Value {
        let file = self.data().join("run/system.json");
        let text = std::fs::read_to_string(file).expect("the launcher wrote down what runs");
        serde_json::from_str(&text).expect("JSON")
    }

    /// The address of the broker that devices connect to.
    pub(crate) fn mqtt_url(&self) -> String {
        match self.written()["mqtt_port"].as_u64() {
            Some(port) => format!("mqtt://127.0.0.1:{port}"),
            None => required_address("TEST_MQTT_URL"),
        }
    }

    /// The port of a service.
    pub(crate) fn port(&self, service: ServiceName) -> u16 {
        let system = self.written();
        let services = system["services"].as_array().expect("a list");
        let found = services
            .iter()
            .find(|entry| entry["name"] == service.as_str());
        let port = found.expect("the service was started")["port"]
            .as_u64()
            .expect("a port");
        u16::try_from(port).expect("a port")
    }

    /// The process id of a service, if it runs.
    pub(crate) fn pid(&self, service: ServiceName) -> Option<u32> {
        let file = self.data().join(format!("run/{}.pid", service.binary()));
        std::fs::read_to_string(file).ok()?.trim().parse().ok()
    }

    /// Ends a service the hard way and waits until the launcher has started it again.
    pub(crate) async fn kill(&self, service: ServiceName) {
        let killed = wait_for("the service runs", || {
            self.pid(service).filter(|pid| lives(*pid))
        })
        .await;
        let pid = i32::try_from(killed)
            .ok()
            .and_then(rustix::process::Pid::from_raw);
        let signal = rustix::process::Signal::KILL;
        rustix::process::kill_process(pid.expect("a process id"), signal).expect("killed");
        wait_for("the service runs again", || {
            self.pid(service)
                .filter(|pid| *pid != killed && lives(*pid))
        })
        .await;
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts `maru` on this system.
    pub(crate) fn spawn(&self, arguments: &[&str]) -> Child {
        let gateway = format!("http://127.0.0.1:{}", self.port(ServiceName::Gateway));
        command(&self.folder, &self.variables)
            .args(arguments)
            .env("MARU_GATEWAY_URL", gateway)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("maru starts")
    }

    /// Runs `maru` on this system to its end: its status, and what it said on standard output and
    /// on standard error.
    pub(crate) async fn run(&self, arguments: &[&str]) -> (ExitStatus, String, String) {
        finish(self.spawn(arguments)).await
    }

    /// [`System::run`] that must succeed.
    pub(crate) async fn maru(&self, arguments: &[&str]) -> String {
        let (status, out, errors) = self.run(arguments).await;
        assert!(
            status.success(),
            "maru {arguments:?} ended with {status}:\n{out}{errors}"
        );
        out
    }

    /// Checks the eight invariants on the databases and through the APIs.
    pub(crate) async fn verify(&self, more: &[&str]) {
        let arguments = [&["verify", "--settle", "120"], more].concat();
        let (status, out, errors) = self.run(&arguments).await;
        assert!(
            status.success(),
            "maru verify:\n{out}{errors}\n{}",
            self.said()
        );
    }

    /// Stops everything; it must be a clean stop.
    pub(crate) async fn stop(mut self) {
        let id = self.launcher.id().and_then(|id| i32::try_from(id).ok());
        let pid = id
            .and_then(rustix::process::Pid::from_raw)
            .expect("the launcher runs");
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("told to stop");
        let ended = tokio::time::timeout(PATIENCE, self.launcher.wait()).await;
        let status = ended
            .expect("it stops in time")
            .expect("its state is known");
        assert!(
            status.success(),
            "the launcher ended with {status}:\n{}",
            self.said()
        );
        if let Some(name) = self.database.take() {
            on_server(&format!("DROP DATABASE {name} WITH (FORCE)")).await;
        }
    }
}

/// Waits for the end of a program.
pub(crate) async fn finish(child: Child) -> (ExitStatus, String, String) {
    let output = child.wait_with_output().await.expect("it ends");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (output.status, text(output.stdout), text(output.stderr))
}

/// The addresses of the profile's servers, and the database made for this test.
async fn surroundings(amqp_url: Option<String>) -> (Vec<(String, String)>, Option<String>) {
    let mut variables = vec![("MARU_OWNER_PASSWORD".to_owned(), PASSWORD.to_owned())];
    if Profile::current() == Profile::Embedded {
        return (variables, None);
    }
    let name = format!("system_{}", uuid::Uuid::new_v4().simple());
    on_server(&format!("CREATE DATABASE {name}")).await;
    let server = required_address("TEST_POSTGRES_URL");
    let (base, _) = server.rsplit_once('/').expect("a database in the address");
    let amqp_url = amqp_url.unwrap_or_else(|| {
        let shared = required_address("TEST_AMQP_URL");
        let separator = if shared.contains('?') { '&' } else { '?' };
        format!("{shared}{separator}temporary_namespace={name}")
    });
    let mut set = |key: &str, value: String| variables.push((key.to_owned(), value));
    set("DATABASE_URL", format!("{base}/{name}"));
    set("AMQP_URL", amqp_url);
    set("REDIS_URL", required_address("TEST_REDIS_URL"));
    set("MQTT_URL", required_address("TEST_MQTT_URL"));
    set("IOT__MQTT__CLIENT_ID", name.clone());
    (variables, Some(name))
}

async fn on_server(statement: &str) {
    let server = required_address("TEST_POSTGRES_URL");
    let mut connection = PgConnection::connect(&server)
        .await
        .expect("the server answers");
    connection
        .execute(AssertSqlSafe(statement.to_owned()))
        .await
        .expect("done");
}

fn command(folder: &TempDir, variables: &[(String, String)]) -> Command {
    let maru = Path::new(env!("CARGO_BIN_EXE_maru"));
    for service in ServiceName::all() {
        let binary = maru.with_file_name(service.binary());
        assert!(
            binary.exists(),
            "{} is missing: cargo build --workspace --bins",
            binary.display()
        );
    }
    let mut command = Command::new(maru);
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("MARU_DATA", folder.path().join("data"))
        .envs(variables.iter().map(|(key, value)| (key, value)))
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

/// Waits for a value.
pub(crate) async fn wait_for<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = probe() {
            return value;
        }
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Whether a process exists that has not ended.
fn lives(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.is_ok_and(|stat| !stat.contains(") Z "))
}

/// A folder of the project.
pub(crate) fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(path)
}

/// The first `orders` orders of the example year, in a folder of their own.
pub(crate) fn some_orders(system: &System, orders: usize) -> PathBuf {
    let folder = system.file("some-orders");
    std::fs::create_dir_all(&folder).expect("a folder");
    let source = project("imports/pizza-place");
    for file in ["pizzas.csv", "pizza_types.csv"] {
        std::fs::copy(source.join(file), folder.join(file)).expect("copied");
    }
    let cut = |file: &str, keep: &dyn Fn(&str) -> bool| {
        let text = std::fs::read_to_string(source.join(file)).expect("the example year");
        let mut lines = text.split_inclusive('\n');
        let head = lines.next().expect("a header").to_owned();
        let rows: String = lines.take_while(|line| keep(line)).collect();
        std::fs::write(folder.join(file), head + &rows).expect("written");
    };
    let number = |line: &str, column: usize| -> usize {
        line.split(',')
            .nth(column)
            .and_then(|text| text.parse().ok())
            .expect("a number")
    };
    cut("orders.csv", &|line| number(line, 0) <= orders);
    cut("order_details.csv", &|line| number(line, 1) <= orders);
    folder
}
