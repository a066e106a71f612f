//! A service that makes itself known: a real server with the announcement that every service has.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use common::auth::{TokenSource, TokenSourceError};
use common::health::Health;
use common::server::{ServerParts, describe, start};
use common::settings::CommonSettings;
use common::shutdown::Shutdown;
use resilience::Announcement;
use testkit::wait_until;

use crate::registrar::{Registrar, value};

struct Token(String);

#[async_trait]
impl TokenSource for Token {
    async fn token(&self) -> Result<Arc<str>, TokenSourceError> {
        Ok(self.0.as_str().into())
    }
}

struct Running {
    address: SocketAddr,
    shutdown: Shutdown,
    task: tokio::task::JoinHandle<std::io::Result<()>>,
}

fn settings(gateway_url: &str) -> CommonSettings {
    let environment = [
        ("GATEWAY_URL".to_owned(), gateway_url.to_owned()),
        ("ORDER__DISCOVERY__TTL_MS".to_owned(), "2000".to_owned()),
    ];
    let loaded = common::settings::load::<NoSettings>("order", "", environment);
    loaded.unwrap().common
}

#[derive(serde::Deserialize)]
struct NoSettings {}

/// A service called `order` that announces itself at `gateway_url`.
fn serve(registrar: &Registrar, gateway_url: &str) -> Running {
    let settings = settings(gateway_url);
    let tokens = Arc::new(Token(registrar.identity.service("order")));
    let announcement = Announcement::of("order", &settings, tokens);
    let parts = ServerParts {
        settings: settings.server,
        health: Health::builder("order", "1").build(),
        verifier: registrar.identity.verifier(),
        openapi: describe("Order", "", "1"),
    };
    let server = announcement.start(start(parts, |_routes| {}).unwrap());
    let shutdown = Shutdown::new();
    let stop = shutdown.clone();
    Running {
        address: server.address(),
        shutdown,
        task: tokio::spawn(async move { server.run_until(&stop).await }),
    }
}

async fn registered(registrar: &Registrar) -> Vec<String> {
    let answer = registrar
        .call("GET", "/api/discovery/services", None)
        .await
        .expect(200);
    let list = value(&answer);
    let instances = list["items"].as_array().unwrap().iter();
    let instances = instances.flat_map(|item| item["instances"].as_array().unwrap().clone());
    instances
        .map(|one| one["base_url"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn a_service_is_found_as_long_as_it_runs_and_leaves_before_it_stops() {
    let registrar = Registrar::start().await;
    let url = format!("http://{}", registrar.gateway.address());
    let service = serve(&registrar, &url);
    let expected = vec![format!("http://{}", service.address)];
    wait_until("the service to be found", || async {
        registered(&registrar).await == expected
    })
    .await;
    // Longer than its lease.
    let since = Instant::now();
    while since.elapsed() < Duration::from_secs(3) {
        assert_eq!(registered(&registrar).await, expected);
    }
    registrar.get("/proxy/order/health").await.expect(200);
    // Forgotten by somebody's hand, it comes back by itself.
    registrar
        .call("DELETE", "/api/discovery/services/order", None)
        .await
        .expect(204);
    wait_until("the service to be back", || async {
        registered(&registrar).await == expected
    })
    .await;
    service.shutdown.trigger();
    service.task.await.unwrap().unwrap();
    assert!(registered(&registrar).await.is_empty());
}

#[tokio::test]
async fn a_service_waits_for_a_gateway_that_is_not_there_yet() {
    let registrar = Registrar::start().await;
    // A port that is taken and answers nothing until the gateway takes its place.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = silent.local_addr().unwrap();
    let service = serve(&registrar, &format!("http://{address}"));
    let (first, _) = silent.accept().await.unwrap();
    drop((first, silent));
    let (users, port) = (registrar.users.url(), address.port().to_string());
    let settings = [
        ("USER_URL", users.as_str()),
        ("GATEWAY__SERVER__PORT", port.as_str()),
    ];
    let database = registrar.gateway.database();
    let _late = crate::gateway::Gateway::on(database, "http://127.0.0.1:1", &settings).await;
    wait_until("the service to be found", || async {
        registered(&registrar).await == [format!("http://{}", service.address)]
    })
    .await;
    service.shutdown.trigger();
    service.task.await.unwrap().unwrap();
}

#[tokio::test]
async fn without_a_gateway_nothing_is_announced() {
    let registrar = Registrar::start().await;
    let service = serve(&registrar, "");
    service.shutdown.trigger();
    service.task.await.unwrap().unwrap();
    assert!(registered(&registrar).await.is_empty());
}
