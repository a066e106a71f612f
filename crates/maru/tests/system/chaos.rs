//! Services die, and the broker goes away: nothing is lost and nothing happens twice.

use std::time::Duration;

use contracts::services::ServiceName;
use serde_json::Value;
use testkit::database::Profile;
use tokio::process::Command;

use crate::system::{System, finish, project, some_orders};

/// Services killed in all.
const KILLS: usize = 20;

async fn import_some(system: &System) {
    let (map, folder) = (
        project("imports/pizza-place.toml"),
        some_orders(system, 400),
    );
    let arguments = [
        "import",
        "orders",
        "--map",
        map.to_str().unwrap(),
        folder.to_str().unwrap(),
    ];
    system.maru(&arguments).await;
}

/// Replays for `seconds` while `disturb` does its work, then lets everything end.
async fn replay_while(system: &System, seconds: u32, disturb: impl Future<Output = ()>) -> Value {
    let (duration, acknowledged) = (seconds.to_string(), system.file("acknowledged"));
    let acknowledged = acknowledged.to_str().unwrap();
    let replay = system.spawn(&[
        "replay",
        "orders",
        "--rate",
        "10",
        "--duration",
        &duration,
        "--seed-stock",
        "--json",
        "--acknowledged",
        acknowledged,
    ]);
    disturb.await;
    let (status, out, errors) = finish(replay).await;
    assert!(
        status.success(),
        "the replay ended with {status}:\n{out}{errors}"
    );
    let summary: Value = serde_json::from_str(&out).expect("a summary");
    assert_eq!(summary["unresolved"], 0, "{summary}");
    assert!(
        summary["confirmed"].as_u64() > Some(u64::from(seconds)),
        "{summary}"
    );
    system.verify(&["--acknowledged", acknowledged]).await;
    summary
}

#[tokio::test]
async fn twenty_kills_during_a_replay_lose_nothing() {
    let system = System::start().await;
    import_some(&system).await;
    let disturb = async {
        let services: Vec<ServiceName> = ServiceName::all().collect();
        for service in services.iter().copied().cycle().take(KILLS) {
            tokio::time::sleep(Duration::from_millis(1_000)).await;
            system.kill(service).await;
        }
    };
    replay_while(&system, 40, disturb).await;
    system.stop().await;
}

#[tokio::test]
async fn half_a_minute_without_the_broker_loses_nothing() {
    if Profile::current() == Profile::Embedded {
        // There is no broker on this profile: the subscriber itself goes away for a while instead.
        let system = System::start().await;
        import_some(&system).await;
        let disturb = async {
            for _ in 0..3 {
                tokio::time::sleep(Duration::from_millis(700)).await;
                system.kill(ServiceName::Analytics).await;
            }
        };
        replay_while(&system, 10, disturb).await;
        system.stop().await;
        return;
    }
    // A set of servers of its own: other tests need theirs.
    let servers = Servers::start().await;
    let system = System::start_with_broker(Some(servers.amqp_url.clone())).await;
    import_some(&system).await;
    let disturb = async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        servers.command("pause").await;
        tokio::time::sleep(Duration::from_secs(30)).await;
        servers.command("resume").await;
    };
    replay_while(&system, 40, disturb).await;
    system.stop().await;
    servers.stop().await;
}

/// Private servers for one test.
struct Servers {
    folder: tempfile::TempDir,
    amqp_url: String,
}

impl Servers {
    async fn start() -> Self {
        let folder = tempfile::TempDir::with_prefix("maru-servers-").expect("a folder");
        let set = std::fs::set_permissions(
            folder.path(),
            std::os::unix::fs::PermissionsExt::from_mode(0o755),
        );
        set.expect("the servers' own users may enter");
        let dir = folder.path().join("backends");
        let owner = std::process::id().to_string();
        backends(&["start", dir.to_str().unwrap(), "--owner", &owner]).await;
        let environment = backends(&["env", dir.to_str().unwrap()]).await;
        let line = environment
            .lines()
            .find(|line| line.contains("TEST_AMQP_URL="))
            .expect("set");
        let (_, url) = line.split_once('=').expect("a value");
        let amqp_url = url.trim_matches(['"', '\'']).to_owned();
        Self { folder, amqp_url }
    }

    fn dir(&self) -> String {
        self.folder
            .path()
            .join("backends")
            .to_str()
            .expect("text")
            .to_owned()
    }

    async fn command(&self, command: &str) {
        backends(&[command, "rabbitmq", &self.dir()]).await;
    }

    async fn stop(self) {
        backends(&["stop", &self.dir()]).await;
    }
}

async fn backends(arguments: &[&str]) -> String {
    let mut command = Command::new(project("scripts/backends"));
    let output = command
        .args(arguments)
        .output()
        .await
        .expect("scripts/backends runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "scripts/backends {arguments:?}: {errors}"
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}
