//! user-service behind the gateway, on free ports, under one public address.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use common::shutdown::Shutdown;
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::ApiClient;
use testkit::database::{Profile, TestDatabase, required_address};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;

pub(crate) const OWNER: &str = "owner@maru.local";
pub(crate) const PASSWORD: &str = "the owner's long password";

/// Long enough for a loaded machine; a script that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(100);

/// The two services.
pub(crate) struct World {
    /// Where browsers and applications reach them.
    pub(crate) issuer: String,
    pub(crate) client: ApiClient,
    shutdown: Shutdown,
    _databases: [TestDatabase; 2],
    _data: TempDir,
}

impl World {
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// With these variables of user-service beside the usual ones.
    pub(crate) async fn start_with(variables: &[(&'static str, &str)]) -> Self {
        // The provider must know its public address before the gateway, which has it, can know the
        // provider's: connections to it are handed on once both run.
        let public = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://localhost:{}", public.local_addr().unwrap().port());
        let (database, data) = (TestDatabase::create().await, tempfile::tempdir().unwrap());
        let of_gateway = TestDatabase::create().await;
        let shutdown = Shutdown::new();
        let usual = variables_of_user_service(&issuer, &database, &data);
        let more = variables
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()));
        let user = start_user_service(usual.into_iter().chain(more), &shutdown).await;
        let gateway = start_gateway(&user, &of_gateway, &shutdown).await;
        tokio::spawn(hand_on(public, gateway));
        Self {
            client: ApiClient::new(&issuer),
            issuer,
            shutdown,
            _databases: [database, of_gateway],
            _data: data,
        }
    }

    pub(crate) async fn access_token(&self) -> String {
        let body = json!({"email": OWNER, "password": PASSWORD});
        let tokens = self.client.post("/api/auth/login", &body).await.expect(200);
        tokens["access_token"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn owner(&self) -> ApiClient {
        self.client.with_token(self.access_token().await)
    }

    /// Runs a script of `clients` with Node.js; returns what it printed.
    pub(crate) async fn run_node(&self, script: &str, told: &Value) -> String {
        require(&clients().join("node_modules"));
        run(Command::new("node").arg(script), told).await
    }

    /// Runs a script of `clients` with Python; returns what it printed.
    pub(crate) async fn run_python(&self, script: &str, told: &Value) -> String {
        let python = clients().join(".venv/bin/python");
        require(&python);
        let mut command = Command::new(python);
        // http is for this machine alone; the library asks to say so.
        run(
            command.arg(script).env("AUTHLIB_INSECURE_TRANSPORT", "1"),
            told,
        )
        .await
    }

    /// The browser.
    pub(crate) fn chromium() -> &'static str {
        let names = [
            "/usr/bin/chromium",
            "/usr/bin/chromium-browser",
            "/usr/bin/google-chrome",
        ];
        let found = names.into_iter().find(|name| Path::new(name).exists());
        found.expect("Chromium is installed by scripts/install-test-deps")
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.shutdown.trigger();
    }
}

fn clients() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/identity/clients")
}

#[track_caller]
fn require(path: &Path) {
    let path = path.display();
    assert!(
        std::fs::exists(path.to_string()).unwrap(),
        "{path} is missing: run scripts/install-test-deps"
    );
}

async fn run(command: &mut Command, told: &Value) -> String {
    let command = command
        .current_dir(clients())
        .env("MARU_TEST", told.to_string())
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE, command.output()).await;
    let output = output
        .expect("the script ends in time")
        .expect("the script starts");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{complained}");
    said
}

fn variables_of_user_service(
    issuer: &str,
    database: &TestDatabase,
    data: &TempDir,
) -> Vec<(&'static str, String)> {
    let mut variables = vec![
        ("DATABASE_URL", database.url().to_owned()),
        ("MARU_DATA", data.path().display().to_string()),
        ("MARU_PUBLIC_URL", issuer.to_owned()),
        ("MARU_OWNER_EMAIL", OWNER.to_owned()),
        ("MARU_OWNER_PASSWORD", PASSWORD.to_owned()),
        ("USER__SERVER__PORT", "0".to_owned()),
        ("USER__SERVER__GRPC_PORT", "0".to_owned()),
        ("USER__HASHING__MEMORY_KIB", "8192".to_owned()),
        ("USER__HASHING__PASSES", "1".to_owned()),
    ];
    if Profile::current() == Profile::Infrastructure {
        variables.push(("REDIS_URL", required_address("TEST_REDIS_URL")));
    }
    variables
}

async fn start_user_service(
    variables: impl Iterator<Item = (&'static str, String)>,
    shutdown: &Shutdown,
) -> String {
    let variables = variables.map(|(name, value)| (name.to_owned(), value));
    let loaded = common::settings::load("user", identity::DEFAULTS, variables).unwrap();
    let built = identity::startup::Application::build(loaded, shutdown.clone()).await;
    let service = built.expect("user-service starts");
    let address = service.address();
    tokio::spawn(service.run_until_stopped());
    format!("http://{address}")
}

async fn start_gateway(
    user: &str,
    database: &TestDatabase,
    shutdown: &Shutdown,
) -> std::net::SocketAddr {
    let variables = [
        ("USER_URL", user),
        ("DATABASE_URL", database.url()),
        ("GATEWAY__SERVER__PORT", "0"),
        ("GATEWAY__SERVER__WORKERS", "1"),
    ];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let loaded = common::settings::load("gateway", gateway_service::DEFAULTS, variables).unwrap();
    let built = gateway_service::startup::Application::build(loaded, shutdown.clone()).await;
    let gateway = built.expect("the gateway starts");
    let address = gateway.address();
    tokio::spawn(gateway.run_until_stopped());
    address
}

async fn hand_on(public: TcpListener, gateway: std::net::SocketAddr) {
    while let Ok((mut outside, _)) = public.accept().await {
        tokio::spawn(async move {
            if let Ok(mut inside) = TcpStream::connect(gateway).await {
                // Either end may close; the other then does, too.
                let _ = tokio::io::copy_bidirectional(&mut outside, &mut inside).await;
            }
        });
    }
}
