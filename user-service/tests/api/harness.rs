//! Starts the service and signs people in.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use common::clock::Clock;
use common::shutdown::Shutdown;
use common::time::Timestamp;
use identity::startup::Application;
use reqwest::Method;
use serde_json::{Value, json};
use store::Db;
use tempfile::TempDir;
use testkit::database::{Profile, TestDatabase, required_address};
use testkit::{ApiClient, Reply};

pub(crate) use testkit::logs::so_far as log_so_far;

pub(crate) const OWNER: &str = "owner@maru.local";
pub(crate) const OWNER_PASSWORD: &str = "the owner's long password";
pub(crate) const ROOT_SECRET: &str = "root-secret-of-this-test-installation";
pub(crate) const PASSWORD: &str = "a long enough password";

/// A service that listens, by a clock that the test turns.
pub(crate) struct TestApp {
    pub(crate) client: ApiClient,
    pub(crate) clock: Clock,
    database: Arc<TestDatabase>,
    data: Arc<TempDir>,
    settings: Vec<(String, String)>,
    running: Running,
}

struct Running {
    grpc: SocketAddr,
    shutdown: Shutdown,
    task: tokio::task::JoinHandle<anyhow::Result<()>>,
}

impl TestApp {
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// With these variables beside the usual ones.
    pub(crate) async fn start_with(variables: &[(&str, &str)]) -> Self {
        testkit::logs::capture();
        let database = Arc::new(TestDatabase::create().await);
        let data = Arc::new(tempfile::tempdir().unwrap());
        let mut settings = usual_variables(&database, &data);
        for (name, value) in variables {
            settings.retain(|(known, _)| known != name);
            settings.push(((*name).to_owned(), (*value).to_owned()));
        }
        let clock = Clock::manual(Timestamp::from_unix_seconds(1_800_000_000));
        let (client, running) = run(&settings, &clock).await.expect("the service starts");
        Self {
            client,
            clock,
            database,
            data,
            settings,
            running,
        }
    }

    /// A second one with the same database, data folder and clock.
    pub(crate) async fn replica(&self) -> Self {
        let started = run(&self.settings, &self.clock).await;
        let (client, running) = started.expect("the replica starts");
        Self {
            client,
            clock: self.clock.clone(),
            database: Arc::clone(&self.database),
            data: Arc::clone(&self.data),
            settings: self.settings.clone(),
            running,
        }
    }

    /// Stops it.
    pub(crate) async fn stop(self) -> Stopped {
        self.running.shutdown.trigger();
        self.running.task.await.unwrap().unwrap();
        Stopped {
            clock: self.clock,
            database: self.database,
            data: self.data,
            settings: self.settings,
        }
    }

    /// Where its gRPC is.
    pub(crate) fn grpc(&self) -> SocketAddr {
        self.running.grpc
    }

    /// A connection of the test's own to the service's database.
    pub(crate) async fn db(&self) -> Db {
        self.database.connect().await
    }

    pub(crate) fn database(&self) -> &TestDatabase {
        &self.database
    }

    pub(crate) async fn log_in(&self, email: &str, password: &str) -> Reply {
        let body = json!({"email": email, "password": password});
        self.client.post("/api/auth/login", &body).await
    }

    /// A login as the gateway passes it on for a client at `address`.
    pub(crate) async fn log_in_from(&self, address: &str, email: &str, password: &str) -> Reply {
        let body = json!({"email": email, "password": password});
        let request = self.client.request(Method::POST, "/api/auth/login");
        let request = request.header("x-forwarded-for", address).json(&body);
        self.client.send(request).await
    }

    pub(crate) async fn refresh(&self, refresh_token: &str) -> Reply {
        let body = json!({"refresh_token": refresh_token});
        self.client.post("/api/auth/refresh", &body).await
    }

    /// A client that is signed in.
    pub(crate) async fn signed_in(&self, email: &str, password: &str) -> ApiClient {
        let tokens = self.log_in(email, password).await.expect(200);
        self.client.with_token(text(&tokens, "access_token"))
    }

    pub(crate) async fn owner(&self) -> ApiClient {
        self.signed_in(OWNER, OWNER_PASSWORD).await
    }

    /// A new account with the usual password, made by the owner.
    pub(crate) async fn make_user(&self, email: &str, roles: &[&str], stores: &[&str]) -> Value {
        // Ids sort by the millisecond of their creation.
        self.clock.advance(Duration::from_millis(1));
        let body = json!({
            "email": email,
            "display_name": "Somebody",
            "password": PASSWORD,
            "roles": roles,
            "stores": stores,
        });
        let owner = self.owner().await;
        owner.post("/api/users", &body).await.expect(201)
    }

    pub(crate) async fn patch(&self, client: &ApiClient, user: &Value, change: Value) -> Reply {
        let path = format!("/api/users/{}", text(user, "id"));
        let mut body = json!({"version": user["version"]});
        let fields = body.as_object_mut().unwrap();
        fields.extend(change.as_object().unwrap().clone());
        let request = client.request(Method::PATCH, &path).json(&body);
        client.send(request).await
    }
}

/// What is left of a service that was stopped.
pub(crate) struct Stopped {
    pub(crate) clock: Clock,
    database: Arc<TestDatabase>,
    data: Arc<TempDir>,
    settings: Vec<(String, String)>,
}

impl Stopped {
    pub(crate) async fn db(&self) -> Db {
        self.database.connect().await
    }

    /// Changes a variable for the next start.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.settings.retain(|(known, _)| known != name);
        self.settings.push((name.to_owned(), value.to_owned()));
    }

    /// Starts it again with the same database and data folder.
    pub(crate) async fn start(self) -> TestApp {
        let started = run(&self.settings, &self.clock).await;
        let (client, running) = started.expect("the service starts again");
        TestApp {
            client,
            clock: self.clock,
            database: self.database,
            data: self.data,
            settings: self.settings,
            running,
        }
    }

    /// Tries to start it again.
    pub(crate) async fn start_error(&self) -> String {
        match run(&self.settings, &self.clock).await {
            Ok(_) => panic!("the service starts"),
            Err(error) => format!("{error:#}"),
        }
    }

    /// Starts several replicas at once, each of which must come up, and stops them.
    pub(crate) async fn start_replicas(&self, count: usize) {
        let starts = (0..count).map(|_| run(&self.settings, &self.clock));
        let replicas: Result<Vec<_>, _> = futures_util::future::join_all(starts)
            .await
            .into_iter()
            .collect();
        for (_client, running) in replicas.expect("every replica starts") {
            running.shutdown.trigger();
            running.task.await.unwrap().unwrap();
        }
    }
}

async fn run(settings: &[(String, String)], clock: &Clock) -> anyhow::Result<(ApiClient, Running)> {
    let loaded = common::settings::load("user", identity::DEFAULTS, settings.iter().cloned())?;
    let shutdown = Shutdown::new();
    let app = Application::build_at(loaded, clock.clone(), shutdown.clone()).await?;
    let client = ApiClient::new(format!("http://{}", app.address()));
    let grpc = app.grpc_address();
    let task = tokio::spawn(app.run_until_stopped());
    Ok((
        client,
        Running {
            grpc,
            shutdown,
            task,
        },
    ))
}

fn usual_variables(database: &TestDatabase, data: &TempDir) -> Vec<(String, String)> {
    let data = data.path().display().to_string();
    let mut variables = vec![
        ("DATABASE_URL", database.url().to_owned()),
        ("MARU_DATA", data),
        ("MARU_SERVICE_ROOT_SECRET", ROOT_SECRET.to_owned()),
        ("MARU_OWNER_PASSWORD", OWNER_PASSWORD.to_owned()),
        ("USER__SERVER__PORT", "0".to_owned()),
        ("USER__SERVER__GRPC_PORT", "0".to_owned()),
        ("USER__SERVER__SHUTDOWN_GRACE_MS", "1000".to_owned()),
        ("USER__DATABASE__MAX_CONNECTIONS", "4".to_owned()),
        // Cheap hashes: the tests are about what is around them.
        ("USER__HASHING__MEMORY_KIB", "8192".to_owned()),
        ("USER__HASHING__PASSES", "1".to_owned()),
    ];
    if Profile::current() == Profile::Infrastructure {
        variables.push(("REDIS_URL", required_address("TEST_REDIS_URL")));
        variables.push(("AMQP_URL", testkit::broker::amqp_url()));
    }
    let own = |(name, value): (&str, String)| (name.to_owned(), value);
    variables.into_iter().map(own).collect()
}

/// A text field of an answer.
#[track_caller]
pub(crate) fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field]
        .as_str()
        .unwrap_or_else(|| panic!("{field} is missing in {value}"))
}
